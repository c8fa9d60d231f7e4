"""The graph over the sandbox: the whole process in memory, the six services below it, nothing mocked."""

from bff_under_test import Bff, GraphAnswer, MakeBff, bff, make_bff

__all__ = ["Bff", "GraphAnswer", "MakeBff", "bff", "make_bff"]
