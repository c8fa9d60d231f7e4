"""The connection desk of integrations: where a consent begins, lapses and is taken back.

Quirks kept: Amazon hands out a consent page even to who is connected, the others do not; a reconnect marks
the connection expired before anybody consents; disconnecting what was never connected succeeds.

Nobody comes back from the consent pages: a test that needs a connection writes it into ``World.connections``.
"""

from __future__ import annotations

import secrets
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from bff.sandbox.reading import Claims
from bff.sandbox.world import Row, World
from bff.sandbox.writing import answer, js_time, now, pg_time, to_ms, unsuccessful

PROVIDERS = ("amazon", "gmail", "stripe")
_CONSENT_PAGES = {
    "amazon": "https://sellercentral.amazon.example/apps/authorize/consent",
    "gmail": "https://accounts.google.example/o/oauth2/v2/auth",
    "stripe": "https://connect.stripe.example/oauth/authorize",
}
_SCOPES = {
    "amazon": "sellingpartnerapi::notifications sellingpartnerapi::migration",
    "gmail": "https://www.googleapis.com/auth/gmail.readonly",
    "stripe": "read_write",
}


class ConnectionDesk:
    """Writes the state of connections."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def connect_amazon(self, request: Request, token: Claims) -> Response:
        return _consent("amazon", secrets.token_hex(32))

    async def connect_gmail(self, request: Request, token: Claims) -> Response:
        return self._connected("gmail", token) or _consent("gmail", secrets.token_hex(32))

    async def connect_stripe(self, request: Request, token: Claims) -> Response:
        return self._connected("stripe", token) or _consent("stripe", str(token.get("id")))

    async def reconnect(self, request: Request, token: Claims) -> Response:
        provider = request.path_params["provider"]
        if provider not in PROVIDERS:
            return unsuccessful(400, "Provider not supported for reconnection")
        at = to_ms(now())
        self._change(
            provider,
            token,
            "reconnectIntegration",
            {"status": "expired", "updated_at": pg_time(at)},
            {"reconnection_attempted_at": js_time(at)},
        )
        query = urlencode({"reconnect": "true", "userId": token.get("id")})
        data = {
            "reconnectUrl": f"http://localhost:3000/integrations/{provider}/connect?{query}",
            "message": f"Redirect to this URL to reconnect your {provider} integration",
        }
        return answer({"success": True, "data": data})

    async def disconnect(self, request: Request, token: Claims) -> Response:
        provider = request.path_params["connector"]
        if provider not in PROVIDERS:  # there is no such route
            return unsuccessful(404, f"Route {request.url.path} not found")
        change = {"status": "revoked", "updated_at": pg_time(to_ms(now()))}
        self._change(provider, token, "disconnectIntegration", change, {})
        message = f"{provider.capitalize()} integration disconnected successfully"
        return answer({"success": True, "message": message})

    def _connected(self, provider: str, token: Claims) -> Response | None:
        row = self._row(provider, token)
        if row is None or row["status"] != "active":
            return None
        return answer({"success": True, "message": f"{provider.capitalize()} is already connected"})

    def _change(self, provider: str, token: Claims, operation: str, change: Row, metadata: Row) -> None:
        row = self._row(provider, token)
        if row is not None:
            row.update(change, metadata={**row["metadata"], **metadata})
            self._world.note("integrations", operation, provider=provider, user_id=row["user_id"])

    def _row(self, provider: str, token: Claims) -> Row | None:
        key = (token.get("id"), provider)
        rows = self._world.connections.values()
        return next((row for row in rows if (row["user_id"], row["provider"]) == key), None)


def _consent(provider: str, state: str) -> Response:
    query = {
        "client_id": "sandbox",
        "response_type": "code",
        "redirect_uri": f"http://127.0.0.1:3001/api/{provider}/callback",
        "scope": _SCOPES[provider],
        "state": state,
    }
    url = f"{_CONSENT_PAGES[provider]}?{urlencode(query)}"
    message = f"{provider.capitalize()} OAuth initiated"
    return answer({"success": True, "message": message, "authUrl": url})
