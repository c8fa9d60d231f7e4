"""Notices what changes, in rounds, because no service tells: one poll per viewer, however many listen."""
