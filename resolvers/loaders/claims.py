"""Loaders of claims and their ledger, from the refund engine.

The engine cannot be asked for several ids. A few are asked one by one; for more, the viewer's list is read
once and indexed, and only what it lacks, where it was not read to its end, is asked one by one. Its single
reads show anybody's claim: the owner is compared here, and somebody else's claim is "none".
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from clients.caller import Viewer
from clients.directory import Clients
from clients.errors import ResultTooLarge, UpstreamError
from clients.refund_engine import ClaimRecord, ClaimStatsRecord, LedgerRecord
from clients.store.store import Store
from clients.transport import Answer, Page
from resolvers.global_ids import KEY_FORMS
from resolvers.loaders.batching import Loader, Scan, Shared, each, scan

MaybeClaim = Answer[ClaimRecord] | None

CLAIM_ID = KEY_FORMS["Claim"]  # what services call a claim may be any text

SINGLES_AT_MOST = 3  # so many keys are asked one by one; a list page is dearer than three rows
SINGLES_AT_ONCE = 5
LIST_PAGE = 200
LIST_PAGES_AT_MOST = 2
LEDGER_PAGE = 500
LEDGER_PAGES_AT_MOST = 4
STATE_PAGES_AT_MOST = 3


class ClaimLoaders:
    """Whatever is asked of claims in one operation."""

    def __init__(self, viewer: Viewer, clients: Clients, store: Store) -> None:
        self.viewer = viewer
        self.clients = clients
        self.store = store

    def anew(self, clients: Clients | None = None) -> Self:
        """Loaders that remember nothing: what these have read is older than a write."""
        return type(self)(self.viewer, clients or self.clients, self.store)

    def forget(self) -> None:
        """Let go of all that was read, at the end of the operation.

        Loaders and their batches hold each other: two thousand objects would wait for a garbage collection.
        """
        for name in vars(self).keys() - {"viewer", "clients", "store"}:
            delattr(self, name)

    @cached_property
    def claim_by_id(self) -> Loader[str, MaybeClaim]:
        """The viewer's claim with an id; None when there is none."""

        async def batch(claim_ids: list[str]) -> list[MaybeClaim | Exception]:
            return await self._claims(claim_ids, self.clients.refund_engine.claim, lambda claim: claim.id)

        return Loader(batch)

    @cached_property
    def claim_by_case_number(self) -> Loader[str, MaybeClaim]:
        """The viewer's claim with a number; None when there is none."""

        async def batch(case_numbers: list[str]) -> list[MaybeClaim | Exception]:
            ask = self.clients.refund_engine.claim_by_case_number
            return await self._claims(case_numbers, ask, lambda claim: claim.case_number)

        return Loader(batch)

    @cached_property
    def ledger_by_claim_id(self) -> Loader[str, Page[LedgerRecord]]:
        """All ledger rows of one claim, newest first. The claim is known to be the viewer's.

        A few are asked for one by one. For more, the viewer's ledger is read; where it is too long to be read
        to its end, it tells of no claim whether that was all, and there is `ResultTooLarge`.
        """

        async def batch(claim_ids: list[str]) -> list[Page[LedgerRecord] | Exception]:
            if len(claim_ids) <= SINGLES_AT_MOST:
                return await each(claim_ids, self._ledger_of_claim, at_once=SINGLES_AT_ONCE)
            ledger = await self._ledger()
            if doubt := ledger.doubt("refund-engine", "listLedger"):
                return [doubt] * len(claim_ids)
            of_claim: defaultdict[str | None, list[LedgerRecord]] = defaultdict(list)
            for row in ledger.rows:
                of_claim[row.case_id].append(row)
            return [Page(of_claim[key], len(of_claim[key]), ledger.as_of) for key in claim_ids]

        return Loader(batch)

    @cached_property
    def claim_stats(self) -> Shared[Answer[ClaimStatsRecord]]:
        """Figures over all claims of the viewer."""
        return Shared(self.clients.refund_engine.claim_stats)

    async def claims_page(self, **question: Any) -> Page[ClaimRecord]:
        """As `RefundEngine.claims_page`; its rows need not be asked for again."""
        return self._remembered(await self.clients.refund_engine.claims_page(**question))

    async def claims_found(self, text: str, *, limit: int) -> Page[ClaimRecord]:
        """As `RefundEngine.claims_found`; its rows need not be asked for again."""
        return self._remembered(await self.clients.refund_engine.claims_found(text, limit=limit))

    async def claims_in_state(self, status: str) -> Scan[ClaimRecord]:
        """The viewer's claims in one state, up to 600."""

        async def page_at(offset: int) -> Page[ClaimRecord]:
            return await self.claims_page(status=status, limit=LIST_PAGE, offset=offset)

        return await scan(page_at, page_size=LIST_PAGE, pages_at_most=STATE_PAGES_AT_MOST)

    async def _claims(
        self,
        keys: list[str],
        ask: Callable[[str], Awaitable[MaybeClaim]],
        key_of: Callable[[ClaimRecord], str],
    ) -> list[MaybeClaim | Exception]:
        found: dict[str, MaybeClaim | Exception] = {}
        total, complete, few = 0, False, len(keys) <= SINGLES_AT_MOST
        for number in range(LIST_PAGES_AT_MOST):
            if few and number not in self._list_pages:
                break
            try:
                page = await self._list_page(number)
            except UpstreamError:
                if few or number:  # what was brought before stays
                    break
                raise
            found |= {key_of(row): Answer(row, page.as_of) for row in page.rows}
            if number == 0:
                total = page.total or 0
            # An old list cannot say that a claim is not there, nor one that lost a row between two pages.
            complete = len(found) >= total and not page.stale
            if page.stale or complete or all(key in found for key in keys):
                break

        async def single(key: str) -> MaybeClaim:
            answer = await ask(key)
            if answer is None or answer.value.user_id != self.viewer.user_id:
                return None
            self._remember([answer.value], answer.as_of)
            return answer

        misses = [key for key in keys if key not in found]
        if complete:  # all of the viewer's claims were read: what is missing is not theirs
            found |= dict.fromkeys(misses)
        else:
            found |= dict(zip(misses, await each(misses, single, at_once=SINGLES_AT_ONCE), strict=True))
        return [found[key] for key in keys]

    @cached_property
    def _list_pages(self) -> dict[int, Shared[Page[ClaimRecord]]]:
        return {}

    async def _list_page(self, number: int) -> Page[ClaimRecord]:
        """A page of the list of all claims, from 0: read once, however many batches look into it."""

        async def ask() -> Page[ClaimRecord]:
            return await self.claims_page(limit=LIST_PAGE, offset=number * LIST_PAGE)

        return await self._list_pages.setdefault(number, Shared(ask))()

    def _remembered(self, page: Page[ClaimRecord]) -> Page[ClaimRecord]:
        rows = [row for row in page.rows if row.user_id == self.viewer.user_id]
        self._remember(rows, page.as_of)
        return page._replace(rows=rows)

    def _remember(self, rows: Sequence[ClaimRecord], as_of: datetime) -> None:
        self.claim_by_id.bring((row.id, Answer(row, as_of)) for row in rows)
        self.claim_by_case_number.bring((row.case_number, Answer(row, as_of)) for row in rows)

    @cached_property
    def _ledger(self) -> Shared[Scan[LedgerRecord]]:
        async def page_at(offset: int) -> Page[LedgerRecord]:
            return await self.clients.refund_engine.ledger_page(limit=LEDGER_PAGE, offset=offset)

        return Shared(lambda: scan(page_at, page_size=LEDGER_PAGE, pages_at_most=LEDGER_PAGES_AT_MOST))

    async def _ledger_of_claim(self, claim_id: str) -> Page[LedgerRecord]:
        page = await self.clients.refund_engine.ledger_page(claim_id=claim_id, limit=LEDGER_PAGE)
        if (page.total or 0) > LEDGER_PAGE:
            raise ResultTooLarge("refund-engine", "listLedger")
        return page
