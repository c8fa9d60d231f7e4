"""The services behind us: one file, one upstream; what it sends, then how to ask."""
