"""Detection: something in the synced data for which Amazon may owe money. Owned by integrations.

field              asks                            loader
Query.detections   integrations                    detections_page
Detection.claim    integrations, refund engine     claim_by_detection_id
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import UNSET

from clients.integrations.detections import DetectionRecord
from clients.refund_engine import ClaimRecord
from clients.transport import Answer
from resolvers.connections import After, Connection, First, Window, window
from resolvers.context import Info
from resolvers.costs import DISPUTES, INTEGRATIONS, REFUND_ENGINE, keyed, once
from resolvers.fields import asks, loads
from resolvers.global_ids import Node, global_id, key_of
from resolvers.money import Money, money
from resolvers.words import Words, described

if TYPE_CHECKING:
    from resolvers.claims.claim import Claim


@strawberry.enum(description="What a finding is about.")
class DetectionType(Enum):
    LOST_UNITS = described("LOST_UNITS", description="Units lost.")
    OVERCHARGE = described("OVERCHARGE", description="Charged too much.")
    DAMAGED_STOCK = described("DAMAGED_STOCK", description="Stock damaged.")
    INCORRECT_FEE = described("INCORRECT_FEE", description="Wrong fee.")
    DUPLICATE_CHARGE = described("DUPLICATE_CHARGE", description="Charged twice.")
    UNKNOWN = described("UNKNOWN", description="The owner sent a word this graph does not know.")


@strawberry.enum(description="How grave a finding is.")
class DetectionSeverity(Enum):
    LOW = described("LOW", description="Low.")
    MEDIUM = described("MEDIUM", description="Medium.")
    HIGH = described("HIGH", description="High.")
    CRITICAL = described("CRITICAL", description="Critical.")
    UNKNOWN = described("UNKNOWN", description="The owner sent a word this graph does not know.")


@strawberry.enum(description="What has been done about a finding.")
class DetectionStatus(Enum):
    PENDING = described("PENDING", description="Nothing yet.")
    REVIEWED = described("REVIEWED", description="Somebody looked at it.")
    DISPUTED = described("DISPUTED", description="A filing case was opened.")
    RESOLVED = described("RESOLVED", description="Settled.")
    UNKNOWN = described(
        "UNKNOWN",
        description="The owner sent a word this graph does not know. Not accepted in filters.",
    )


DETECTION_TYPE = Words(
    "integrations result.anomaly_type",
    {
        "missing_unit": DetectionType.LOST_UNITS,
        "overcharge": DetectionType.OVERCHARGE,
        "damaged_stock": DetectionType.DAMAGED_STOCK,
        "incorrect_fee": DetectionType.INCORRECT_FEE,
        "duplicate_charge": DetectionType.DUPLICATE_CHARGE,
    },
    unknown=DetectionType.UNKNOWN,
)
DETECTION_SEVERITY = Words(
    "integrations result.severity",
    {severity.value.lower(): severity for severity in list(DetectionSeverity)[:-1]},
    unknown=DetectionSeverity.UNKNOWN,
)
DETECTION_STATUS = Words(
    "integrations result.status",
    {status.value.lower(): status for status in list(DetectionStatus)[:-1]},
    unknown=DetectionStatus.UNKNOWN,
)


@strawberry.federation.type(
    keys=["id"],
    description="A finding: something in the synced data for which Amazon may owe money.",
)
class Detection(Node):
    id: strawberry.ID = strawberry.field(description="Globally unique.")
    type: DetectionType = strawberry.field(description="What it is about.")
    severity: DetectionSeverity = strawberry.field(description="How grave it is.")
    status: DetectionStatus = strawberry.field(description="What has been done about it.")
    estimated_value: Money = strawberry.field(description="What it may be worth.")
    confidence: float = strawberry.field(description="How sure the detector is, 0 to 1.")
    created_at: datetime = strawberry.field(description="When it was found.")
    updated_at: datetime = strawberry.field(description="When it last changed.")
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")
    key: strawberry.Private[str]

    @classmethod
    def from_record(cls, record: DetectionRecord, as_of: datetime) -> Detection:
        return cls(
            id=global_id("Detection", record.id),
            type=DETECTION_TYPE.value(record.anomaly_type),
            severity=DETECTION_SEVERITY.value(record.severity),
            status=DETECTION_STATUS.value(record.status),
            estimated_value=money(record.estimated_value, record.currency),
            confidence=record.confidence_score,
            created_at=record.created_at,
            updated_at=record.updated_at,
            as_of=as_of,
            key=record.id,
        )

    @classmethod
    async def by_key(cls, info: Info, key: str) -> Detection | None:
        """The viewer's finding with this UUID; None when there is none."""
        info.context.require("detections:read")
        answer = await info.context.loaders.detection_by_id.load(key)
        return None if answer.value is None else cls.from_record(answer.value, answer.as_of)

    @loads(
        "claim_by_detection_id",
        DISPUTES,
        keyed(REFUND_ENGINE, hops=2),
        key="key",
        scope="claims:read",
        description="The claim made of it; null without an error when none was made.",
    )
    def claim(
        self, found: Answer[ClaimRecord] | None
    ) -> Annotated[Claim, strawberry.lazy("resolvers.claims.claim")] | None:
        from resolvers.claims.claim import Claim

        return Claim.from_answer(found)

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID) -> Detection | None:
        """Answer the router's `_entities(representations: [{__typename: "Detection", id}])`."""
        return await cls.by_key(info, key_of(id, "Detection"))


