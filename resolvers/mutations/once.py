"""Once per key: the same idempotency key gives the first outcome, whatever broke on the way.

A receipt stands in the store before anything is sent. What then happens to it:

done                                kept for 24 hours with the key of what was made; it is shown again
nothing was done                    gone: the key is free
the answer was lost, or we crashed  left open; whoever comes next with the key looks first (`Deed.settle`)

A receipt that an earlier attempt left open stays open until its outcome is known: that attempt may land yet.
Two requests at once with one key: the second waits for the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson
import structlog

from clients.errors import StoreError, StoreUnavailable, UpstreamError, UpstreamFailed
from clients.store.receipts import Begun, Receipt, Standing
from resolvers.mutations.given import digest_of
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
CLAIMED_AT_MOST = 3  # results that other keys were quicker to claim, before we give up


class CannotTell(Exception):
    """The owner's state looks the same whether or not it was done."""


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


@dataclass
class Attempt:
    """One attempt under a key, for whoever does the deed."""

    again: bool  # an earlier one may have been carried out
    _note: Callable[[Sent], Awaitable[None]]
    sent: Sent | None = None  # of this attempt

    async def sending(self, **facts: Any) -> None:
        """To be called just before a write is sent, with whatever `Deed.settle` needs to know of now."""
        sent = Sent(datetime.now(UTC), facts)
        await self._note(sent)
        self.sent = sent


@dataclass(frozen=True)
class Deed(Generic[P]):
    """What a keyed mutation does, and how one finds out later whether it was done.

    Attributes:
        service: which service does it, for whoever must be told that its outcome is unknown.
        do: does it, and says `Attempt.sending` before each write.
        settle: looks whether it was done: the key of the result, or None when it does not show. Raises
            `CannotTell` where nothing shows either way. None where no service can tell at all.
        repeatable: whether the service itself does it once at most, so that it may be sent again at once.
        show: reads the result.
        sole: whether what is found by looking belongs to one key only.
    """

    service: str
    do: Callable[[Attempt], Awaitable[Done[P]]]
    settle: Callable[[Sent | None], Awaitable[str | None]] | None
    repeatable: bool
    show: Callable[[str], Awaitable[P]]
    sole: bool = False


async def once(work: Work, mutation: str, given: Any, deed: Deed[P]) -> P:
    """Do it, unless it was done under the key of its input; show the result.

    Args:
        mutation: name of the field: the same key for another one is another key.
        given: the input, a dataclass whose values have been checked. Its `idempotency_key` names it and is no
            part of what is compared.

    Raises:
        Refused: the key was used with another input, or the outcome is unknown, or whatever `deed` says.
        StoreUnavailable: no receipt can be written; nothing was sent.
    """
    return await _Run(work, deed).run(mutation, given.idempotency_key, digest_of(given))


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
        done = await self._found_or_done(begun, receipt)
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
        """What an earlier attempt has done, or what is done now; the receipt is closed accordingly."""
        earlier = _sent(begun)
        is_open = begun.standing is Standing.ABANDONED and earlier is not None

        async def note(sent: Sent) -> None:
            if not await self._receipts.note(receipt, orjson.dumps({"at": sent.at, "facts": sent.facts})):
                raise self._at_work_elsewhere()  # we were too slow: our lease has ended

        attempt = Attempt(is_open, note)
        try:
            done = await self._found(receipt, earlier) if is_open else None
            if done is None:
                is_open = is_open and not self._is_lost(earlier)
                done = await self._done_now(receipt, attempt)
        except Refused as refused:
            unknown = refused.error.code is UserErrorCode.OUTCOME_UNKNOWN
            await self._close(receipt, may_be_done=unknown or is_open)
            raise
        except (UpstreamError, StoreError) as error:  # nothing was sent now
            await self._close(receipt, may_be_done=is_open)
            if is_open:
                raise self._still_unknown() from error
            raise
        except BaseException:  # broken in a way of its own, or cancelled at the end of the process
            await self._close(receipt, may_be_done=is_open or attempt.sent is not None)
            raise
        return done

    async def _found(self, receipt: Receipt, earlier: Sent | None) -> Done[P] | None:
        """What an earlier attempt has done; None where it may be done now.

        Raises:
            Refused: OUTCOME_UNKNOWN: it does not show, and may still be carried out.
        """
        if self._deed.settle is None:
            raise self._still_unknown()
        try:
            found = await self._claimed(receipt, earlier)
        except (UpstreamError, StoreError, CannotTell) as error:
            if not self._deed.repeatable:
                raise self._still_unknown() from error
            found = None
        if found is None and not self._deed.repeatable and not self._is_lost(earlier):
            raise self._still_unknown()
        self._work.look_again()
        return None if found is None else Done(found)

    async def _done_now(self, receipt: Receipt, attempt: Attempt) -> Done[P]:
        try:
            done = await self._deed.do(attempt)
        except UpstreamError as error:
            if not error.maybe_done:
                raise
            return Done(await self._looked_up(receipt, attempt, error))
        await self._finish(receipt, done.key)
        return done

    async def _looked_up(self, receipt: Receipt, attempt: Attempt, error: UpstreamError) -> str:
        """What became of a write without an answer."""
        unknown = refusal_of(error)
        assert unknown, "a write that may have been done is an unknown outcome"
        if self._deed.settle is None:
            raise unknown from error
        self._work.look_again()
        try:
            found = await self._claimed(receipt, attempt.sent)
        except (UpstreamError, StoreError, CannotTell) as unseen:
            raise unknown from unseen
        if found is not None:
            return found
        if (
            isinstance(error, UpstreamFailed) and not attempt.again
        ):  # it has answered: it is not at it any more
            raise conflict(
                UserErrorCode.REFUSED, "The owner of this data failed on the request: it was not done."
            ) from error
        raise unknown from error

    async def _claimed(self, receipt: Receipt, sent: Sent | None) -> str | None:
        """The result that shows, finished under our key and under no other."""
        assert self._deed.settle, "somebody can tell"
        for _ in range(CLAIMED_AT_MOST):
            found = await self._deed.settle(sent)
            if found is None or await self._receipts.finish(receipt, found.encode(), sole=self._deed.sole):
                return found
            self._work.look_again()
        raise CannotTell

    async def _finish(self, receipt: Receipt, key: str) -> None:
        try:
            if not await self._receipts.finish(receipt, key.encode()):
                log.warning("receipt.taken_over")
        except StoreUnavailable:  # logged where it happened; the next request with the key looks
            log.warning("receipt.left_open")

    async def _close(self, receipt: Receipt, *, may_be_done: bool) -> None:
        try:
            await (self._receipts.release(receipt) if may_be_done else self._receipts.drop(receipt))
        except StoreUnavailable:
            log.warning("receipt.left_open")

    @staticmethod
    def _is_lost(sent: Sent | None) -> bool:
        """Whether so much time has passed that what does not show was not done."""
        return sent is None or datetime.now(UTC) - sent.at > LOST_AFTER

    def _at_work_elsewhere(self) -> Refused:
        return outcome_unknown(
            self._deed.service,
            "Another request with this key is still being worked on. Ask again with the same key.",
        )

    def _still_unknown(self) -> Refused:
        return outcome_unknown(
            self._deed.service,
            "The service took an earlier request with this key and did not answer. Look whether it was done; "
            "ask again with the same key to learn it.",
        )


def _sent(begun: Begun) -> Sent | None:
    if begun.notes is None:
        return None
    noted = orjson.loads(begun.notes)
    return Sent(datetime.fromisoformat(noted["at"]), noted["facts"])
