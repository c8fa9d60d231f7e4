"""DocumentMetrics: figures about the viewer's documents. Owned by cost docs.

field                       asks          loader
Dashboard.documentMetrics   cost docs     document_stats
"""

from __future__ import annotations

from datetime import datetime

import strawberry

from clients.cost_docs import DocumentStatsRecord
from clients.transport import Answer


@strawberry.type(description="Number of documents of one media type.")
class ContentTypeCount:
    content_type: str = strawberry.field(description="Media type (`application/pdf`).")
    count: int = strawberry.field(description="Number of documents.")


@strawberry.type(description="Figures about the viewer's documents, since the beginning.")
class DocumentMetrics:
    total_count: int = strawberry.field(description="Documents uploaded by the viewer.")
    by_content_type: list[ContentTypeCount] = strawberry.field(
        description="Number per media type, most frequent first."
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")

    @classmethod
    def from_stats(cls, answer: Answer[DocumentStatsRecord]) -> DocumentMetrics:
        counts = [
            ContentTypeCount(content_type=row.content_type, count=row.counted.count)
            for row in answer.value.documents_by_type
        ]
        return cls(
            total_count=answer.value.total_documents,
            by_content_type=sorted(counts, key=lambda row: (-row.count, row.content_type)),
            as_of=answer.as_of,
        )
