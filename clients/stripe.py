"""Stripe payments: what became of recovered money.

It knows people and claims by integers, reads a path id by its leading digits, and compares nobody with the
token: `3fa85f64-…` would answer with user 3's transactions. So the id comes from the verified token, always.
"""

from typing import Generic, TypeVar

from pydantic import Field, TypeAdapter

from clients.caller import Caller
from clients.errors import PaymentsIdentityMissing, UpstreamNotFound
from clients.records import Int32, Record, UtcTime, Word
from clients.transport import Answer, Page, Upstream, given

T = TypeVar("T")


class PaymentStepRecord(Record):
    """One step of a charge. Each transaction carries its latest five."""

    id: int
    action: Word
    status: Word
    created_at: UtcTime = Field(validation_alias="createdAt")


class TransactionRecord(Record):
    """A commission charge, in whole cents."""

    id: int
    user_id: int = Field(validation_alias="userId")
    claim_id: int | None = Field(validation_alias="claimId")
    recovered_cents: int = Field(validation_alias="amountRecoveredCents")
    fee_cents: int = Field(validation_alias="platformFeeCents")
    payout_cents: int = Field(validation_alias="sellerPayoutCents")
    currency: str
    transfer_id: str | None = Field(None, validation_alias="stripeTransferId")
    status: Word
    created_at: UtcTime = Field(validation_alias="createdAt")
    updated_at: UtcTime = Field(validation_alias="updatedAt")
    steps: list[PaymentStepRecord] = Field(validation_alias="auditTrail")


class AccountRecord(Record):
    """The viewer's account with the payment provider. Its `status` is absent in practice and not read."""

    charges_enabled: bool = Field(validation_alias="chargesEnabled")
    payouts_enabled: bool = Field(validation_alias="payoutsEnabled")
    details_submitted: bool = Field(validation_alias="detailsSubmitted")


class StripeHealth(Record):
    status: Word

    @property
    def dependency_down(self) -> bool:
        return self.status != "healthy"


class _Pagination(Record):
    total: Int32


class _Transactions(Record):
    transactions: list[TransactionRecord]
    pagination: _Pagination


class _Data(Record, Generic[T]):
    data: T


TRANSACTIONS = TypeAdapter(_Data[_Transactions])
ACCOUNT = TypeAdapter(_Data[AccountRecord])
HEALTH = TypeAdapter(StripeHealth)


class Stripe:
    """What one caller can ask stripe payments."""

    def __init__(self, upstream: Upstream, caller: Caller) -> None:
        self._upstream = upstream
        self._caller = caller

    async def transactions_page(
        self, *, limit: int, page: int = 1, status: str | None = None
    ) -> Page[TransactionRecord]:
        """One page of the viewer's charges, newest first, with the count of all that match.

        Args:
            limit: 1 to 100 rows.
            page: from 1; the service knows no offset.
            status: only charges in this state, in the service's word.

        Raises:
            PaymentsIdentityMissing: the token names no payment identity; nothing is asked.

        Source: `GET /api/v1/stripe/transactions/{userId}`, listTransactions, stripe.openapi.yaml.
        """
        user_id = self._user_id("listTransactions")
        answer = await self._upstream.call(
            self._caller,
            "listTransactions",
            "GET",
            f"/api/v1/stripe/transactions/{user_id}",
            TRANSACTIONS,
            params=given(page=page, limit=limit, status=status),
        )
        rows = [row for row in answer.value.data.transactions if row.user_id == user_id]
        return Page(rows, answer.value.data.pagination.total, answer.as_of)

    async def account(self) -> Answer[AccountRecord] | None:
        """The viewer's account; None when they never began with one. Each call asks Stripe and writes.

        Raises:
            PaymentsIdentityMissing: the token names no payment identity; nothing is asked.

        Source: `GET /api/v1/stripe/status/{userId}`, getAccountStatus, stripe.openapi.yaml.
        """
        user_id = self._user_id("getAccountStatus")
        try:
            answer = await self._upstream.call(
                self._caller, "getAccountStatus", "GET", f"/api/v1/stripe/status/{user_id}", ACCOUNT
            )
        except UpstreamNotFound:
            return None
        return Answer(answer.value.data, answer.as_of)

    async def health(self) -> Answer[StripeHealth]:
        """Source: `GET /health`, stripeHealth, stripe.openapi.yaml. Counts against the quota."""
        return await self._upstream.call(self._caller, "stripeHealth", "GET", "/health", HEALTH)

    def _user_id(self, operation: str) -> int:
        viewer = self._caller.viewer
        if viewer is None or viewer.stripe_user_id is None:
            raise PaymentsIdentityMissing(self._upstream.name, operation)
        return viewer.stripe_user_id
