"""The bus: who listens hears, who does not costs nothing, and nobody who speaks waits or fails."""

import asyncio
import contextlib
import time

import pytest
import structlog
from late import LATE_S, WITHIN_S

from clients.bus import UNHEARD_AT_MOST, OwnBus, SharedBus, bus_at

ANYBODY = b"anybody?"


class Listener:
    """Takes what a bus says on a channel, as it comes."""

    def __init__(self, bus, channel):
        self.heard = []
        self.there = False
        self._task = asyncio.create_task(self._listen(bus, channel))

    async def _listen(self, bus, channel):
        async for message in bus.listen(channel):
            self.there = True
            if message != ANYBODY:
                self.heard.append(message)

    async def leave(self):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


async def until(condition):
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - nothing tells when a message has arrived
            await asyncio.sleep(0.02)


@pytest.fixture(params=["own", "shared"])
async def bus(request):
    """Each of the two."""
    url = request.getfixturevalue("valkey").connection_url if request.param == "shared" else None
    bus = bus_at(url)
    yield bus
    await bus.close()


async def listening(bus, channel):
    """A listener that is heard to be there: what was said before it came it does not hear."""
    listener = Listener(bus, channel)
    async with asyncio.timeout(WITHIN_S):
        while not listener.there:
            await bus.say(channel, ANYBODY)
            await asyncio.sleep(0.02)
    return listener


def test_an_address_decides():
    """Memory unless told otherwise: `bff dev` needs nothing installed."""
    assert isinstance(bus_at(None), OwnBus)
    assert isinstance(bus_at("redis://127.0.0.1:1"), SharedBus)


async def test_all_who_listen_to_a_channel_hear(bus):
    """Each once and in order, and nobody who listens to another."""
    first, second = await listening(bus, "health"), await listening(bus, "health")
    other = await listening(bus, "other")

    for message in (b"1", b"2", b"3"):
        await bus.say("health", message)
    await until(lambda: len(first.heard) == len(second.heard) == 3)

    assert (first.heard, second.heard, other.heard) == ([b"1", b"2", b"3"], [b"1", b"2", b"3"], [])
    for listener in (first, second, other):
        await listener.leave()


async def test_saying_to_nobody_is_nothing(bus):
    """A process with nobody connected must not pile up what nobody hears."""
    for _ in range(3):
        await bus.say("health", b"1")
    listener = await listening(bus, "health")

    await bus.say("health", b"2")
    await until(lambda: listener.heard)

    assert listener.heard == [b"2"]
    await listener.leave()


async def test_who_has_left_is_forgotten():
    """A thousand closed tabs must not be spoken to for ever."""
    bus = OwnBus()
    stayed = await listening(bus, "health")
    for _ in range(100):
        leaving = Listener(bus, "health")
        await asyncio.sleep(0)
        await leaving.leave()

    await bus.say("health", b"1")
    await until(lambda: stayed.heard)

    assert [len(streams) for streams in bus._listeners.values()] == [1]
    await stayed.leave()


async def test_a_slow_listener_holds_nobody_and_is_bounded():
    """One tab on a train must neither stop the others' messages nor fill the memory."""
    bus = OwnBus()
    slow = bus.listen("health")
    waiting = asyncio.create_task(anext(slow))
    await asyncio.sleep(0)
    quick = await listening(bus, "health")
    await waiting

    for number in range(5 * UNHEARD_AT_MOST):
        await bus.say("health", str(number).encode())
        await asyncio.sleep(0)
    await until(lambda: len(quick.heard) == 5 * UNHEARD_AT_MOST)

    unheard = 0
    with contextlib.suppress(TimeoutError):
        while True:
            await asyncio.wait_for(anext(slow), 0.05)
            unheard += 1
    assert unheard <= UNHEARD_AT_MOST
    await quick.leave()


async def test_a_bus_that_is_closed_ends_its_listeners_and_fails_nobody():
    """At the end of the process a late message is lost, not an error."""
    bus = OwnBus()
    listener = await listening(bus, "health")

    await bus.close()
    await bus.say("health", b"late")
    async with asyncio.timeout(WITHIN_S):
        await listener._task

    assert listener.heard == []


async def test_two_processes_hear_each_other(valkey):
    """What one replica sees the others look at, before their own next probe."""
    buses = [SharedBus(valkey.connection_url) for _ in range(2)]
    listeners = [await listening(bus, "health") for bus in buses]

    await buses[0].say("health", b"mcde")
    await until(lambda: all(listener.heard for listener in listeners))

    assert [listener.heard for listener in listeners] == [[b"mcde"], [b"mcde"]]
    for listener, bus in zip(listeners, buses, strict=True):
        await listener.leave()
        await bus.close()


class Wire:
    """A way to Valkey that can be cut without a word: what was connected gets no byte more, and no end."""

    def __init__(self, port):
        self._port = port
        self._carrying = set()
        self._ends = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.cut()
        for end in self._ends:
            end.transport.abort()
        await asyncio.sleep(0)

    async def _connect(self, reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends += [writer, there_writer]
        for source, target in ((reader, there_writer), (there_reader, writer)):
            self._carrying.add(asyncio.create_task(self._carry(source, target)))

    @staticmethod
    async def _carry(source, target):
        while data := await source.read(4096):
            target.write(data)

    def cut(self):
        for task in self._carrying:
            task.cancel()
        self._carrying.clear()


async def test_a_server_that_vanishes_without_a_word_is_noticed(valkey, monkeypatch):
    """No connection ends when its host does: a replica would be deaf for good, and its log would not tell."""
    monkeypatch.setattr("clients.bus.SILENT_AT_MOST_S", 0.1)
    async with Wire(valkey.port) as wire:
        mouth, ears = SharedBus(valkey.connection_url), SharedBus(wire.url)
        listener = await listening(ears, "health")
        with structlog.testing.capture_logs() as events:
            await asyncio.sleep(1)  # quiet, but well
            assert events == []
            wire.cut()
            async with asyncio.timeout(WITHIN_S):
                while not listener.heard:
                    await mouth.say("health", b"back")
                    await asyncio.sleep(0.05)

        assert [event["event"] for event in events] == ["bus.lost", "bus.found"]
        await listener.leave()
        await mouth.close()
        await ears.close()


async def test_a_lost_server_costs_messages_and_nothing_else(valkey):
    """Whoever speaks is not held up by a dead Valkey; whoever listens hears again when it is back."""
    bus = SharedBus(valkey.connection_url)
    listener = await listening(bus, "health")
    with structlog.testing.capture_logs() as events:
        valkey.stop()
        newcomer = Listener(bus, "health")
        started_s = time.monotonic()
        await bus.say("health", b"lost")
        assert time.monotonic() - started_s < LATE_S
        valkey.start()
        async with asyncio.timeout(WITHIN_S):
            while not (listener.heard and newcomer.heard):
                await bus.say("health", b"back")
                await asyncio.sleep(0.05)

    assert set(listener.heard) == set(newcomer.heard) == {b"back"}
    assert {"bus.message_lost", "bus.lost", "bus.found"} <= {event["event"] for event in events}
    await listener.leave()
    await newcomer.leave()
    await bus.close()