@strawberry.type(description="A finding and its place in a connection.")
class DetectionEdge:
    cursor: str = strawberry.field(description="Opaque position.")
    node: Detection = strawberry.field(description="The finding.")


@strawberry.type(description="A page of findings.")
class DetectionConnection(Connection[Detection, DetectionEdge]):
    edge = DetectionEdge

    total_count: int | None = strawberry.field(
        description=(
            "How many in all; null when the owner did not count, which is always so for `Query.detections`."
        )
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")

    @classmethod
    def of_rows(
        cls, rows: list[DetectionRecord], part: Window, total: int | None, as_of: datetime
    ) -> DetectionConnection:
        """The part of a list that was read from its beginning."""
        shown = rows[part.offset : part.end]
        return cls._of(shown, part, total, as_of, has_next_page=part.end < len(rows))

    @classmethod
    def of_page(cls, rows: list[DetectionRecord], part: Window, as_of: datetime) -> DetectionConnection:
        """A page that was asked for with one row more than wanted, because the owner does not count."""
        shown = rows[: part.first]
        return cls._of(shown, part, None, as_of, has_next_page=len(rows) > part.first)

    @classmethod
    def _of(
        cls,
        rows: list[DetectionRecord],
        part: Window,
        total: int | None,
        as_of: datetime,
        *,
        has_next_page: bool,
    ) -> DetectionConnection:
        return cls(
            nodes=[Detection.from_record(row, as_of) for row in rows],
            total_count=total,
            as_of=as_of,
            offset=part.offset,
            has_next_page=has_next_page,
        )


@strawberry.type
class DetectionQueries:
    @asks(
        once(INTEGRATIONS),
        scope="detections:read",
        description="Findings of all syncs, newest first.",
    )
    async def detections(
        self,
        info: Info,
        first: First = 20,
        after: After = UNSET,
        status: Annotated[
            DetectionStatus | None, strawberry.argument(description="Only these; UNKNOWN is refused.")
        ] = UNSET,
    ) -> DetectionConnection | None:
        part = window(first, after)
        page = await info.context.loaders.detections_page(
            limit=part.first + 1,
            offset=part.offset,
            status=DETECTION_STATUS.word(status, argument="status") if status else None,
        )
        return DetectionConnection.of_page(page.rows, part, page.as_of)
