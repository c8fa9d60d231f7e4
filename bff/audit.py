"""Who did what: writes requests down in the audit log, and looks every hour whether it is whole.

mutations     a row before anything is sent, and a row with the outcome before it is answered
reads         a row for each signed link; programs and rehearsals by the minute
refusals      one row per source, viewer, kind and minute, with a count: a flood fills no table
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog
from starlette.requests import HTTPConnection

from clients.errors import StoreUnavailable
from clients.store.audit import Audit, End
from clients.store.audit_chain import ROWS_AT_ONCE, AuditChain, ChainBroken
from clients.store.audit_keys import AuditKeys
from clients.store.audit_rows import Entry, Kind
from clients.store.database import Database

ROUND_S = 60.0
ROUNDS_PER_CHECK = 60
NEWEST_ROWS = 50_000  # looked at by the first check of a process; it takes a second
COUNTED_APART = 1000  # sources, viewers and reasons in a minute; the rest is counted together

log = structlog.get_logger()


@dataclass(frozen=True)
class Trail:
    """The audit log as one operation writes it: who asks is known."""

    audit: Audit
    who: Entry
    given: list[tuple[str, str]] = field(default_factory=list)  # what was read: field, object

    async def begun(self, mutation: str, object_id: str | None) -> str:
        """A mutation that is about to be worked on; a name for it, to be given to `ended`.

        Raises:
            StoreUnavailable: it could not be written down, so nothing may be sent.
        """
        work = secrets.token_hex(16)
        entry = replace(self.who, kind=Kind.BEGUN, action=mutation, object_id=object_id, work=work)
        await self.audit.append(entry)
        return work

    async def ended(self, work: str, mutation: str, object_id: str | None, outcome: str) -> None:
        """What became of it. While the store is away this waits in the process, and the answer does not."""
        entry = replace(self.who, kind=Kind.ENDED, action=mutation, object_id=object_id, work=work)
        await self.audit.keep(replace(entry, outcome=outcome))

    def read(self, field: str, object_id: str) -> None:
        """Something was handed out that opens more than it shows."""
        self.given.append((field, object_id))
        self.audit.note(replace(self.who, kind=Kind.READ, action=field, object_id=object_id, outcome="DONE"))


class Book:
    """The audit log of one process."""

    def __init__(
        self, database: Database, keys: AuditKeys, *, keep_days: int, on_dropped: Callable[[], None]
    ) -> None:
        """
        Args:
            on_dropped: told of each row that could not be kept.
        """
        self.broken: str | None = None  # why the chain is not whole
        self.audit = Audit(database, keys, on_dropped=on_dropped, on_broken=self._found_broken)
        self._chain = AuditChain(database, keys)
        self._keep_days = keep_days
        self._counted: dict[Entry, Entry] = {}  # by what they have in common
        self._proven: End | None = None

    def trail(self, connection: HTTPConnection, viewer_id: str, machine: str | None) -> Trail:
        """What an operation of this viewer writes with."""
        return Trail(self.audit, replace(_who(connection), viewer_id=viewer_id, machine=machine))

    def refused(self, connection: HTTPConnection, kind: str, reason: str, viewer_id: str | None) -> None:
        """Somebody was turned away."""
        entry = replace(_who(connection), kind=Kind.REFUSED, action=kind, outcome=reason, viewer_id=viewer_id)
        self._count(entry)

    def limited(self, limit: str, viewer_id: str) -> None:
        """A viewer asked for too much in a while."""
        told = structlog.contextvars.get_contextvars()
        self._count(
            Entry(
                Kind.REFUSED,
                "limit",
                viewer_id,
                outcome=limit,
                support_code=told.get("support_code"),
                correlation_id=told.get("correlation_id"),
            )
        )

    def admitted(self, connection: HTTPConnection, machine: str, door: str) -> None:
        """A program was let in by its key."""
        self._count(replace(_who(connection), action=door, machine=machine, outcome="DONE"))

    def rehearsed(self, connection: HTTPConnection, viewer_id: str) -> None:
        """A viewer was shown faults that there are not."""
        self._count(replace(_who(connection), action="rehearsal", viewer_id=viewer_id, outcome="DONE"))

    async def run(self) -> None:
        """Write down each minute what was counted; each hour check the newest rows, and remove the oldest."""
        rounds = 0
        while True:
            await asyncio.sleep(ROUND_S)
            self.write_counted()
            if rounds % ROUNDS_PER_CHECK == 0:
                await self.check()
            rounds += 1

    async def close(self) -> None:
        """Write what is not written yet."""
        self.write_counted()
        await self.audit.close()

    def write_counted(self) -> None:
        """Write down what was counted since the last time."""
        counted, self._counted = self._counted, {}
        for entry in counted.values():
            self.audit.note(entry)

    async def check(self) -> None:
        """Check what was not checked yet; then remove what is older than it is kept."""
        try:
            verdict = await self._chain.verify(
                after=self._proven, newest=None if self._proven else NEWEST_ROWS, known=self.audit.seen
            )
            if verdict.broken:
                self._found_broken(str(verdict.broken))
                log.error("audit.chain_broken", row=verdict.broken.number, why=verdict.broken.why)
                return
            self._proven, self.broken = verdict.end, None  # a break may have been accepted meanwhile
            log.info("audit.verified", rows=verdict.rows, newest=verdict.end.number)
            while removed := await self._chain.remove_old(self._keep_days):
                log.info("audit.rows_removed", rows=removed)
                if removed < ROWS_AT_ONCE:
                    return
        except ChainBroken as exc:
            self._found_broken(str(exc))
            log.error("audit.chain_broken", row=exc.broken.number, why=exc.broken.why)
        except StoreUnavailable:  # logged where it happened
            log.warning("audit.unverified")

    def _found_broken(self, why: str) -> None:
        self.broken = why

    def _count(self, entry: Entry) -> None:
        alike = replace(entry, support_code=None, correlation_id=None)
        if alike not in self._counted and len(self._counted) >= COUNTED_APART:
            entry = alike = replace(alike, source=None, viewer_id=None)
        first = self._counted.get(alike)
        self._counted[alike] = replace(first, times=first.times + 1) if first else entry


def _who(connection: HTTPConnection) -> Entry:
    return Entry(
        Kind.READ,
        "",
        source=connection.client.host if connection.client else None,
        support_code=connection.state.support_code,
        correlation_id=structlog.contextvars.get_contextvars().get("correlation_id"),
    )
