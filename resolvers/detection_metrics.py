"""DetectionMetrics: figures about all findings. Owned by integrations.

field                        asks             loader
Dashboard.detectionMetrics   integrations     detection_statistics
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

import strawberry

from clients.integrations.detections import DetectionStatisticsRecord, FiguresRecord
from clients.transport import Answer
from resolvers.detections import (
    DETECTION_SEVERITY,
    DETECTION_TYPE,
    DetectionSeverity,
    DetectionType,
)
from resolvers.money import Money, money
from resolvers.words import Words

T = TypeVar("T", DetectionSeverity, DetectionType)

GRAVEST_FIRST = (
    DetectionSeverity.CRITICAL,
    DetectionSeverity.HIGH,
    DetectionSeverity.MEDIUM,
    DetectionSeverity.LOW,
    DetectionSeverity.UNKNOWN,
)


@strawberry.type(description="Figures about findings of one severity.")
class DetectionSeverityFigures:
    severity: DetectionSeverity = strawberry.field(description="The severity.")
    count: int = strawberry.field(description="Number of findings.")
    estimated_value: Money = strawberry.field(description="What they may be worth.")


@strawberry.type(description="Figures about findings of one type.")
class DetectionTypeFigures:
    type: DetectionType = strawberry.field(description="The type.")
    count: int = strawberry.field(description="Number of findings.")
    estimated_value: Money = strawberry.field(description="What they may be worth.")


@strawberry.type(
    description=(
        "Figures about all findings, since the beginning. Amounts are taken to be USD: the owner sums "
        "without a currency."
    )
)
class DetectionMetrics:
    total_count: int = strawberry.field(description="All findings.")
    estimated_value: Money = strawberry.field(description="What they may be worth together.")
    opened_case_count: int = strawberry.field(description="Filing cases opened.")
    claimed_amount: Money = strawberry.field(description="Sum asked for in those cases.")
    by_severity: list[DetectionSeverityFigures] = strawberry.field(
        description="Figures per severity, gravest first; severities without findings are left out."
    )
    by_type: list[DetectionTypeFigures] = strawberry.field(
        description="Figures per type, largest value first; types without findings are left out."
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")

    @classmethod
    def from_statistics(cls, answer: Answer[DetectionStatisticsRecord]) -> DetectionMetrics:
        statistics = answer.value
        by_severity = _by_meaning(statistics.by_severity, DETECTION_SEVERITY)
        by_type = _by_meaning(statistics.by_type, DETECTION_TYPE)
        return cls(
            total_count=statistics.total_anomalies,
            estimated_value=money(statistics.total_value),
            opened_case_count=statistics.dispute_cases,
            claimed_amount=money(statistics.total_claimed),
            by_severity=[
                DetectionSeverityFigures(
                    severity=severity,
                    count=by_severity[severity][0],
                    estimated_value=money(by_severity[severity][1]),
                )
                for severity in GRAVEST_FIRST
                if severity in by_severity
            ],
            by_type=[
                DetectionTypeFigures(type=kind, count=count, estimated_value=money(value))
                for kind, (count, value) in sorted(by_type.items(), key=lambda item: item[1][1], reverse=True)
            ],
            as_of=answer.as_of,
        )


def _by_meaning(figures: Mapping[str, FiguresRecord], words: Words[T]) -> dict[T, tuple[int, Decimal]]:
    """Count and value per graph value; words that mean the same, such as unknown ones, are added up."""
    of_value: defaultdict[T, tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    for word, figure in figures.items():
        count, value = of_value[words.value(word)]
        if figure.count:
            of_value[words.value(word)] = (count + figure.count, value + figure.value)
    return {meaning: sums for meaning, sums in of_value.items() if sums[0]}
