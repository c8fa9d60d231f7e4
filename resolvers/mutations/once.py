"""Once per key: the same idempotency key gives the first outcome, whatever broke on the way.

A receipt stands in the store before anything is sent. What then happens to it:

done                                kept for 24 hours with the key of what was made; it is shown again
nothing was done                    gone: the key is free
the answer was lost, or we crashed  left open; whoever comes next with the key looks first (`Deed.settle`)

Two requests at once with one key: the second waits for the first.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson
import structlog
from strawberry import UNSET

from clients.errors import StoreUnavailable, UpstreamError, UpstreamFailed
from clients.store.receipts import Begun, Receipt, Standing
from resolvers.mutations.user_errors import (
    Refused,
    UserErrorCode,
    conflict,
    outcome_unknown,
    refusal_of,
    seen_after,
)
from resolvers.mutations.work import Work

P = TypeVar("P")
log = structlog.get_logger()

LEASE_BEYOND_DEADLINE_S = 5.0  # a holder that is alive ends before its lease does
ASKED_AGAIN_AFTER_S = 0.1  # while another request works on the same key
KEPT_FOR_ANSWER_S = 0.3  # of the deadline, to say that the other one is not ready
LOST_AFTER = timedelta(seconds=30)  # a request that shows no effect by then has had none


@dataclass(frozen=True)
class Sent:
    """What was noted just before the write was sent."""

    at: datetime
    facts: dict[str, Any]


@dataclass(frozen=True)
class Done(Generic[P]):
    """What was done: by which key it is found again, and how it shows where the service has said that."""

    key: str
    payload: P | None = None


@dataclass(frozen=True)
class Deed(Generic[P]):
    """What a keyed mutation does, and how one finds out later whether it was done.

    Attributes:
        service: which service does it, for whoever must be told that its outcome is unknown.
        do: does it. Is given `note`, to be called with whatever `settle` needs to know just before the write
            is sent.
        settle: looks whether it was done: the key of the result, or None when it does not show. None where
            no service can tell.
        repeatable: whether the service itself does it once at most, so that it may be sent again at once.
        show: reads the result.
    """

    service: str
    do: Callable[[Note], Awaitable[Done[P]]]
    settle: Callable[[Sent | None], Awaitable[str | None]] | None
    repeatable: bool
    show: Callable[[str], Awaitable[P]]


Note = Callable[..., Awaitable[None]]


async def once(work: Work, mutation: str, key: UUID, given: Any, deed: Deed[P]) -> P:
    """Do it, unless it was done under this key; show the result.

    Args:
        mutation: name of the field: the same key for another one is another key.
        given: the input, a dataclass. Its `idempotency_key` is no part of what is compared.

    Raises:
        Refused: the key was used with another input, or the outcome is unknown, or whatever `deed` says.
        StoreUnavailable: no receipt can be written; nothing was sent.
    """
    return await _Run(work, deed).run(mutation, key, _digest(given))


class _Run(Generic[P]):
    """One attempt under one key."""

    def __init__(self, work: Work, deed: Deed[P]) -> None:
        self._work = work
        self._deed = deed
        self._receipts = work.loaders.store.receipts

    async def run(self, mutation: str, key: UUID, digest: str) -> P:
        begun = await self._begun(mutation, key, digest)
        if begun.outcome is not None:
            return await seen_after(self._deed.show(begun.outcome.decode()))
        receipt = begun.receipt
        assert receipt, "a key that is neither finished nor refused is held by us"
        try:
            done = await self._found_or_done(begun, receipt)
        except Exception as error:
            await self._closed_after(error, receipt)
            raise
        except BaseException:  # cancelled at the very end of the process
            await self._quietly(self._receipts.release(receipt))
            raise
        await self._quietly(self._receipts.finish(receipt, done.key.encode()))
        self._work.look_again()
        if done.payload is not None:
            return done.payload
        return await seen_after(self._deed.show(done.key))

    async def _begun(self, mutation: str, key: UUID, digest: str) -> Begun:
        deadline = self._work.deadline
        while True:
            begun = await self._receipts.begin(
                self._work.viewer.user_id,
                mutation,
                str(key),
                digest,
                lease_s=max(0.0, deadline.remaining_s()) + LEASE_BEYOND_DEADLINE_S,
            )
            if begun.standing is Standing.OTHER_INPUT:
                raise conflict(
                    UserErrorCode.IDEMPOTENCY_KEY_REUSED,
                    "This idempotency key was used with another input. Take a new key for a new request.",
                    "idempotencyKey",
                )
            if begun.standing is not Standing.UNDER_WAY:
                return begun
            if deadline.remaining_s() < KEPT_FOR_ANSWER_S + ASKED_AGAIN_AFTER_S:
                raise self._at_work_elsewhere()
            await asyncio.sleep(ASKED_AGAIN_AFTER_S)

    async def _found_or_done(self, begun: Begun, receipt: Receipt) -> Done[P]:
        """What an earlier attempt has done, or what is done now."""
        deed, sent = self._deed, _sent(begun)
        if begun.standing is Standing.ABANDONED and (deed.repeatable or sent):
            found = await self._settled(deed.settle(sent)) if deed.settle else None
            if found is not None:
                return Done(found)
            if not deed.repeatable and not self._is_lost(sent):
                raise self._still_unknown()
            self._work.look_again()
        noted: list[Sent] = []

        async def note(**facts: Any) -> None:
            sent = Sent(datetime.now(UTC), facts)
            if not await self._receipts.note(receipt, orjson.dumps({"at": sent.at, "facts": facts})):
                raise self._at_work_elsewhere()  # we were too slow: our lease has ended
            noted.append(sent)

        try:
            return await deed.do(note)
        except UpstreamError as error:
            if not error.maybe_done:
                raise
            return Done(await self._looked_up(error, noted[-1] if noted else None))

    def _at_work_elsewhere(self) -> Refused:
        return outcome_unknown(
            self._deed.service,
            "Another request with this key is still being worked on. Ask again with the same key.",
        )

    async def _settled(self, look: Awaitable[str | None]) -> str | None:
        try:
            return await look
        except UpstreamError as error:
            raise self._still_unknown() from error

    def _still_unknown(self) -> Refused:
        return outcome_unknown(
            self._deed.service,
            "The service took an earlier request with this key and did not answer. Look whether it was done; "
            "ask again with the same key to learn it.",
        )

    async def _looked_up(self, error: UpstreamError, sent: Sent | None) -> str:
        """What became of a write without an answer."""
        unknown = refusal_of(error)
        assert unknown, "a write that may have been done is an unknown outcome"
        if self._deed.settle is None:
            raise unknown from error
        self._work.look_again()
        found: str | None = await seen_after(self._deed.settle(sent), error)
        if found is not None:
            return found
        if isinstance(error, UpstreamFailed):  # it has answered, so it is not at it any more
            raise conflict(
                UserErrorCode.REFUSED, "The owner of this data failed on the request. Nothing was done."
            ) from error
        raise unknown from error

    def _is_lost(self, sent: Sent | None) -> bool:
        """Whether so much time has passed that what does not show was not done."""
        return self._deed.settle is not None and (sent is None or datetime.now(UTC) - sent.at > LOST_AFTER)

    async def _closed_after(self, error: Exception, receipt: Receipt) -> None:
        unknown = isinstance(error, Refused) and error.error.code is UserErrorCode.OUTCOME_UNKNOWN
        unsure = isinstance(error, UpstreamError) and error.maybe_done
        known = isinstance(error, Refused | UpstreamError | StoreUnavailable) and not (unknown or unsure)
        await self._quietly(
            self._receipts.drop(receipt) if known else self._receipts.release(receipt)
        )  # what broke in a way of its own may have broken after the write

    @staticmethod
    async def _quietly(closing: Awaitable[object]) -> None:
        """Close a receipt; one that stays open is settled by the next request with its key."""
        try:
            await closing
        except StoreUnavailable:  # logged where it happened
            log.warning("receipt.left_open")


def _sent(begun: Begun) -> Sent | None:
    if begun.notes is None:
        return None
    noted = orjson.loads(begun.notes)
    return Sent(datetime.fromisoformat(noted["at"]), noted["facts"])


def _digest(given: Any) -> str:
    """Names an input: the same for inputs that ask for the same."""
    values = asdict(given)
    values.pop("idempotency_key")
    text = orjson.dumps(_plain(values), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not UNSET and item is not None}
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return value
