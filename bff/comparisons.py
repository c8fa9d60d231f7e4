"""A rule of validation, bounded: that fields under one name can be merged.

graphql-core compares each two fields of one name, and what lies below them. It stops after 500,000 steps:
most of a second, for one document of 2000 tokens, in which nobody is answered.
"""

import functools
from typing import Any

from graphql import ASTValidationRule, OverlappingFieldsCanBeMergedRule, ValidationContext, specified_rules
from graphql.validation.validate import ValidationAbortedError


class TooManyComparisons(Exception):
    """Fields of one name are repeated more often than is worth comparing."""


@functools.cache
def rules_within(steps: int) -> tuple[type[ASTValidationRule], ...]:
    """Every rule of the specification; this one gives up after so many steps, of some two microseconds each.

    The rule raises TooManyComparisons. The same classes for the same number: they are part of a cache's key.
    """

    class Bounded(OverlappingFieldsCanBeMergedRule):
        def __init__(self, context: ValidationContext) -> None:
            super().__init__(context)
            self.rule_context.remaining_complexity_budget = steps

        def enter_selection_set(self, *visited: Any) -> None:
            try:
                super().enter_selection_set(*visited)
            except ValidationAbortedError:
                if self.rule_context.remaining_complexity_budget >= 0:  # there were too many errors
                    raise
                raise TooManyComparisons from None

    return tuple(Bounded if rule is OverlappingFieldsCanBeMergedRule else rule for rule in specified_rules)
