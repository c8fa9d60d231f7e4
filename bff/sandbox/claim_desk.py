"""The claim desk of the refund engine: where a claim is opened and changed, and what its columns take.

Quirks kept: three columns are asked for and five are needed, so a missing score or day is a 500; amount 0 is
a missing amount; a case number is taken when anybody has it; a change asks neither owner nor state.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from starlette.requests import Request
from starlette.responses import Response

from bff.sandbox.reading import Claims, is_uuid, json_of
from bff.sandbox.world import Row, World
from bff.sandbox.writing import answer, erroneous, js_time, now

_ASKED_FOR = ("case_number", "claim_amount", "product_category")
_STATES = ("pending", "approved", "rejected", "processing", "paid")


def failed(to_do: str) -> Response:
    """Answer 500: whatever PostgreSQL said stays in the log."""
    return erroneous(500, "Internal server error", f"Failed to {to_do}")


def one(row: Row | None, what: str = "Claim", *, done: str | None = None) -> Response:
    """Answer with one row, and what was done to it, or 404."""
    if row is None:
        hint = f"The specified {what.lower()} does not exist or you do not have access to it"
        return erroneous(404, f"{what} not found", hint)
    said = {} if done is None else {"message": f"{what} {done} successfully"}
    return answer({"success": True, "data": row, **said}, 201 if done == "created" else 200)


class ClaimDesk:
    """Writes claims; refuses as its validation and its database do."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def create(self, request: Request, token: Claims) -> Response:
        body = await json_of(request)
        if not all(body.get(name) for name in _ASKED_FOR):
            hint = "case_number, claim_amount, and product_category are required"
            return erroneous(400, "Missing required fields", hint)
        user_id = token.get("id")
        try:
            values = _stored({name: body.get(name) for name in _OF_A_NEW_CLAIM})
        except ValueError:
            return failed("create claim")
        if not is_uuid(user_id):
            return failed("create claim")
        if self._has_number(values["case_number"]):
            return erroneous(409, "Duplicate case number", "A claim with this case number already exists")
        at = js_time(now())
        row = {
            "id": str(uuid.uuid4()),
            "user_id": user_id,
            **values,
            "status": "pending",
            "ml_prediction": None,
            "ml_confidence": None,
            "created_at": at,
            "updated_at": at,
        }
        self._world.claims[row["id"]] = row
        self._world.note(
            "refund-engine", "createClaim", id=row["id"], user_id=user_id, case_number=row["case_number"]
        )
        return one(row, done="created")

    async def update(self, request: Request, token: Claims) -> Response:
        body, key = await json_of(request), request.path_params["id"]
        try:
            values = _stored(body)  # keys become column names: a stranger among them breaks the SQL
        except ValueError:
            return failed("update claim")
        if not is_uuid(key):
            return failed("update claim")
        row = self._world.claims.get(key.lower())  # whoever asks
        if row is None:
            return one(None)
        number = values.get("case_number", row["case_number"])
        if number != row["case_number"] and self._has_number(number):
            return failed("update claim")
        if values:
            row.update(values, updated_at=js_time(now()))
            self._world.note("refund-engine", "updateClaim", id=row["id"], changed=values)
        return one(row, done="updated")

    def _has_number(self, number: object) -> bool:
        return any(row["case_number"] == number for row in self._world.claims.values())


def _stored(values: Row) -> Row:
    """Return the values as the table keeps them.

    Raises:
        ValueError: the database would refuse one of them, or the name of its column.
    """
    unknown = values.keys() - _COLUMNS.keys()
    if unknown:
        raise ValueError(f'column "{min(unknown)}" does not exist')
    return {name: _COLUMNS[name](value) for name, value in values.items()}


def _text(most: int) -> Callable[[object], str]:
    def store(value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError("null, or no text")
        if len(str(value)) > most:
            raise ValueError(f"value too long for type character varying({most})")
        return str(value)

    return store


def _decimal(digits: int) -> Callable[[object], str]:
    """Store as NUMERIC(digits, 2): rounded half away from zero, refused when it overflows."""

    def store(value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError("null, or no number")
        try:
            rounded = Decimal(str(value)).quantize(Decimal("0.01"), ROUND_HALF_UP)
        except InvalidOperation as exc:
            raise ValueError("invalid input syntax for type numeric") from exc
        if not abs(rounded) < 10 ** (digits - 2):
            raise ValueError("numeric field overflow")
        return str(rounded)

    return store


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("null, or invalid input syntax for type integer")
    number = int(value)
    if not -(2**31) <= number < 2**31:
        raise ValueError("integer out of range")
    return number


def _state(value: object) -> str:
    if value not in _STATES:
        raise ValueError('violates check constraint "cases_status_check"')
    return str(value)


def _or_null(store: Callable[[object], str]) -> Callable[[object], str | None]:
    return lambda value: None if value is None else store(value)


_COLUMNS: Mapping[str, Callable[[object], object]] = {
    "case_number": _text(50),
    "claim_amount": _decimal(10),
    "customer_history_score": _decimal(3),
    "product_category": _text(100),
    "days_since_purchase": _whole,
    "claim_description": _or_null(_text(1_000_000)),
    "status": _state,
    "ml_prediction": _or_null(_decimal(3)),
    "ml_confidence": _or_null(_decimal(3)),
}
_OF_A_NEW_CLAIM = tuple(_COLUMNS)[:6]
