"""Who may reach us through a browser, by which name, and what every answer tells the browser.

a request                                     is refused unless
names a host                                  it is one of `BFF_TRUSTED_HOSTS`, where that is set      400
comes from a page (`Origin`)                  the page is ours, or of `BFF_CORS__ORIGINS`              403
comes from another site without an `Origin`   it opens a page: a link, an address that was typed       403

We use no cookies: whoever asks shows a token in a header, which no page of another site can send unless CORS
lets it. So nothing is left to forge; the guard is for the day when a proxy before us turns a cookie into that
header. It believes what browsers themselves say of a request (`Origin`, `Sec-Fetch-Site`), which no page can
change, and demands no header of anybody.
"""

import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.errors import Refused, refused
from bff.media_types import GRAPHQL_RESPONSE, JSON
from bff.plain_values import COMMAS, written_as

PROBES = ("/livez", "/readyz", "/metrics")  # asked by address, of whoever runs us
NO_PAGES = re.compile(r"/graphql$|/api/|/health$")
LOOPBACK = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"

HEADERS_TAKEN = (
    "accept",
    "apollo-require-preflight",
    "apollographql-client-name",
    "apollographql-client-version",
    "apollographql-library-name",
    "apollographql-library-version",
    "authorization",
    "baggage",
    "content-type",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "x-apollo-operation-name",
    "x-coalesce",
    "x-cost",
    "x-rehearse",
    "x-request-budget",
    "x-request-id",
    "x-upstreams",
)
HEADERS_SHOWN = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after", "x-request-id")

SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-resource-policy": "same-origin",
}
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"  # pages have one of their own
DATA_HEADERS = {**SAFE_HEADERS, "content-security-policy": DATA_POLICY}
DATA = (JSON, GRAPHQL_RESPONSE, "text/plain", "text/event-stream", "multipart/mixed")
HSTS = "max-age=31536000"
REASONS = {"HOST_NOT_SERVED": "host", "ORIGIN_NOT_ALLOWED": "origin"}  # for the operator

HostName = Annotated[
    str, written_as(r"[a-z0-9.-]+|\[[0-9a-f:.]+\]", "a name in lower case without a port, as bff.example")
]
Origin = Annotated[
    str,
    written_as(
        r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d+)?",
        "an origin in lower case without a path, as https://app.example",
    ),
]


class CorsSettings(BaseModel):
    """Pages of other origins that may ask; none unless they are named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origins: Annotated[tuple[Origin, ...], COMMAS] = Field(
        default=(),
        description="Exact origins, in lower case: `https://app.example`, and its port if it has one.",
    )
    preflight_kept_s: int = Field(
        default=600, ge=0, le=86_400, description="How long a browser need not ask again, in seconds."
    )


def origins_allowed(cors: CorsSettings, *, dev: bool) -> Callable[[str], bool]:
    """Whether pages of an origin that is not ours may ask; in development all of this machine may."""
    named = frozenset(cors.origins)

    def allowed(origin: str) -> bool:
        return origin in named or (dev and re.fullmatch(LOOPBACK, origin) is not None)

    return allowed


def cors(settings: CorsSettings, *, dev: bool) -> Callable[[ASGIApp], ASGIApp]:
    """What lets pages of the origins that are named read answers; nothing where none is."""

    def within(app: ASGIApp) -> ASGIApp:
        if not (settings.origins or dev):
            return app
        return CORSMiddleware(
            app,
            allow_origins=settings.origins,
            allow_origin_regex=LOOPBACK if dev else None,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=HEADERS_TAKEN,
            expose_headers=HEADERS_SHOWN,
            max_age=settings.preflight_kept_s,
        )

    return within


def headers_put(scope: Scope, send: Send) -> Send:
    """`send`, which puts our headers on the answer to a request."""
    answer_headers = scope["state"].setdefault("answer_headers", {})

    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in {**SAFE_HEADERS, **answer_headers}.items():
                headers.setdefault(name, value)
            if headers.get("content-type", JSON).partition(";")[0] in DATA:
                headers.setdefault("content-security-policy", DATA_POLICY)
            if scope["scheme"] == "https":
                headers.setdefault("strict-transport-security", HSTS)
        await send(message)

    return send_guarded


class HttpGuard:
    """ASGI middleware: refuses what the table above says, and puts our headers on each answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: tuple[str, ...],
        origin_allowed: Callable[[str], bool],
        on_refusal: Callable[[HTTPConnection, str], None],
    ) -> None:
        """
        Args:
            hosts: names that requests may call us by; any when empty.
            on_refusal: told of each request that is refused, and whether for its host or its origin.
        """
        self._app = app
        self._hosts = frozenset(hosts)
        self._origin_allowed = origin_allowed
        self._on_refusal = on_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        send_guarded = headers_put(scope, send)
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send_guarded)
            return
        self._on_refusal(HTTPConnection(scope), REASONS[refusal.code])
        if scope["type"] == "http":
            await refused(HTTPConnection(scope), refusal)(scope, receive, send_guarded)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)})

    def _refusal(self, scope: Scope) -> Refused | None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "").lower()
        if self._hosts and path not in PROBES and re.sub(r":\d+$", "", host).rstrip(".") not in self._hosts:
            return Refused("Nobody of this name is here.", code="HOST_NOT_SERVED", status=400)
        if scope["type"] == "websocket":
            return None  # the endpoint asks for the origin itself
        origin = headers.get("origin")
        if headers.get("sec-fetch-site") == "same-origin":  # whatever a proxy has made of our name
            foreign = False
        elif origin is not None:
            foreign = not (_is_ours(origin, host) or self._origin_allowed(origin))
        else:
            opens_page = headers.get("sec-fetch-mode") == "navigate" and not NO_PAGES.match(path)
            foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site") and not opens_page
        if not foreign:
            return None
        return Refused("Pages of this origin may not ask here.", code="ORIGIN_NOT_ALLOWED", status=403)


def _is_ours(origin: str, host: str) -> bool:
    try:
        page = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return bool(page) and _without_usual_port(page) == _without_usual_port(host)


def _without_usual_port(host: str) -> str:
    # A proxy that ends TLS does not tell us the scheme: both ports are usual.
    return re.sub(r":(80|443)$", "", host)
