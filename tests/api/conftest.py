"""The routes around the graph: the same process in memory, asked by its addresses."""

from bff_under_test import Bff, GraphAnswer, MakeBff, bff, make_bff

__all__ = ["Bff", "GraphAnswer", "MakeBff", "bff", "make_bff"]
