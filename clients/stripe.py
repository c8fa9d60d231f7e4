"""Stripe payments: what became of recovered money.

It knows people and claims by integers, reads a path id by its leading digits, and compares nobody with the
token: `3fa85f64-…` would answer with user 3's transactions. So the id comes from the verified token, always.
"""

from typing import Generic, Literal, TypeVar
from uuid import UUID

from pydantic import Field, TypeAdapter

from clients.addresses import given
from clients.caller import Caller
from clients.chain.question import Disguise
from clients.errors import PaymentAccountMissing, PaymentsIdentityMissing, UpstreamNotFound
from clients.records import Int32, Record, Rows, UtcTime, Word
from clients.transport import Answer, Page, Upstream

T = TypeVar("T")

Currency = Literal["usd", "eur", "gbp", "cad"]
CARD_SETUP_TIMEOUT_S = 4.0  # two requests to Stripe itself, one after the other

_NO_ACCOUNT = (Disguise(404, r"Account not found|No Stripe account found .*", UpstreamNotFound),)
_ACCOUNT_MISSING = (Disguise(500, r".*StripeTransaction_userId_fkey.*", PaymentAccountMissing),)


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
    steps: Rows[PaymentStepRecord] = Field(validation_alias="auditTrail")


class AccountRecord(Record):
    """The viewer's account with the payment provider. Its `status` is absent in practice and not read."""

    charges_enabled: bool = Field(validation_alias="chargesEnabled")
    payouts_enabled: bool = Field(validation_alias="payoutsEnabled")
    details_submitted: bool = Field(validation_alias="detailsSubmitted")


class ChargeRecord(Record):
    """A commission charge that was queued; "pending" never means that money moved.

    A claim is charged once: asked again, the service answers with the charge there is, without amounts. That
    may be another seller's, should two claims share an integer; `transactions_page` shows the viewer's own.
    """

    transaction_id: int = Field(validation_alias="transactionId")
    status: Word
    fee_cents: int | None = Field(None, validation_alias="platformFeeCents")
    payout_cents: int | None = Field(None, validation_alias="sellerPayoutCents")
    currency: str | None = None

    @property
    def existed_before(self) -> bool:
        """Whether the claim had been charged for already, under another key."""
        return self.fee_cents is None


class CardSetupRecord(Record):
    """What the viewer's browser needs to give a card to Stripe."""

    customer_id: str = Field(validation_alias="customerId")
    client_secret: str = Field(validation_alias="setupClientSecret", repr=False)  # a secret


class StripeHealth(Record):
    status: Word

    @property
    def dependency_down(self) -> bool:
        return self.status != "healthy"


class _Pagination(Record):
    total: Int32


class _Transactions(Record):
    transactions: Rows[TransactionRecord]
    pagination: _Pagination


class _Data(Record, Generic[T]):
    data: T


TRANSACTIONS = TypeAdapter(_Data[_Transactions])
ACCOUNT = TypeAdapter(_Data[AccountRecord])
CHARGE = TypeAdapter(_Data[ChargeRecord])
CARD_SETUP = TypeAdapter(_Data[CardSetupRecord])
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
        return Page(rows, answer.value.data.pagination.total, answer.as_of, answer.failure)

    async def account(self) -> Answer[AccountRecord] | None:
        """The viewer's account; None when they never began with one. Each call asks Stripe and writes.

        Raises:
            PaymentsIdentityMissing: the token names no payment identity; nothing is asked.

        Source: `GET /api/v1/stripe/status/{userId}`, getAccountStatus, stripe.openapi.yaml.
        """
        user_id = self._user_id("getAccountStatus")
        try:
            answer = await self._upstream.call(
                self._caller,
                "getAccountStatus",
                "GET",
                f"/api/v1/stripe/status/{user_id}",
                ACCOUNT,
                disguises=_NO_ACCOUNT,
            )
        except UpstreamNotFound:
            return None
        return Answer(answer.value.data, answer.as_of)

    async def charge(
        self, *, stripe_claim_id: int, recovered_cents: int, currency: Currency, idempotency_key: UUID
    ) -> Answer[ChargeRecord]:
        """Queue the commission on one recovered amount; the same key, or the same claim, charges once.

        Args:
            stripe_claim_id: from the BFF's own id map, stored before this call.
            recovered_cents: 1 to 100 000 000; the fee is a fifth of it, at least 50 cents.
            idempotency_key: any UUID of version 1 to 5. It goes into header and body, for the service keeps
                an answer only when both have it. Kept 24 h; another amount under the same key gets the
                first answer again.

        Raises:
            PaymentsIdentityMissing: the token names no payment identity; nothing is asked.
            PaymentAccountMissing: the viewer has no account there; nothing was charged.
            UpstreamRejected: 400, an amount or a key that it does not take, as when the fee would exceed
                the amount; 410, this deployment charges no commission any more (`status` tells which).
            UpstreamError: where `maybe_done`, `transactions_page` settles it. Without its Redis the service
                writes the charge and then hangs, so longer waiting brings nothing.

        Source: `POST /api/v1/stripe/charge-commission`, chargeCommission, stripe.openapi.yaml.
        """
        key = str(idempotency_key)
        answer = await self._upstream.call(
            self._caller,
            "chargeCommission",
            "POST",
            "/api/v1/stripe/charge-commission",
            CHARGE,
            body={
                "userId": self._user_id("chargeCommission"),
                "claimId": stripe_claim_id,
                "amountRecoveredCents": recovered_cents,
                "currency": currency,
                "idempotencyKey": key,
            },
            idempotency_key=key,
            disguises=_ACCOUNT_MISSING,
        )
        return Answer(answer.value.data, answer.as_of)

    async def create_card_setup(self, *, email: str, name: str | None) -> Answer[CardSetupRecord]:
        """Begin the setup of a card: a customer, the same one each time, and a new secret for the browser.

        Nothing is owed by it, so a broken answer is asked for again.

        Raises:
            PaymentsIdentityMissing: the token names no payment identity; nothing is asked.

        Source: `POST /api/v1/stripe/create-customer-setup`, createCustomerSetup, stripe.openapi.yaml.
        """
        user_id = self._user_id("createCustomerSetup")
        answer = await self._upstream.call(
            self._caller,
            "createCustomerSetup",
            "POST",
            "/api/v1/stripe/create-customer-setup",
            CARD_SETUP,
            body=given(userId=user_id, email=email, name=name),
            idempotent=True,
            timeout_s=CARD_SETUP_TIMEOUT_S,
        )
        return Answer(answer.value.data, answer.as_of)

    async def health(self) -> Answer[StripeHealth]:
        """Source: `GET /health`, stripeHealth, stripe.openapi.yaml. Counts against the quota."""
        return await self._upstream.call(self._caller, "stripeHealth", "GET", "/health", HEALTH)

    def _user_id(self, operation: str) -> int:
        viewer = self._caller.viewer
        if viewer is None or viewer.stripe_user_id is None:
            raise PaymentsIdentityMissing(self._upstream.name, operation)
        return viewer.stripe_user_id
