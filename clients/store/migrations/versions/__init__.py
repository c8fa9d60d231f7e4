"""One file a revision. Released ones are never edited."""
