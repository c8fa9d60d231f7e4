"""How every upstream is asked: one request, one budget, one answer or one named error.

A client method (`clients/refund_engine.py` and its neighbours) says what to ask; this file asks it:

    Upstream.call   budget, credentials, parsing, errors
    chain           the links a request passes, outermost first; the only place that orders them
    network         the last link in production; tests and `bff dev` hand in another
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import aiohttp
import httpx
import orjson
import structlog
from httpx_aiohttp import AiohttpTransport
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from clients.caller import Caller
from clients.errors import ContractBroken, UpstreamError, UpstreamNotFound, UpstreamTimeout
from clients.failures import error_of_answer, error_of_transport, said_in
from clients.tokens import TokenMint

T = TypeVar("T")
log = structlog.get_logger()


class UpstreamSettings(BaseModel):
    """How to reach one upstream service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: AnyHttpUrl
    jwt_secret: SecretStr | None = Field(
        default=None, description="Signs the tokens this service reads; none for mcde and the predictor."
    )
    timeout_s: float = Field(default=2.0, gt=0, le=30, description="Longest wait for one answer, in seconds.")
    connect_timeout_s: float = Field(
        default=0.5, gt=0, le=10, description="Longest wait for a connection, in seconds."
    )
    connections: int = Field(default=100, ge=1, le=1000, description="Open connections at most.")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """One thing an upstream said, and when it was received."""

    value: T
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of one list in the owner's order, and when they were received."""

    rows: list[T]
    total: int | None  # of all pages; None where the owner does not count
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call made for a viewer ended, as the health monitor sees it."""

    upstream: str
    error: UpstreamError | None


def network(settings: UpstreamSettings) -> httpx.AsyncBaseTransport:
    """The last link in production: aiohttp's pool, which remembers no cookies.

    Both cookie jars are off: this one is a dummy, and httpx's belongs to `AsyncClient`, which is not
    used. With either on, one seller's cookies travel with the next seller's call.
    """
    return AiohttpTransport(
        client=lambda: aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=settings.connections, ttl_dns_cache=30),
        )
    )


def chain(base: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """The links that each request passes, outermost first.

    attempt log   one event per request that leaves
    base          the network, a service in this process, or a test's routes
    """
    return _AttemptLog(base)


class Upstream:
    """One service behind us, for the life of the process."""

    def __init__(
        self,
        name: str,
        settings: UpstreamSettings,
        base: httpx.AsyncBaseTransport,
        *,
        reserve_s: float,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        """
        Args:
            name: slug, as in `errors[].extensions.service`.
            base: the last link of the chain.
            reserve_s: what is kept of an operation's deadline for putting the answer together.
        """
        self.name = name
        self._base_url = str(settings.base_url).rstrip("/")
        self._timeout_s = settings.timeout_s
        self._phases = {"connect": settings.connect_timeout_s}  # the rest is bounded as a whole, below
        self._reserve_s = reserve_s
        self._mint = TokenMint(name, settings.jwt_secret) if settings.jwt_secret else None
        self._chain = chain(base)
        self._on_outcome = on_outcome

    async def call(
        self,
        caller: Caller,
        operation: str,
        method: str,
        path: str,
        shape: TypeAdapter[T],
        *,
        params: Mapping[str, str | int] | None = None,
        body: object = None,
        timeout_s: float | None = None,
        absent_texts: Collection[str] = (),
    ) -> Answer[T]:
        """Ask once and read the answer.

        Args:
            operation: the contract's operationId: the name in logs, errors and call counts.
            path: absolute, its ids already through `path_id`.
            shape: what a 2xx body must be.
            body: sent as JSON; None sends no body.
            timeout_s: another limit than the service's own, for a call known to be slow.
            absent_texts: error texts by which this service says "none" with a 500. Any other text stays a
                failure, never "none".

        Returns:
            The parsed body and the time it was received, in UTC.

        Raises:
            UpstreamNotFound: 404, or a 500 that says one of `absent_texts`.
            UpstreamError: the rest of `clients/errors.py`.
        """
        budget_s = min(timeout_s or self._timeout_s, caller.deadline.remaining_s() - self._reserve_s)
        if budget_s <= 0:
            raise UpstreamTimeout(self.name, operation)
        request = httpx.Request(
            method,
            self._base_url + path,
            params=params or None,
            headers=self._headers(caller, budget_s, has_body=body is not None),
            content=None if body is None else orjson.dumps(body),
            extensions={"timeout": self._phases, "upstream": self.name, "operation": operation},
        )
        caller.calls[self.name] += 1
        try:
            # httpx bounds each phase, not the whole answer: a slow drip would outlive any of its timeouts.
            async with asyncio.timeout(budget_s):
                response = await self._chain.handle_async_request(request)
                try:
                    content = await response.aread()
                finally:
                    await response.aclose()
            value = self._read(operation, response, content, shape, absent_texts)
        except UpstreamError as exc:
            self._notify(caller, exc)
            raise
        except (TimeoutError, httpx.RequestError, aiohttp.ClientError) as exc:  # a bad head stays aiohttp's
            failure = error_of_transport(self.name, operation, exc)
            self._notify(caller, failure)
            raise failure from exc
        self._notify(caller, None)
        return Answer(value, datetime.now(UTC))

    async def aclose(self) -> None:
        """Close what the chain holds open."""
        await self._chain.aclose()

    def _notify(self, caller: Caller, error: UpstreamError | None) -> None:
        if caller.viewer is not None:  # the monitor's own probes are its own to judge
            self._on_outcome(Outcome(self.name, error))

    def _headers(self, caller: Caller, budget_s: float, *, has_body: bool) -> dict[str, str]:
        headers = {"accept": "application/json", "x-request-deadline-ms": str(int(budget_s * 1000))}
        correlation_id = structlog.contextvars.get_contextvars().get("correlation_id")
        if correlation_id:
            headers["x-request-id"] = correlation_id
        if has_body:
            headers["content-type"] = "application/json"
        if self._mint and caller.viewer:
            headers["authorization"] = f"Bearer {self._mint.token(caller.viewer)}"
        return headers

    def _read(
        self,
        operation: str,
        response: httpx.Response,
        content: bytes,
        shape: TypeAdapter[T],
        absent_texts: Collection[str],
    ) -> T:
        if not response.is_success:
            error = error_of_answer(self.name, operation, response, content)
            if response.status_code == 500 and error.said in absent_texts:
                raise UpstreamNotFound(self.name, operation, status=500)
            raise error
        try:
            return shape.validate_json(content)
        except ValidationError as exc:
            log.error(
                "upstream.contract_broken",
                upstream=self.name,
                operation=operation,
                status=response.status_code,
                problems=[
                    f"{'.'.join(map(str, problem['loc']))}: {problem['type']}"
                    for problem in exc.errors(include_url=False, include_context=False, include_input=False)[
                        :5
                    ]
                ],
            )
            raise ContractBroken(self.name, operation, status=response.status_code) from None


class _AttemptLog(httpx.AsyncBaseTransport):
    """One log event per request that leaves, whatever comes of it."""

    def __init__(self, base: httpx.AsyncBaseTransport) -> None:
        self._base = base

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        started_s = time.perf_counter()
        status: int | None = None
        said: str | None = None
        outcome = (
            "CANCELLED"  # by the time budget or because the client left: the operation's event says which
        )
        try:
            response = await self._base.handle_async_request(request)
            try:
                content = await response.aread()  # here, so that the duration covers the body
            finally:
                await response.aclose()  # a body that was cut would keep its connection
            status, outcome = response.status_code, "OK"
            if not response.is_success:
                outcome, said = "REFUSED", said_in(content)
            return response
        except Exception:
            outcome = "NO_ANSWER"
            raise
        finally:
            log.info(
                "upstream.called",
                upstream=request.extensions["upstream"],
                operation=request.extensions["operation"],
                status=status,
                outcome=outcome,
                said=said,
                duration_ms=round((time.perf_counter() - started_s) * 1000, 1),
            )

    async def aclose(self) -> None:
        await self._base.aclose()


def path_id(value: object) -> str:
    """An id as one segment of a path: nothing in it can end the segment, start a query or climb up.

    Raises:
        ValueError: the value is empty, `.` or `..`, which no encoding makes safe.
    """
    segment = quote(str(value), safe="")
    if segment in ("", ".", ".."):
        raise ValueError("not a path segment")
    return segment


def given(**params: Any) -> dict[str, str | int]:
    """The parameters that have a value: services ignore unknown ones, and read empty ones as a filter."""
    return {name: value for name, value in params.items() if value is not None}
