"""Loaders of payments, from stripe, through the map of claims to stripe's integers.

Stripe lists a user's charges and filters by nothing but state, so the list is read once per operation, in
pages of 100 that every field shares.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from functools import cached_property

from clients.stripe import AccountRecord, TransactionRecord
from clients.transport import Answer, Page
from resolvers.loaders.batching import Loader, Scan, Shared, found_in, rows_between, scan, settled
from resolvers.loaders.claims import ClaimLoaders, MaybeClaim

PAGE = 100
PAGES_AT_MOST = 5


class PaymentLoaders(ClaimLoaders):
    """Whatever is asked of payments in one operation."""

    @cached_property
    def payments_by_claim_id(self) -> Loader[str, Page[TransactionRecord]]:
        """The charges for a claim, newest first; empty when it was never charged."""

        async def batch(claim_ids: list[str]) -> list[Page[TransactionRecord] | Exception]:
            transactions = await self._transactions()
            numbers = {row.claim_id for row in transactions.rows if row.claim_id is not None}
            claim_of = await self.store.stripe_map.claim_ids(numbers)
            of_claim: defaultdict[str | None, list[TransactionRecord]] = defaultdict(list)
            for row in transactions.rows:
                of_claim[claim_of.get(row.claim_id) if row.claim_id else None].append(row)
            doubt = transactions.doubt("stripe", "listTransactions")
            unread: Collection[str] = ()  # claims whose charges may lie beyond what was read
            if doubt:
                unread = await self.store.stripe_map.stripe_ids(set(claim_ids) - of_claim.keys())

            none: Page[TransactionRecord] = Page([], 0, transactions.as_of)

            def found(claim_id: str) -> Page[TransactionRecord] | Exception:
                if doubt and claim_id in unread:
                    return doubt
                rows = of_claim.get(claim_id)
                return Page(rows, len(rows), transactions.as_of) if rows else none

            return [found(claim_id) for claim_id in claim_ids]

        return Loader(batch)

    @cached_property
    def payment_by_id(self) -> Loader[int, Answer[TransactionRecord | None]]:
        """The charge with a number; an answer of None says that the viewer has none such."""

        async def batch(payment_ids: list[int]) -> list[Answer[TransactionRecord | None] | Exception]:
            transactions = await self._transactions()
            by_id = {transaction.id: transaction for transaction in transactions.rows}
            doubt = transactions.doubt("stripe", "listTransactions")
            return [found_in(transactions, by_id.get(payment_id), doubt) for payment_id in payment_ids]

        return Loader(batch)

    @cached_property
    def claim_by_stripe_id(self) -> Loader[int, MaybeClaim]:
        """The viewer's claim behind one of stripe's integers; None when this API recorded none."""

        async def batch(stripe_ids: list[int]) -> list[MaybeClaim | Exception]:
            claim_ids = await self.store.stripe_map.claim_ids(stripe_ids)

            async def claim_of(stripe_id: int) -> MaybeClaim:
                claim_id = claim_ids.get(stripe_id)
                return None if claim_id is None else await self.claim_by_id.load(claim_id)

            return await settled(map(claim_of, stripe_ids))  # type: ignore[return-value]

        return Loader(batch)

    @cached_property
    def payment_account(self) -> Shared[Answer[AccountRecord] | None]:
        """The viewer's account with the payment provider; None when they never began with one."""
        return Shared(self.clients.stripe.account)

    async def payments_page(self, offset: int, end: int, *, status: str | None) -> Page[TransactionRecord]:
        """The viewer's charges from `offset` up to `end`, newest first."""

        async def in_state(number: int) -> Page[TransactionRecord]:
            return await self.clients.stripe.transactions_page(limit=PAGE, page=number, status=status)

        page = await rows_between(
            self._transactions_page if status is None else in_state, offset, end, page_size=PAGE
        )
        self.payment_by_id.bring((row.id, Answer(row, page.as_of)) for row in page.rows)
        return page

    async def payments_since(self, start: datetime | None) -> Scan[TransactionRecord]:
        """The charges recorded since `start`, newest first, among the 500 latest; None reads all of them.

        Complete when `start` was reached, or the end of the list.
        """
        by_id: dict[int, TransactionRecord] = {}  # a charge that is made meanwhile moves one to a second page
        as_of: list[datetime] = []
        for number in range(1, PAGES_AT_MOST + 1):
            page = await self._transactions_page(number)
            by_id |= {row.id: row for row in page.rows}
            rows = list(by_id.values())
            as_of.append(page.as_of)
            reached_start = start is not None and bool(rows) and rows[-1].created_at < start
            if reached_start or (page.total or 0) <= number * PAGE:
                inside = [row for row in rows if start is None or row.created_at >= start]
                return Scan(inside, complete=True, as_of=min(as_of))
        return Scan(rows, complete=False, as_of=min(as_of))

    @cached_property
    def _transactions(self) -> Shared[Scan[TransactionRecord]]:
        async def page_at(offset: int) -> Page[TransactionRecord]:
            return await self._transactions_page(offset // PAGE + 1)

        return Shared(lambda: scan(page_at, page_size=PAGE, pages_at_most=PAGES_AT_MOST))

    @cached_property
    def _pages(self) -> dict[int, Shared[Page[TransactionRecord]]]:
        return {}

    async def _transactions_page(self, number: int) -> Page[TransactionRecord]:
        async def ask() -> Page[TransactionRecord]:
            return await self.clients.stripe.transactions_page(limit=PAGE, page=number)

        return await self._pages.setdefault(number, Shared(ask))()
