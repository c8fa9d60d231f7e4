"""Document: a file that proves a claim. Owned by cost docs, judged by mcde.

field                         asks              loader
Query.documents               cost docs         documents_uploaded
Query.document                cost docs,        document_by_id
                              refund engine
Document.signedUrl            cost docs         link_by_document_id
Document.claim                refund engine     claim_by_id
Document.evidenceValidation   mcde, refund engine   evidence_validation_by_document
Document.costEstimate         mcde, refund engine   cost_estimate_by_document
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import UNSET

from clients.cost_docs import DocumentRecord
from clients.mcde import CostEstimateRecord, EvidenceValidationRecord
from clients.refund_engine import ClaimRecord
from clients.transport import Answer, Page
from resolvers.connections import After, Connection, First, Window, window
from resolvers.context import Info
from resolvers.costs import CLAIM_OF_DOCUMENT, COST_DOCS, DOCUMENT_STATS, MCDE, each, once
from resolvers.evidence import CostEstimate, EvidenceValidation
from resolvers.fields import asks, loads
from resolvers.global_ids import KEY_FORMS, Node, global_id, key_of
from resolvers.loaders.evidence import EvidenceKey

if TYPE_CHECKING:
    from resolvers.claims.claim import Claim

LINK_LIFE_S = 3600  # what cost docs signs for, where it does not say


@strawberry.type(description="A time-limited link to a private file. Ask for it on click; never store it.")
class SignedUrl:
    url: str = strawberry.field(
        description="The link. It shows or saves the file: the owner signs one link for both."
    )
    expires_at: datetime = strawberry.field(
        description="When it stops working, one hour after it was signed."
    )


@strawberry.federation.type(
    keys=["id"],
    description="A file that proves a claim, such as a supplier's invoice.",
)
class Document(Node):
    id: strawberry.ID = strawberry.field(description="Globally unique.")
    file_name: str = strawberry.field(description="Name of the file as it was uploaded.")
    content_type: str = strawberry.field(description="Media type (`application/pdf`).")
    size_bytes: int = strawberry.field(description="Size in bytes, at most 10 MB.")
    sku: str = strawberry.field(description="The seller's stock-keeping unit that it concerns.")
    invoice_number: str | None = strawberry.field(
        description="Invoice number given at upload; null when none was."
    )
    version: int = strawberry.field(description="Counts up from 1 with each change of its details.")
    uploaded_at: datetime = strawberry.field(description="When it was uploaded.")
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")
    key: strawberry.Private[str]
    claim_key: strawberry.Private[str | None]  # None: it names no claim that could be the viewer's
    evidence_key: strawberry.Private[EvidenceKey]

    @classmethod
    def from_record(cls, record: DocumentRecord, as_of: datetime) -> Document:
        metadata = record.metadata if isinstance(record.metadata, dict) else {}
        invoice_number = metadata.get("invoiceNumber")
        claim_key = record.claim_id.lower()
        return cls(
            id=global_id("Document", record.id),
            file_name=record.file_name,
            content_type=record.content_type,
            size_bytes=record.size_bytes,
            sku=record.sku,
            invoice_number=invoice_number if isinstance(invoice_number, str) else None,
            version=record.version,
            uploaded_at=record.uploaded_at,
            as_of=as_of,
            key=record.id,
            claim_key=claim_key if KEY_FORMS["Claim"].fullmatch(claim_key) else None,
            evidence_key=EvidenceKey(document_id=record.id, claim_id=record.claim_id),
        )

    @classmethod
    async def by_key(cls, info: Info, key: str) -> Document | None:
        """The document with this UUID, if the viewer may see it; None when there is none."""
        info.context.require("documents:read")
        answer = await info.context.loaders.document_by_id.load(key)
        return None if answer is None else cls.from_record(answer.value, answer.as_of)

    @loads(
        "link_by_document_id",
        each(COST_DOCS, shared="getDocument", weight=5),
        key="key",
        audited=True,
        description="A fresh link to the file. One call each: never ask for it in a list.",
    )
    def signed_url(self, found: Answer[DocumentRecord]) -> SignedUrl | None:
        lives = timedelta(seconds=found.value.download_url_expires_s or LINK_LIFE_S)
        assert found.value.download_url is not None, "the loader answers with a link or an error"
        return SignedUrl(url=found.value.download_url, expires_at=found.as_of + lives)

    @loads(
        "claim_by_id",
        CLAIM_OF_DOCUMENT,
        key="claim_key",
        scope="claims:read",
        description="The claim it proves; null without an error when it names no claim of the viewer.",
    )
    def claim(
        self, found: Answer[ClaimRecord] | None
    ) -> Annotated[Claim, strawberry.lazy("resolvers.claims.claim")] | None:
        from resolvers.claims.claim import Claim

        return Claim.from_answer(found)

    @loads(
        "evidence_validation_by_document",
        each(MCDE, hops=2, weight=5),
        CLAIM_OF_DOCUMENT,  # whether the claim that it names is the viewer's
        key="evidence_key",
        optional=True,
        scope="evidence:check",
        description="Whether it holds as evidence for its claim. Judged anew each time, one call each.",
    )
    def evidence_validation(self, found: Answer[EvidenceValidationRecord]) -> EvidenceValidation | None:
        return EvidenceValidation.from_record(found.value)

    @loads(
        "cost_estimate_by_document",
        each(MCDE, hops=2, weight=5),
        CLAIM_OF_DOCUMENT,
        key="evidence_key",
        optional=True,
        scope="evidence:check",
        description=("What the goods cost to make, read from it. Worked out anew each time, one call each."),
    )
    def cost_estimate(self, found: Answer[CostEstimateRecord]) -> CostEstimate | None:
        return CostEstimate.from_record(found.value)

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID) -> Document | None:
        """Answer the router's `_entities(representations: [{__typename: "Document", id}])`."""
        return await cls.by_key(info, key_of(id, "Document"))


