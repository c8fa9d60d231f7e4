"""Cost docs: the files that prove claims.

It compares nobody with the token: any document of any seller is shown to whoever asks, with a signed link.
Whoever calls `documents_of_claim` has made sure that the claim is the viewer's; whoever calls `document`
looks at the uploader and the claim. Its search by uploader is hidden behind another route as published.
"""

import time
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field, TypeAdapter

from clients.addresses import given, path_id
from clients.caller import Caller
from clients.chain.question import Disguise
from clients.errors import UpstreamNotFound
from clients.records import Int32, Record, Rows, UtcTime, UuidText, Word, number
from clients.transport import Answer, Page, Upstream

T = TypeVar("T")

SEARCH_SOUGHT_EVERY_S = 3600.0  # where it is hidden: each look costs one of cost docs' hundred requests
_NO_DOCUMENT = (Disguise(404, "Document not found", UpstreamNotFound),)

EvidenceType = Literal["lost_units", "overcharges", "damaged_stock", "incorrect_fee", "duplicate_charge"]


class DocumentRecord(Record):
    """A file as cost docs keeps it. `claim_id` is free text there: often, not always, a claim's id."""

    id: UuidText
    claim_id: str = Field(validation_alias="claimId")
    sku: str = Field(validation_alias="skuId")
    file_name: str = Field(validation_alias="originalName")
    content_type: str = Field(validation_alias="fileType")
    size_bytes: Int32 = Field(validation_alias="fileSize")
    metadata: Any = None  # what the uploader gave, unchecked
    version: Int32
    uploaded_at: UtcTime = Field(validation_alias="uploadedAt")
    uploaded_by: str = Field(validation_alias="uploadedBy")
    download_url: str | None = Field(
        None, validation_alias="downloadUrl", repr=False
    )  # a secret; single reads
    download_url_expires_s: Int32 | None = Field(None, validation_alias="downloadUrlExpires")


class RecentUploadRecord(Record):
    """One of the viewer's ten latest uploads, in short."""

    id: UuidText
    claim_id: str = Field(validation_alias="claimId")


class _TypeCount(Record):
    count: Int32 = Field(validation_alias="fileType")


class ContentTypeRecord(Record):
    """Number of the viewer's documents of one media type."""

    content_type: str = Field(validation_alias="fileType")
    counted: _TypeCount = Field(validation_alias="_count")


class DocumentStatsRecord(Record):
    """Figures over the documents that the viewer uploaded."""

    total_documents: Int32 = Field(validation_alias="totalDocuments")
    documents_by_type: Rows[ContentTypeRecord] = Field(validation_alias="documentsByType")
    recent_uploads: Rows[RecentUploadRecord] = Field(validation_alias="recentUploads")


class GenerationRecord(Record):
    """A document that is to be made. As published its job never ends, and nobody but an admin can ask."""

    job_id: str
    anomaly_id: str


class CostDocsHealth(Record):
    status: Word

    @property
    def dependency_down(self) -> bool:
        return self.status != "healthy"


class _Data(Record, Generic[T]):
    data: T


class _Documents(Record):
    documents: Rows[DocumentRecord]
    total: Int32


DOCUMENTS = TypeAdapter(_Data[_Documents])
DOCUMENT = TypeAdapter(_Data[DocumentRecord])
GENERATION = TypeAdapter(GenerationRecord)
DOCUMENT_STATS = TypeAdapter(_Data[DocumentStatsRecord])
HEALTH = TypeAdapter(CostDocsHealth)


class SearchRoute:
    """Whether this deployment's search can be reached: found out by use, and hidden for an hour at a time."""

    def __init__(self) -> None:
        self._hidden_until_s = 0.0  # on the monotonic clock

    @property
    def hidden(self) -> bool:
        return time.monotonic() < self._hidden_until_s

    def hide(self) -> None:
        self._hidden_until_s = time.monotonic() + SEARCH_SOUGHT_EVERY_S


