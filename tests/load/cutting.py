"""A wire that can be cut: a TCP proxy before a service, which drops a connection at a byte one chooses."""

import asyncio
import contextlib
import random
from dataclasses import dataclass

MOST_REQUEST_BYTES = 1200  # a little more than any write has
MOST_ANSWER_BYTES = 900


@dataclass(frozen=True)
class Cut:
    """Where a connection breaks: after so many bytes one way or the other, by a reset or by silence."""

    request_bytes: int | None  # passed on to the service before the cut; None: all of them
    answer_bytes: int | None  # passed back before the cut; None: the cut is on the way there
    silent: bool  # nothing more is heard, instead of a reset

    @classmethod
    def somewhere(cls, dice: random.Random) -> "Cut":
        """A cut at random: on the way there as often as on the way back, one in ten silent."""
        silent = dice.random() < 0.1
        if dice.random() < 0.5:
            return cls(dice.randrange(MOST_REQUEST_BYTES), None, silent)
        return cls(None, dice.randrange(MOST_ANSWER_BYTES), silent)


class Wire:
    """Passes bytes to a service and back, until it is cut."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.cut: Cut | None = None  # for what passes from now on

    async def open(self) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        self.hang_up()
        if self._server:
            self._server.close()

    def hang_up(self) -> None:
        """End every connection: the next request opens a new one."""
        for writer in self._open:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._to)
        except OSError:  # nobody is there any more
            writer.transport.abort()
            return
        self._open |= {writer, there_writer}
        there = asyncio.create_task(self._pump(reader, there_writer, answering=False))
        back = asyncio.create_task(self._pump(there_reader, writer, answering=True))
        await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        for task in (there, back):
            task.cancel()
        for end in (writer, there_writer):
            self._open.discard(end)
            end.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answering: bool
    ) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(64 * 1024):
                cut = self.cut
                limit = None if cut is None else cut.answer_bytes if answering else cut.request_bytes
                if limit is not None and passed + len(chunk) > limit:
                    writer.write(chunk[: max(0, limit - passed)])
                    await writer.drain()
                    if cut and cut.silent:
                        await asyncio.Event().wait()
                    return
                passed += len(chunk)
                writer.write(chunk)
                await writer.drain()
