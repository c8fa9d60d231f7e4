"""The process: what it is told, what it serves, how it is run."""