class CostDocs:
    """What one caller can ask cost docs."""

    def __init__(self, upstream: Upstream, caller: Caller, search_route: SearchRoute) -> None:
        self._upstream = upstream
        self._caller = caller
        self._search_route = search_route

    async def documents_of_claim(
        self, claim_id: str, *, limit: int = 100, page: int = 1
    ) -> Page[DocumentRecord]:
        """One page of the documents of one claim, newest first, with the count of all.

        An unknown claim has an empty page. There is no form for several claims.

        Source: `GET /api/v1/cost-docs/claim/{claimId}`, listDocumentsByClaim, cost-docs.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller,
            "listDocumentsByClaim",
            "GET",
            f"/api/v1/cost-docs/claim/{path_id(claim_id)}",
            DOCUMENTS,
            params={"page": page, "limit": limit},
        )
        return Page(answer.value.data.documents, answer.value.data.total, answer.as_of, answer.failure)

    async def document(self, document_id: str) -> Answer[DocumentRecord] | None:
        """One document of anybody, with a link that was signed for this answer; None when there is none.

        Every failure is a 404 there, so a broken cost docs can look like "none" here.

        Source: `GET /api/v1/cost-docs/{id}`, getDocument, cost-docs.openapi.yaml.
        """
        try:
            answer = await self._upstream.call(
                self._caller,
                "getDocument",
                "GET",
                f"/api/v1/cost-docs/{path_id(document_id)}",
                DOCUMENT,
                disguises=_NO_DOCUMENT,
            )
        except UpstreamNotFound:
            return None
        return Answer(answer.value.data, answer.as_of)

    async def document_stats(self) -> Answer[DocumentStatsRecord]:
        """Figures over the viewer's own uploads, and the ten latest of them, newest first.

        Source: `GET /api/v1/cost-docs/stats/overview`, documentStats, cost-docs.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller, "documentStats", "GET", "/api/v1/cost-docs/stats/overview", DOCUMENT_STATS
        )
        return Answer(answer.value.data, answer.as_of)

    async def documents_uploaded_by(
        self, user_id: str, *, limit: int, page: int = 1
    ) -> Page[DocumentRecord] | None:
        """One page of what a user uploaded, newest first, with the count of all.

        Returns:
            None where the route is hidden, as published: another route takes "search" for an id and finds no
            such document. That is asked once an hour.

        Source: `GET /api/v1/cost-docs/search`, searchDocuments, cost-docs.openapi.yaml.
        """
        if self._search_route.hidden:
            return None
        try:
            answer = await self._upstream.call(
                self._caller,
                "searchDocuments",
                "GET",
                "/api/v1/cost-docs/search",
                DOCUMENTS,
                params={"uploadedBy": user_id, "page": page, "limit": limit},
                disguises=_NO_DOCUMENT,
            )
        except UpstreamNotFound:
            self._search_route.hide()
            return None
        return Page(answer.value.data.documents, answer.value.data.total, answer.as_of, answer.failure)

    async def generate_document(
        self,
        *,
        detection_id: str,
        evidence_type: EvidenceType,
        sku: str,
        seller_id: str,
        total_loss: Decimal,
        detected_at: datetime,
        units_lost: int | None = None,
        cost_per_unit: Decimal | None = None,
    ) -> Answer[GenerationRecord]:
        """Queue the making of a cost document for one finding; each call queues another.

        Whoever calls this has made sure that the finding is the viewer's; `seller_id` is the viewer's id.

        Args:
            sku: must not be empty.
            total_loss: decides the priority there.
            detected_at: with a zone.

        Raises:
            UpstreamRejected: 400, a field is missing.
            UpstreamError: where `maybe_done`, nothing can settle it: no list shows its jobs. Without its
                Redis the service hangs.

        Source: `POST /api/v1/cost-documentation/generate/auto`, generateAuto, cost-docs.openapi.yaml. It
        answers 202.
        """
        answer = await self._upstream.call(
            self._caller,
            "generateAuto",
            "POST",
            "/api/v1/cost-documentation/generate/auto",
            GENERATION,
            body=given(
                anomaly_id=detection_id,
                type=evidence_type,
                sku=sku,
                loss=units_lost,
                cost_per_unit=None if cost_per_unit is None else number(cost_per_unit),
                total_loss=number(total_loss),
                detected_at=detected_at.isoformat(),
                seller_info={"seller_id": seller_id},
            ),
        )
        return Answer(answer.value, answer.as_of)

    async def health(self) -> Answer[CostDocsHealth]:
        """Source: `GET /health`, costDocsHealth, cost-docs.openapi.yaml. Counts against the quota."""
        return await self._upstream.call(self._caller, "costDocsHealth", "GET", "/health", HEALTH)
