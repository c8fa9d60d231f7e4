"""Stripe payments: commission charges and Connect accounts, in cents, of users and claims that are integers.

Quirks kept: the user in the path is read by its leading digits and never compared with the token; there is
no route to one transaction; an unknown user has an empty list; the trail of a transaction is its last five.
"""

from __future__ import annotations

from math import ceil

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.sandbox.commission_desk import CommissionDesk
from bff.sandbox.door import Manners, draft6_headers, express
from bff.sandbox.reading import (
    Claims,
    Endpoint,
    SignedIn,
    guarded,
    leading_int,
    prisma_page,
    query_int,
    v8_complaint,
)
from bff.sandbox.world import Row, World
from bff.sandbox.writing import answer, erroneous, js_time, now


def _malformed(body: bytes) -> Response:
    complaint = v8_complaint(body)
    # Outside production it hands out the stack as well.
    stack = f"SyntaxError: {complaint}\n    at JSON.parse (<anonymous>)"
    return erroneous(400, "Internal server error", complaint, stack=stack)


# Its 500s hand out what the ORM says, paths and hosts included: whoever passes messages on has to know.
_ORM = (
    "\nInvalid `prisma.stripeTransaction.findMany()` invocation in\n"
    "/srv/app/src/controllers/checkoutController.ts:421:59\n\n{why}"
)
_NO_DATABASE = _ORM.format(why="Can't reach database server at 127.0.0.1:5432")

MANNERS = Manners(
    failure=lambda: erroneous(500, "Internal server error", _NO_DATABASE),
    too_many=lambda: erroneous(429, "Too many requests", "Rate limit exceeded. Please try again later."),
    malformed=_malformed,
    limit_headers=draft6_headers,
)


def app(world: World, *, secret: str) -> Starlette:
    """Build the service over ``world``; ``secret`` is what its tokens are signed with."""
    payments, desk = _StripePayments(world), CommissionDesk(world)

    def own(handler: SignedIn) -> Endpoint:
        return guarded(
            handler,
            secret,
            missing=lambda: erroneous(401, "Authentication required", "Authorization header is required"),
            bad=lambda: erroneous(401, "Invalid token", "Token is invalid or expired"),
            token_of=_token,
        )

    routes = [
        Route("/health", payments.health),
        Route("/api/v1/stripe/status/{user_id}", own(payments.account)),
        Route("/api/v1/stripe/transactions/{user_id}", own(payments.transactions)),
        Route("/api/v1/stripe/charge-commission", own(desk.charge), methods=["POST"]),
        Route("/api/v1/stripe/create-customer-setup", own(desk.set_card_up), methods=["POST"]),
    ]

    def lost(request: Request) -> Response:
        return erroneous(404, "Not found", f"Route {request.method} {request.url.path} not found")

    return express(routes, lost)


def _token(request: Request) -> str | None:
    """Take the header with or without ``Bearer``: here the word is optional."""
    return request.headers.get("authorization", "").removeprefix("Bearer ").strip() or None


class _StripePayments:
    def __init__(self, world: World) -> None:
        self._world = world

    async def health(self, request: Request) -> Response:
        return answer(
            {
                "status": "healthy",
                "timestamp": js_time(now()),
                "service": "stripe-payments",
                "version": "1.0.0",
                "environment": "sandbox",
                "stripeLiveMode": False,
            }
        )

    async def account(self, request: Request, token: Claims) -> Response:
        user_id = leading_int(request.path_params["user_id"])
        if not user_id:
            return _bad_user_id()
        account = self._world.accounts.get(user_id)
        if account is None:
            return erroneous(404, "Account not found", "No Stripe account found for this user")
        return answer({"success": True, "data": account})

    async def transactions(self, request: Request, token: Claims) -> Response:
        user_id = leading_int(request.path_params["user_id"])
        if not user_id:
            return _bad_user_id()
        status = request.query_params.get("status")
        rows = sorted(
            (
                row
                for row in self._world.transactions.values()
                if row["userId"] == user_id and (not status or row["status"] == status)
            ),
            key=lambda row: (row["createdAt"], row["id"]),
            reverse=True,
        )
        page = query_int(request, "page", 1) or 1
        limit = query_int(request, "limit", 20) or 20  # 0 and 'abc' both mean twenty
        cut = prisma_page(rows, page, limit)
        if cut is None:
            why = "Invalid value for skip argument: Value can only be positive"
            return erroneous(500, "Internal server error", _ORM.format(why=why))
        pagination = {"page": page, "limit": limit, "total": len(rows), "pages": ceil(len(rows) / limit)}
        data = {"transactions": [_with_last_five(row) for row in cut], "pagination": pagination}
        return answer({"success": True, "data": data})


def _bad_user_id() -> Response:
    return erroneous(400, "Invalid user ID", "User ID is required")


def _with_last_five(row: Row) -> Row:
    return {**row, "auditTrail": row["auditTrail"][:5]}
