"""Claims: recorded, changed, filed; a mutation, a file."""