@strawberry.type(description="A document and its place in a connection.")
class DocumentEdge:
    cursor: str = strawberry.field(description="Opaque position.")
    node: Document = strawberry.field(description="The document.")


@strawberry.type(description="A page of documents.")
class DocumentConnection(Connection[Document, DocumentEdge]):
    edge = DocumentEdge

    total_count: int | None = strawberry.field(
        description="How many in all; null when the owner did not count."
    )
    is_truncated: bool = strawberry.field(
        description=(
            "Whether documents exist that no page reaches: a cost-docs without working search lists only the "
            "ten latest of the viewer."
        )
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")

    @classmethod
    def of_page(
        cls, page: Page[DocumentRecord], part: Window, *, listed: int, truncated: bool = False
    ) -> DocumentConnection:
        """A page of a list of which `listed` can be reached by paging."""
        return cls(
            nodes=[Document.from_record(row, page.as_of) for row in page.rows],
            total_count=page.total,
            is_truncated=truncated,
            as_of=page.as_of,
            offset=part.offset,
            has_next_page=bool(page.rows) and part.end < listed,
        )


@strawberry.type
class DocumentQueries:
    @asks(
        once(COST_DOCS, pages=2, hops=1),  # the search, once in the life of the process where it is hidden
        DOCUMENT_STATS,
        once(COST_DOCS, pages=10, expected=10, hops=2),  # then the claims of the ten latest
        scope="documents:read",
        description="Documents uploaded by the viewer, newest first.",
    )
    async def documents(
        self, info: Info, first: First = 20, after: After = UNSET
    ) -> DocumentConnection | None:
        part = window(first, after)
        uploads = await info.context.loaders.documents_uploaded(part.offset, part.end)
        return DocumentConnection.of_page(
            uploads.page, part, listed=uploads.listed, truncated=uploads.truncated
        )

    @asks(
        each(COST_DOCS, shared="getDocument"),
        CLAIM_OF_DOCUMENT,  # where somebody else uploaded it
        scope="documents:read",
        description="One document; null without an error when there is none.",
    )
    async def document(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Global ID.")]
    ) -> Document | None:
        return await Document.by_key(info, key_of(id, "Document"))
