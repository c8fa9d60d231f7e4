"""The REST façade: a table of addresses over stored operations, for whoever does not speak GraphQL."""
