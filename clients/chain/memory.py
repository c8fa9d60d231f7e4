"""The outermost link: repeats answers while they are fresh, asks once for many, and prefers stale to nothing.

A write ends what its viewer was told before: the answers that `OUTDATES` names are neither repeated after it,
nor shared if they were asked for before it ended.

Everything here is the viewer's own: the key of what is kept and of what is in flight names them. Only answers
that were read and understood are kept; a failure is never repeated.
"""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from clients.caller import Deadline, Freshest, Viewer
from clients.chain.question import MAYBE_DONE, VALUE, Question, question_of
from clients.chain.request import address_of
from clients.errors import (
    ContractBroken,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamNotFound,
    UpstreamRejected,
)
from clients.freshness import FRESHNESS, OUTDATES
from clients.shelf import Kept, Shelf

RECEIVED_AT = "received_at"  # the response extension that tells when the answer was received
FAILURE = "failure"  # and the one of an old answer: the error for which there is no new one
WORK_LASTS_S = 30.0  # at most, of a write that was given up: no service is ever waited for longer
MARK_KEPT_S = WORK_LASTS_S + max(freshness.stale_s for freshness in FRESHNESS.values())
WRITTEN_TO = frozenset(read for reads in OUTDATES.values() for read in reads)
WAITED_SHARE = 0.5  # of what is left, where an old answer is at hand: whoever is asked next needs the rest


@dataclass
class _Flight:
    """One request on its way, and how many wait for it."""

    task: asyncio.Task[httpx.Response]
    deadline: Deadline  # the latest of those who wait
    asked_at_s: float  # epoch
    waiting: int = 0


