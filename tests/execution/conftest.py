"""Execution over the sandbox as well: the whole process in memory, nothing mocked."""

from bff_under_test import Bff, GraphAnswer, MakeBff, bff, make_bff

__all__ = ["Bff", "GraphAnswer", "MakeBff", "bff", "make_bff"]
