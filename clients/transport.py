"""How every upstream is asked: one request, one budget, one answer or one named error.

A client method (`clients/refund_engine.py` and its neighbours) says what to ask; this file asks it:

    Upstream.call   budget, credentials, parsing, errors
    chain           the links a request passes, in `clients/chain/links.py`
    network         the last link in production; tests and `bff dev` hand in another
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

import httpx
import orjson
import structlog
from interlock import State
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from clients.caller import Caller, Deadline, Freshest
from clients.chain.breaker import BreakerSettings
from clients.chain.links import chain
from clients.chain.memory import FAILURE, RECEIVED_AT
from clients.chain.network import Network
from clients.chain.observed import Outcome
from clients.chain.question import MAYBE_DONE, VALUE, Disguise, Question
from clients.chain.request import Asked
from clients.errors import ContractBroken, UpstreamError, UpstreamNotFound
from clients.freshness import FRESHNESS, OUTDATES
from clients.quota import Quota
from clients.shelf import Shelf
from clients.tokens import TokenMint

T = TypeVar("T")
log = structlog.get_logger()

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # which tell its length even when there is none
PROBLEMS_LOGGED = 5  # of a body in a shape that was not agreed
PROBLEMS_LISTED = 1000  # pydantic lists all or none, and a million take seconds


class ServiceSettings(BaseModel):
    """How one service is asked, wherever it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jwt_secret: SecretStr | None = Field(
        default=None,
        description="Signs the tokens this service reads; `JWT_SECRET` when absent (mcde, predictor: none).",
    )
    api_keys: tuple[SecretStr, ...] = Field(
        default=(),
        max_length=2,
        description="The first is sent as `X-API-Key`, with probes too; the second is to come or to go.",
    )
    timeout_s: float = Field(default=2.0, gt=0, le=30, description="Longest wait for one answer, in seconds.")
    connect_timeout_s: float = Field(
        default=0.5, gt=0, le=10, description="Longest wait for a connection, in seconds."
    )
    connections: int = Field(default=100, ge=1, le=1000, description="Open connections at most.")
    in_flight: int = Field(default=25, ge=1, le=1000, description="Requests under way at most.")
    breaker: BreakerSettings = BreakerSettings()


class UpstreamSettings(ServiceSettings):
    """How to reach one upstream service, and how it is asked."""

    base_url: AnyHttpUrl


class Answer(NamedTuple, Generic[T]):
    """One thing an upstream said, and when it was received."""

    value: T
    as_of: datetime
    failure: UpstreamError | None = None  # of an old answer: why the owner could not give a new one


class Page(NamedTuple, Generic[T]):
    """Rows of one list in the owner's order, and when they were received."""

    rows: list[T]
    total: int | None  # of all pages; None where the owner does not count
    as_of: datetime
    failure: UpstreamError | None = None  # of an old answer, whose rows may be shown: absence proves nothing

    @property
    def stale(self) -> bool:
        """Whether it is an old answer."""
        return self.failure is not None


def network(settings: UpstreamSettings) -> httpx.AsyncBaseTransport:
    """The last link in production; it opens no connection until the first call."""
    return Network(connections=settings.connections)


