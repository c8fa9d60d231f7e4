"""Whose operation begins next: a crowd of one viewer costs others a few rounds, and itself its turns."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import anyio
import pytest

from bff import turns as turns_
from bff.auth import NOBODY
from bff.turns import AT_ONCE, Turns

AVERY, NOOR = (replace(NOBODY, user_id=name) for name in ("avery", "noor"))
LONG_S = 2 * turns_.SHORT_ROUND_S


@dataclass
class Crowd:
    """Operations that have begun and wait for a word to end."""

    turns: Turns
    begun: list[str] = field(default_factory=list)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def work(self, viewer, may_end: asyncio.Event | None = None) -> None:
        async with self.turns.turn(viewer):
            self.begun.append(viewer.user_id)
            await (may_end or self.may_end).wait()


@pytest.fixture
async def crowd() -> Crowd:
    return Crowd(Turns())


@pytest.fixture
async def busy() -> AsyncIterator[None]:
    """Whatever the process does, no round is short."""

    async def go_on() -> None:
        while True:
            time.sleep(LONG_S)  # noqa: ASYNC251 - it is what keeps everybody
            await asyncio.sleep(0)

    going = asyncio.create_task(go_on())
    yield
    going.cancel()


async def rounds(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_crowd_begins_few_at_a_time_while_rounds_are_long(crowd: Crowd, busy: None):
    """Four hundred at once took 0.8 s, and everybody else waited for the last of them."""
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(crowd.work(AVERY))
        await rounds(10)
        assert crowd.begun == ["avery"] * AT_ONCE

        tasks.create_task(crowd.work(NOOR))
        await rounds(2)
        assert crowd.begun[AT_ONCE:] == ["noor"]

        crowd.may_end.set()

    assert crowd.begun.count("avery") == 20
    assert len(crowd.turns) == 0


async def test_a_crowd_that_waits_for_a_slow_service_holds_nobody_up(crowd: Crowd):
    """Thirty operations that hang on one service cost the viewer's next operation nothing."""
    async with asyncio.TaskGroup() as tasks:
        for _ in range(30):
            tasks.create_task(crowd.work(AVERY))
        with anyio.fail_after(10):
            while len(crowd.begun) < 30:  # noqa: ASYNC110 - rounds are what is waited for
                await asyncio.sleep(0)
        crowd.may_end.set()


async def test_each_that_ends_lets_the_next_of_its_viewer_begin(crowd: Crowd, busy: None):
    """However long rounds are, nobody waits for ever."""
    ends = [asyncio.Event() for _ in range(AT_ONCE + 2)]
    async with asyncio.TaskGroup() as tasks:
        for end in ends:
            tasks.create_task(crowd.work(AVERY, end))
        await rounds(2)
        ends[0].set()
        await rounds(3)
        assert len(crowd.begun) == AT_ONCE + 1
        for end in ends:
            end.set()


async def test_a_client_that_leaves_gives_its_turn_away(crowd: Crowd, busy: None):
    """One that left while it waited must not take a place for good, nor one that left as its turn came."""
    working = [asyncio.create_task(crowd.work(AVERY)) for _ in range(AT_ONCE)]
    waiting = [asyncio.create_task(crowd.work(AVERY)) for _ in range(3)]
    await rounds(2)
    waiting[0].cancel()
    await rounds(2)
    working[0].cancel()
    await asyncio.sleep(0)  # the turn comes to the second in this round
    waiting[1].cancel()
    await rounds(4)

    assert len(crowd.begun) == AT_ONCE + 1
    assert len(crowd.turns) == 0
    crowd.may_end.set()
    await asyncio.gather(*working, *waiting, return_exceptions=True)


async def test_what_takes_long_is_not_counted(crowd: Crowd, busy: None, monkeypatch: pytest.MonkeyPatch):
    """A silent subscription lasts for hours: four of them must not take a viewer's places."""
    monkeypatch.setattr(turns_, "COUNTED_S", 0.05)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE + 1):
            tasks.create_task(crowd.work(AVERY))
        with anyio.fail_after(10):
            while len(crowd.begun) <= AT_ONCE:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.01)
        crowd.may_end.set()
