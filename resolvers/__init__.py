"""The graph: one file, one noun."""