class Upstream:
    """One service behind us, for the life of the process."""

    def __init__(
        self,
        name: str,
        settings: UpstreamSettings,
        base: httpx.AsyncBaseTransport,
        *,
        shelf: Shelf,
        reserve_s: float,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        """
        Args:
            name: slug, as in `errors[].extensions.service`.
            base: the last link of the chain.
            shelf: where answers are kept.
            reserve_s: what is kept of an operation's deadline for putting the answer together.
        """
        self.name = name
        self._base_url = str(settings.base_url).rstrip("/")
        self._host = httpx.URL(self._base_url).netloc.decode()
        self._limit_s = settings.timeout_s
        self._phases = {"connect": settings.connect_timeout_s}  # the rest is bounded as a whole
        self._mint = TokenMint(name, settings.jwt_secret) if settings.jwt_secret else None
        self._api_key = settings.api_keys[0] if settings.api_keys else None
        self._chain = chain(
            name,
            settings.breaker,
            base,
            in_flight=settings.in_flight,
            shelf=shelf,
            reserve_s=reserve_s,
            on_outcome=on_outcome,
        )

    @property
    def circuit(self) -> State:
        """State of the circuit breaker: OPEN, HALF_OPEN or CLOSED."""
        return self._chain.breaker.state

    @property
    def quota(self) -> Quota:
        """What is left of the service's patience."""
        return self._chain.quota

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
        idempotent: bool | None = None,
        timeout_s: float | None = None,
        disguises: Sequence[Disguise] = (),
        counted_apart: bool = False,
        idempotency_key: str | None = None,
    ) -> Answer[T]:
        """Ask, and read the answer.

        Args:
            operation: the contract's operationId: the name in logs, errors, call counts and `FRESHNESS`.
            path: absolute, its ids already through `path_id`.
            shape: what a 2xx body must be.
            body: sent as JSON; None sends no body.
            idempotent: whether asking twice does nothing twice, so that a broken answer is asked for again;
                by default what the method promises, and never for what `OUTDATES` calls a write.
            timeout_s: for a call known to be slow: its limit where that is longer than the service's own. The
                operation's deadline still ends it.
            disguises: what this service says by words of its own, under a status that lies or that others use
                too: without one a 404 is no "none". Any other text stays the failure that the status says.
            counted_apart: whether the service counts this call by a limiter of its own, for each viewer: what
                it says of that is no news of the quota that all share.
            idempotency_key: sent as `Idempotency-Key`. What the service makes of it is in its contract, so it
                does not make the call idempotent by itself.

        Returns:
            The parsed body and the time it was received, in UTC; that lies back where the answer is
            repeated.

        Raises:
            UpstreamNotFound: what one of `disguises` means by it.
            UpstreamError: the rest of `clients/errors.py`; after a write `maybe_done` tells whether it may
                have been done.
        """
        limit_s = max(timeout_s or 0, self._limit_s)
        if idempotent is None:
            idempotent = method in IDEMPOTENT_METHODS and operation not in OUTDATES
        started_s = time.monotonic()
        question = Question(
            upstream=self.name,
            operation=operation,
            caller=caller,
            idempotent=idempotent,
            writes=operation in OUTDATES or not idempotent,
            outdates=OUTDATES.get(operation, ()),
            freshness=FRESHNESS.get(operation),
            disguises=disguises,
            counted_apart=counted_apart,
            takes_long=limit_s > self._limit_s,
            deadline=Deadline(caller.deadline.remaining_s()),
            limit_ends_at_s=started_s + limit_s,
            read=lambda response: self._read(operation, response, shape),
        )
        content = b"" if body is None else orjson.dumps(body)
        request = Asked(
            method,
            f"{self._base_url}{path}?{urlencode(params)}" if params else self._base_url + path,
            headers=self._headers(caller, method, content, idempotency_key=idempotency_key),
            content=content,
            extensions={"timeout": self._phases, "question": question},
        )
        use = caller.use_of(self.name)
        use.calls += 1
        waiting = asyncio.current_task()
        assert waiting, "a coroutine runs in a task"
        caller.under_way.add(waiting)
        try:
            response = await self._chain.first.handle_async_request(request)
            if not response.is_success:
                raise question.refusal(response)
            found = response.extensions
            return Answer(found[VALUE], found[RECEIVED_AT], found.get(FAILURE))
        except UpstreamError as error:
            error.maybe_done = question.writes and request.extensions.get(MAYBE_DONE, False)
            if not isinstance(error, UpstreamNotFound):
                use.answers.add(Freshest.MISSING)
            raise
        except httpx.RequestError as exc:
            use.answers.add(Freshest.MISSING)
            failure = question.failure(exc)
            failure.maybe_done = question.writes and request.extensions.get(MAYBE_DONE, False)
            raise failure from exc
        finally:
            caller.under_way.discard(waiting)
            use.waited_ms += (time.monotonic() - started_s) * 1000

    async def aclose(self) -> None:
        """Close what the chain holds open."""
        await self._chain.first.aclose()

    def _headers(
        self, caller: Caller, method: str, content: bytes, *, idempotency_key: str | None = None
    ) -> dict[str, str]:
        headers = {"host": self._host, "accept": "application/json"}
        correlation_id = structlog.contextvars.get_contextvars().get("correlation_id")
        if correlation_id:
            headers["x-request-id"] = correlation_id
        if content:
            headers["content-type"] = "application/json"
        if content or method in METHODS_WITH_BODY:
            headers["content-length"] = str(len(content))
        if idempotency_key:
            headers["idempotency-key"] = idempotency_key
        if self._api_key:
            headers["x-api-key"] = self._api_key.get_secret_value()
        if self._mint and caller.viewer:
            headers["authorization"] = f"Bearer {self._mint.token(caller.viewer)}"
        return headers

    def _read(self, operation: str, response: httpx.Response, shape: TypeAdapter[T]) -> T:
        try:
            return shape.validate_json(response.content)
        except ValidationError as exc:
            problems = (
                exc.errors(include_url=False, include_context=False, include_input=False)
                if exc.error_count() <= PROBLEMS_LISTED
                else []
            )
            log.error(
                "upstream.contract_broken",
                upstream=self.name,
                operation=operation,
                status=response.status_code,
                problem_count=exc.error_count(),
                problems=[
                    f"{'.'.join(map(str, problem['loc']))}: {problem['type']}"
                    for problem in problems[:PROBLEMS_LOGGED]
                ],
            )
            raise ContractBroken(self.name, operation, status=response.status_code) from None
