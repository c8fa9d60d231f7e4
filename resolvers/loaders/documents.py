"""Loaders of documents, from cost docs.

The only hard N+1 of the graph: cost docs can be asked for the documents of one claim, never of several. It is
asked four at a time, and only for claims that are known to be the viewer's, because it does not check.
"""

from dataclasses import dataclass
from functools import cached_property

from clients.cost_docs import DocumentRecord, DocumentStatsRecord
from clients.errors import UpstreamError, UpstreamFailed
from clients.transport import Answer, Page
from resolvers.loaders.batching import Loader, Shared, each, rows_between
from resolvers.loaders.claims import CLAIM_ID, ClaimLoaders

MaybeDocument = Answer[DocumentRecord] | None

AT_ONCE = 4
CLAIM_PAGE = 100
RECENT_UPLOADS = 10  # how many the overview names


@dataclass(frozen=True, slots=True)
class DocumentsKey:
    """Which documents of a claim: those from `offset` up to `end`, newest first."""

    claim_id: str
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Uploads:
    """Documents that the viewer uploaded, and whether more exist that this deployment cannot list."""

    page: Page[DocumentRecord]
    listed: int  # how many can be reached by paging
    truncated: bool


class DocumentLoaders(ClaimLoaders):
    """Whatever is asked of documents in one operation."""

    @cached_property
    def documents_by_claim_id(self) -> Loader[DocumentsKey, Page[DocumentRecord]]:
        """Documents of a claim that is known to be the viewer's, whoever attached them."""

        async def ask(key: DocumentsKey) -> Page[DocumentRecord] | UpstreamError:
            async def page(number: int) -> Page[DocumentRecord]:
                return await self._documents_page(key.claim_id, number)

            found = await rows_between(page, key.offset, key.end, page_size=CLAIM_PAGE)
            # That there was none, when its owner could last say so, does not say that there is none.
            return found.failure if found.failure and not found.total else found

        async def batch(keys: list[DocumentsKey]) -> list[Page[DocumentRecord] | Exception]:
            return await each(keys, ask, at_once=AT_ONCE)

        return Loader(batch)

    @cached_property
    def document_by_id(self) -> Loader[str, MaybeDocument]:
        """A document that the viewer uploaded or that proves a claim of theirs; None when there is none."""

        async def ask(document_id: str) -> MaybeDocument:
            answer = await self.clients.cost_docs.document(document_id)
            return answer if answer and await self._may_see(answer.value) else None

        async def batch(document_ids: list[str]) -> list[MaybeDocument | Exception]:
            return await each(document_ids, ask, at_once=AT_ONCE)

        return Loader(batch)

    @cached_property
    def link_by_document_id(self) -> Loader[str, Answer[DocumentRecord]]:
        """A document that the viewer may see, with a fresh signed link. Lists carry none."""

        async def ask(document_id: str) -> Answer[DocumentRecord]:
            answer = await self.document_by_id.load(document_id)
            if answer and answer.value.download_url is None:
                answer = await self.clients.cost_docs.document(document_id)
            if answer is None or answer.value.download_url is None:
                # It was there a moment ago, and every failure is a 404 at cost docs.
                raise UpstreamFailed("cost-docs", "getDocument", status=404)
            return answer

        async def batch(document_ids: list[str]) -> list[Answer[DocumentRecord] | Exception]:
            return await each(document_ids, ask, at_once=AT_ONCE)

        return Loader(batch)

    @cached_property
    def document_stats(self) -> Shared[Answer[DocumentStatsRecord]]:
        """Figures over what the viewer uploaded."""
        return Shared(self.clients.cost_docs.document_stats)

    async def documents_uploaded(self, offset: int, end: int) -> Uploads:
        """What the viewer uploaded, newest first: by search where it can be reached, else by the overview.

        The overview names ten; their details are completed from the claims they name.
        """
        page_size = end - offset

        async def page(number: int) -> Page[DocumentRecord]:
            found = await self.clients.cost_docs.documents_uploaded_by(
                self.viewer.user_id, limit=page_size, page=number
            )
            if found is None:
                raise _SearchHidden
            return found

        try:
            found = await rows_between(page, offset, end, page_size=page_size)
        except _SearchHidden:
            return await self._recent_uploads(offset, end)
        rows = [row for row in found.rows if row.uploaded_by == self.viewer.user_id]
        self.document_by_id.bring((row.id, Answer(row, found.as_of)) for row in rows)
        return Uploads(Page(rows, found.total, found.as_of), listed=found.total or 0, truncated=False)

    async def _recent_uploads(self, offset: int, end: int) -> Uploads:
        stats = await self.document_stats()
        recent = stats.value.recent_uploads
        claim_ids = list(dict.fromkeys(upload.claim_id for upload in recent if _askable(upload.claim_id)))

        async def ask(claim_id: str) -> Page[DocumentRecord]:
            return await self._documents_page(claim_id, 1)

        by_id: dict[str, DocumentRecord] = {}
        as_of = stats.as_of
        for page in await each(claim_ids, ask, at_once=AT_ONCE):
            if isinstance(page, Exception):
                raise page
            as_of = min(as_of, page.as_of)
            by_id |= {row.id: row for row in page.rows if row.uploaded_by == self.viewer.user_id}
        rows = [by_id[upload.id] for upload in recent if upload.id in by_id]
        total = stats.value.total_documents
        return Uploads(Page(rows[offset:end], total, as_of), listed=len(rows), truncated=total > len(rows))

    @cached_property
    def _claim_pages(self) -> dict[tuple[str, int], Shared[Page[DocumentRecord]]]:
        return {}

    async def _documents_page(self, claim_id: str, number: int) -> Page[DocumentRecord]:
        async def ask() -> Page[DocumentRecord]:
            return await self.clients.cost_docs.documents_of_claim(claim_id, limit=CLAIM_PAGE, page=number)

        return await self._claim_pages.setdefault((claim_id, number), Shared(ask))()

    async def _may_see(self, document: DocumentRecord) -> bool:
        if document.uploaded_by == self.viewer.user_id:
            return True
        claim_id = document.claim_id.lower()
        return bool(CLAIM_ID.fullmatch(claim_id)) and await self.claim_by_id.load(claim_id) is not None


class _SearchHidden(Exception):
    """This deployment's search cannot be reached."""


def _askable(claim_id: str) -> bool:
    """Whether a document's claim id, free text at cost docs, can be one segment of a path."""
    return claim_id not in ("", ".", "..")
