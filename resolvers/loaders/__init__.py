"""The loaders of one operation: each asks once for many keys, named `<value>_by_<key>`."""
