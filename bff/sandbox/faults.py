"""Faults: what can be wrong with a service, in one word a person can type.

ok             answers as it should
down           refuses the connection
slow:<ms>      answers, that much later
error          answers 500 in its own words; error:<rate> does so for that share of requests (0 to 1)
garbage        answers 200 with HTML, half a JSON, or another service's JSON, in turn
hang           takes the request and never answers
rate-limited   answers 429 with Retry-After
after:error    does what it was asked, then answers 500 as above
after:hang     does what it was asked, then never answers
after:down     does what it was asked, then drops the connection

A fault also befalls /health: a probe must see what a caller would see.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterable, Iterator, MutableSet
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.sandbox.door import Door

SERVICES = ("refund-engine", "integrations", "cost-docs", "stripe", "mcde", "predictor")

_WORDS = (
    "ok, down, slow:<ms>, error, error:<rate 0..1>, garbage, hang, rate-limited, after:error, "
    "after:hang, after:down"
)
_BARE = {"ok", "down", "error", "garbage", "hang", "rate-limited"}
_AFTER = {"after:error", "after:hang", "after:down"}
_MAX_SLOW_MS = 600_000


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong; ``str`` gives back the word it was made of."""

    word: str
    kind: str
    delay_ms: int = 0
    rate: float = 1.0

    def __str__(self) -> str:
        return self.word

    @classmethod
    def of(cls, word: str) -> Fault:
        """Read one word.

        Raises:
            ValueError: it is none of the words; the text lists them.
        """
        kind, colon, amount = word.partition(":")
        if word in _AFTER:
            return cls(word, word)
        if not colon and kind in _BARE:
            return cls(word, kind)
        try:
            if kind == "slow" and 0 <= int(amount) <= _MAX_SLOW_MS:
                return cls(word, kind, delay_ms=int(amount))
            if kind == "error" and 0 <= float(amount) <= 1:
                return cls(word, kind, rate=float(amount))
        except ValueError:
            pass
        raise ValueError(f"{word!r} is not a fault. Say one of: {_WORDS}.")


OK = Fault.of("ok")


def parse(text: str) -> tuple[str, Fault]:
    """Read ``mcde=slow:2000``.

    Raises:
        ValueError: no such service, no such fault, or no ``=``; the text says what would do.
    """
    service, equals, word = (part.strip() for part in text.partition("="))
    if not equals:
        raise ValueError(f"{text!r} is not <service>=<fault>. Faults: {_WORDS}.")
    return _known(service), Fault.of(word)


def parse_words(text: str | Iterable[str]) -> dict[str, Fault]:
    """Read ``stripe=down,mcde=slow:2000``, or the same in pieces; of a service named twice, the last counts.

    Raises:
        ValueError: see ``parse``.
    """
    pieces = text.split(",") if isinstance(text, str) else text
    return dict(parse(piece) for piece in pieces if piece.strip())


def _known(service: str) -> str:
    if service not in SERVICES:
        raise ValueError(f"{service!r} is not a service. Say one of: {', '.join(SERVICES)}.")
    return service


class Faults:
    """What is wrong with each service right now. Read on each request, so a change is felt at once."""

    def __init__(self) -> None:
        self._now: dict[str, Fault] = dict.fromkeys(SERVICES, OK)
        self.down: MutableSet[str] = _Down(self)

    def __getitem__(self, service: str) -> Fault:
        return self._now[_known(service)]

    def __setitem__(self, service: str, fault: str | Fault) -> None:
        self._now[_known(service)] = Fault.of(fault) if isinstance(fault, str) else fault

    def set(self, service: str, word: str) -> None:
        """Put a fault, or ``ok``, on a service.

        Raises:
            ValueError: no such service or no such word.
        """
        self[service] = word

    def clear(self) -> None:
        """Heal everything."""
        self._now = dict.fromkeys(SERVICES, OK)

    def as_words(self) -> dict[str, str]:
        """Return service -> word, all six, in their fixed order."""
        return {service: str(fault) for service, fault in self._now.items()}


class _Down(MutableSet[str]):
    """The services that are down, as a set: ``faults.down.add("stripe")``."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def __contains__(self, service: object) -> bool:
        return isinstance(service, str) and self._faults[service].kind == "down"

    def __iter__(self) -> Iterator[str]:
        return iter([service for service in SERVICES if service in self])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def add(self, value: str) -> None:
        self._faults[value] = "down"

    def discard(self, value: str) -> None:
        if value in self:
            self._faults[value] = OK


class Faulty:
    """A service as its callers find it: what is wrong happens before its door, or behind its back."""

    def __init__(self, service: str, door: Door, faults: Faults) -> None:
        self._service = service
        self._door = door
        self._faults = faults
        self._dice = random.Random(service)  # the same requests fail on every run
        self._rubbish = itertools.cycle(
            [
                Response(
                    "<!doctype html><title>Welcome to nginx!</title><h1>It works!</h1>",
                    media_type="text/html",
                ),
                Response('{"success":true,"data":[{"id":"6f1c2f2e-6f0b-4a', media_type="application/json"),
                Response('{"hello":"world","items":null}', media_type="application/json"),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._door(scope, receive, send)
            return
        await self._afflicted(self._faults[self._service])(scope, receive, send)

    def _afflicted(self, fault: Fault) -> ASGIApp:
        match fault.kind:
            case "down":
                return self._refuse
            case "hang":
                return _hang
            case "slow":
                return self._slow(fault.delay_ms / 1000)
            case "error" if self._dice.random() < fault.rate:
                return self._door.manners.failure()
            case "garbage":
                return next(self._rubbish)
            case "rate-limited":
                return self._door.too_many()
            case "after:error":
                return self._after(self._door.manners.failure())
            case "after:hang":
                return self._after(_hang)
            case "after:down":
                return self._after(self._drop)
        return self._door

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionRefusedError(f"{self._service} is down, because its fault says so")

    def _slow(self, delay_s: float) -> ASGIApp:
        async def later(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(delay_s)
            await self._door(scope, receive, send)

        return later

    async def _drop(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionResetError(f"{self._service} dropped the connection, because its fault says so")

    def _after(self, then: ASGIApp) -> ASGIApp:
        """Let the service do its work and say it to nobody; what is heard instead is ``then``."""

        async def unheard(message: Message) -> None:
            pass

        async def worked(scope: Scope, receive: Receive, send: Send) -> None:
            await self._door(scope, receive, unheard)
            await then(scope, receive, send)

        return worked


async def _hang(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
