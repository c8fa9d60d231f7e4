"""The commission desk of stripe: where a recovered amount is charged for, and a card setup begun.

Quirks kept: a key in the header must be there, and does nothing unless the body repeats it; the same key with
another payload is answered from memory; a claim is charged once, whoever asks; who pays is read from the body
and never compared with the token; a charge is only ever queued.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from bff.sandbox.reading import Claims, json_of
from bff.sandbox.rows import platform_fee
from bff.sandbox.world import Row, World
from bff.sandbox.writing import answer, erroneous, js_time, now

_REMEMBERS = timedelta(hours=24)
_CURRENCIES = ("usd", "eur", "gbp", "cad")
_MOST_CENTS = 100_000_000
_MOST_INTEGER = 2**31 - 1
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
_NO_ACCOUNT = (
    "\nInvalid `prisma.stripeTransaction.create()` invocation in\n"
    "/srv/app/src/controllers/checkoutController.ts:245:58\n\n  242 }\n  243 \n"
    "  244 // Create transaction record\n→ 245 const transaction = await prisma.stripeTransaction.create(\n"
    "Foreign key constraint violated on the constraint: `StripeTransaction_userId_fkey`"
)


class CommissionDesk:
    """Writes transactions and customers."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def charge(self, request: Request, token: Claims) -> Response:
        key = request.headers.get("idempotency-key") or request.headers.get("x-idempotency-key")
        if not key:
            hint = "Idempotency-Key or X-Idempotency-Key header is required"
            return erroneous(400, "Missing idempotency key", hint)
        if not _UUID.fullmatch(key):
            hint = "Idempotency key must be a valid UUID v4"  # so it says; any version does
            return erroneous(400, "Invalid idempotency key format", hint)
        body = await json_of(request)
        remembered = self._remembered(token, key)
        if remembered is not None:
            return answer(remembered)
        details = _details(body)
        if details:
            return erroneous(400, "Validation failed", details=details)
        claim_id = None if body.get("claimId") is None else int(body["claimId"])
        for row in self._world.transactions.values():
            if claim_id is not None and row["claimId"] == claim_id:
                message = "Transaction already exists for this claim"
                data = {"transactionId": row["id"], "status": row["status"], "message": message}
                return answer({"success": True, "data": data})
        cents = int(body["amountRecoveredCents"])
        if platform_fee(cents) > cents:
            return erroneous(400, "Fee calculation failed", "Seller payout cannot be negative")
        if int(body["userId"]) not in self._world.accounts:
            return erroneous(500, "Internal server error", _NO_ACCOUNT)
        row = self._write(body, claim_id, cents)
        data = {name: row[name] for name in ("status", "platformFeeCents", "sellerPayoutCents", "currency")}
        data |= {"transactionId": row["id"], "message": "Commission charge initiated"}
        said: Row = {"success": True, "data": data}
        if body.get("idempotencyKey") == key:
            self._world.replays[str(token.get("userId")), key] = (now(), said)
        return answer(said)

    def _remembered(self, token: Claims, key: str) -> Row | None:
        said_at, said = self._world.replays.get((str(token.get("userId")), key), (None, None))
        return said if said_at is not None and now() - said_at < _REMEMBERS else None

    def _write(self, body: Row, claim_id: int | None, cents: int) -> Row:
        key = max(self._world.transactions, default=0) + 1
        fee, at = platform_fee(cents), js_time(now())
        queued = {
            "id": key * 10,
            "transactionId": key,
            "action": "payment_intent_created",
            "status": "pending",
            "stripeEventId": None,
            "metadata": {},
            "createdAt": at,
        }
        row: Row = {
            "id": key,
            "userId": int(body["userId"]),
            "claimId": claim_id,
            "amountRecoveredCents": cents,
            "platformFeeCents": fee,
            "sellerPayoutCents": cents - fee,
            "currency": body["currency"],
            "stripePaymentIntentId": f"pi_sandbox_{key}",
            "stripeChargeId": None,
            "stripeTransferId": None,
            "stripeInvoiceId": None,
            "stripeCustomerId": body.get("customerId"),
            "stripePaymentMethodId": body.get("paymentMethodId"),
            "status": "pending",
            "idempotencyKey": body.get("idempotencyKey"),
            "metadata": {},
            "createdAt": at,
            "updatedAt": at,
            "auditTrail": [queued],
        }
        self._world.transactions[key] = row
        self._world.note(
            "stripe", "chargeCommission", id=key, user_id=row["userId"], claim_id=claim_id, cents=cents
        )
        return row

    async def set_card_up(self, request: Request, token: Claims) -> Response:
        body = await json_of(request)
        if not body.get("userId") or not body.get("email"):
            return erroneous(400, "Missing parameters", "userId and email are required")
        user_id = str(body["userId"])
        customer_id = self._world.customers.setdefault(user_id, f"cus_sandbox_{user_id}")
        self._world.note("stripe", "createCustomerSetup", user_id=user_id, customer_id=customer_id)
        secret = f"seti_sandbox_{secrets.token_hex(8)}_secret_{secrets.token_hex(12)}"
        return answer({"success": True, "data": {"customerId": customer_id, "setupClientSecret": secret}})


def _details(body: Row) -> list[Row]:
    """List what express-validator has against a charge, in its order and words."""
    checks: list[tuple[str, Callable[[object], bool], str]] = [
        ("userId", lambda value: _is_int(value, -_MOST_INTEGER, _MOST_INTEGER), "User ID must be an integer"),
        (
            "amountRecoveredCents",
            lambda value: _is_int(value, 1, _MOST_CENTS),
            "Amount must be a positive integer",
        ),
        ("currency", lambda value: value in _CURRENCIES, "Invalid currency"),
        (
            "claimId",
            lambda value: value is None or _is_int(value, -_MOST_INTEGER, _MOST_INTEGER),
            "Claim ID must be an integer",
        ),
    ]
    return [
        {
            "type": "field",
            **({"value": body[name]} if name in body else {}),
            "msg": message,
            "path": name,
            "location": "body",
        }
        for name, is_right, message in checks
        if not is_right(body.get(name))
    ]


def _is_int(value: object, least: int, most: int) -> bool:
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value)):
        return False
    return least <= int(str(value)) <= most