class Memory(httpx.AsyncBaseTransport):
    """Keeps and shares the answers of one service, each viewer's apart. The deadline holds here."""

    def __init__(self, inner: httpx.AsyncBaseTransport, shelf: Shelf, *, reserve_s: float) -> None:
        self._inner = inner
        self._shelf = shelf
        self._reserve_s = reserve_s
        self._flights: dict[str, _Flight] = {}
        self._marking: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        question = question_of(request)
        if question.outdates and question.caller.viewer:
            return await self._written(question, question.caller.viewer, request)
        key, freshness = _key(question, request), question.freshness
        if key is None or freshness is None or question.upstream in question.caller.rehearsed:
            # Whoever rehearses an outage wants to see its errors, and it is nobody else's outage.
            return await self._alone(question, request)
        wants_news = question.caller.wants_news
        written_until_s = await self._written_until_s(question)
        kept = await self._shelf.get(key) if freshness.stale_s and not wants_news else None
        if kept and (kept.age_s > freshness.stale_s or _outdated(kept.asked_at_s, written_until_s)):
            kept = None
        if kept and 0 <= kept.age_s < freshness.fresh_s:
            repeated = _repeated(question, kept, request)
            if repeated:
                return repeated
        try:
            wait_s = self._left_s(question) * (WAITED_SHARE if kept else 1.0)
            response = await self._shared(key, question, request, written_until_s, wait_s)
        except (httpx.RequestError, ContractBroken) as error:
            repeated = _repeated(question, kept, request, error)
            if repeated:
                return repeated
            raise
        if response.is_success:
            return response
        refusal = question.refusal(response)
        if isinstance(refusal, UpstreamNotFound):
            if kept or wants_news:  # it is gone: the next outage must not bring it back
                await self._shelf.drop(key)
        elif not _is_no(refusal):
            return _repeated(question, kept, request, response) or response
        return response

    async def aclose(self) -> None:
        for flight in list(self._flights.values()):
            flight.task.cancel()
        await self._inner.aclose()

    async def _written(self, question: Question, viewer: Viewer, request: httpx.Request) -> httpx.Response:
        lasts_s = WORK_LASTS_S
        try:
            response = await self._alone(question, request)
            if response.is_success:
                lasts_s = 0.0
            return response
        finally:
            if request.extensions.get(MAYBE_DONE):  # whether or not anybody still waits for it
                marking = asyncio.create_task(self._outdate(question, viewer, time.time() + lasts_s))
                self._marking.add(marking)
                marking.add_done_callback(self._marking.discard)
                await asyncio.shield(marking)

    async def _outdate(self, question: Question, viewer: Viewer, until_s: float) -> None:
        for read in question.outdates:
            name = _written_name(question.upstream, viewer, read)
            await self._shelf.mark_written(name, until_s, keep_s=MARK_KEPT_S)

    async def _written_until_s(self, question: Question) -> float:
        viewer = question.caller.viewer
        if viewer is None or question.operation not in WRITTEN_TO:
            return 0.0
        return await self._shelf.written_until_s(_written_name(question.upstream, viewer, question.operation))

    def _left_s(self, question: Question) -> float:
        left_s = question.caller.deadline.remaining_s() - self._reserve_s
        if left_s <= 0:
            raise httpx.ReadTimeout("nothing left of the operation's budget")
        return left_s

    async def _alone(self, question: Question, request: httpx.Request) -> httpx.Response:
        try:
            async with asyncio.timeout(self._left_s(question)):
                response = await self._live(request)
        except TimeoutError as exc:
            raise httpx.ReadTimeout("the operation's deadline has come") from exc
        question.caller.use_of(question.upstream).answers.add(Freshest.LIVE)
        return response

    async def _live(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        response.extensions[RECEIVED_AT] = datetime.now(UTC)
        return response

    async def _shared(
        self, key: str, question: Question, request: httpx.Request, written_until_s: float, wait_s: float
    ) -> httpx.Response:
        flight = self._flights.get(key)
        if flight is None or _outdated(flight.asked_at_s, written_until_s):
            asked_at_s = time.time()
            flight = self._flights[key] = _Flight(
                asyncio.create_task(self._asked_and_kept(key, question, request, asked_at_s)),
                question.deadline,  # its own: whoever asks first may leave first
                asked_at_s,
            )
            flight.task.add_done_callback(lambda _: self._landed(key, flight))
        flight.deadline.stretch_to(question.caller.deadline)
        flight.waiting += 1
        try:
            # Which, unlike `await`, does not cancel it when we are, or when our time is up.
            landed, _ = await asyncio.wait([flight.task], timeout=wait_s)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():  # whoever asked has left: so does the request
                self._landed(key, flight)
                flight.task.cancel()
        if not landed:
            raise httpx.ReadTimeout("the operation's deadline has come")
        response = flight.task.result()
        question.caller.use_of(question.upstream).answers.add(Freshest.LIVE)
        return response

    async def _asked_and_kept(
        self, key: str, question: Question, request: httpx.Request, asked_at_s: float
    ) -> httpx.Response:
        response = await self._live(request)
        if response.is_success and question.freshness and question.freshness.stale_s:
            received_at_s = response.extensions[RECEIVED_AT].timestamp()
            kept = Kept(response.content, received_at_s, asked_at_s)
            if not _outdated(asked_at_s, await self._written_until_s(question)):  # or a newer one would go
                await self._shelf.put(key, kept, keep_s=question.freshness.stale_s)
        return response

    def _landed(self, key: str, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # seen: whoever waited has it, and nobody may be left


def _repeated(
    question: Question,
    kept: Kept | None,
    request: httpx.Request,
    seen: httpx.Response | httpx.RequestError | ContractBroken | None = None,
) -> httpx.Response | None:
    """The kept answer, in the place of what was seen; None where none is kept that this version can read."""
    if kept is None:
        return None
    response = httpx.Response(200, content=kept.content, request=request)
    try:
        value = question.read(response)
    except ContractBroken:  # kept by a replica of another version
        return None
    response.extensions |= {RECEIVED_AT: kept.received_at, VALUE: value}
    if seen is not None:
        response.extensions[FAILURE] = question.failure(seen)
    state = Freshest.CACHED if seen is None else Freshest.STALE
    question.caller.use_of(question.upstream).answers.add(state)
    return response


def _outdated(asked_at_s: float, written_until_s: float) -> bool:
    """Whether what was asked then says nothing of now: before a write ended, or by a clock since set back."""
    return asked_at_s <= written_until_s or asked_at_s > time.time()


def _key(question: Question, request: httpx.Request) -> str | None:
    """Names the viewer and the question; None for what is nobody's or may not be repeated."""
    viewer = question.caller.viewer
    if viewer is None or question.freshness is None or question.writes:
        return None
    asked = hashlib.sha256(
        b"\0".join((request.method.encode(), address_of(request).encode(), request.content))
    )
    return f"answer:{question.upstream}:{_who(viewer)}:{question.operation}:{asked.hexdigest()}"


def _written_name(upstream: str, viewer: Viewer, read: str) -> str:
    return f"last-written:{upstream}:{_who(viewer)}:{read}"


def _who(viewer: Viewer) -> str:
    return f"{viewer.user_id}:{viewer.stripe_user_id}"


def _is_no(refusal: UpstreamError) -> bool:
    """Whether the owner said no to the question, rather than failed to answer it."""
    rejected = isinstance(refusal, UpstreamRejected) and not isinstance(refusal, UpstreamAuthFailed)
    return rejected and refusal.said is not None  # without a word it is a proxy's
