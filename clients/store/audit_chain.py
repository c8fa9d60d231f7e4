"""The audit log as it is read: proven, shown, thinned out, and sealed with a new key."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from clients.store.audit import Audit, End, held_end, put_end
from clients.store.audit_breaks import Accepted, Broken, NotThatBreak, acceptance, accepted_breaks, mark_of
from clients.store.audit_keys import AuditKeys, Unreadable
from clients.store.audit_rows import NOTHING, end_sealed, fault_of, sealed_anew, source_of
from clients.store.database import Database, now_ms
from clients.store.tables import audit_ends, audit_rows

ROWS_AT_ONCE = 1000
PATIENCE_S = 30.0  # an operator waits for it, not an answer
SHOWN_AT_MOST = 200
OTHER_HASH = "its hash is not the one that was written down"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found."""

    rows: int  # that were looked at and are good
    end: End  # the last of them
    broken: Broken | None = None  # the first that nobody has accepted
    accepted: tuple[Accepted, ...] = ()  # breaks that were passed over


class AuditChain:
    """Reads the audit log."""

    def __init__(self, database: Database, keys: AuditKeys) -> None:
        self._database = database
        self._keys = keys

    async def head(self) -> End | None:
        """The newest row, as the chain's head names it; None where nothing was ever written.

        Raises:
            StoreUnavailable: the database did not answer in time.
        """
        row = await self._end("head")
        return End(row.number, row.hash) if row else None

    async def verify(
        self, *, after: End | None = None, newest: int | None = None, known: End | None = None
    ) -> Verdict:
        """Look at each row, in order, up to the first that is not as it was written.

        Args:
            after: begin behind this row, which was verified before.
            newest: look only at so many rows at the end; the one before them is taken as it is.
            known: a row that somebody has written down elsewhere: it must be there, with this hash.

        Raises:
            StoreUnavailable: the database did not answer in time.
        """
        head, start = await self._end("head"), await self._end("start")
        for name, end in (("head", head), ("start", start)):
            if end and (fault := self._fault_of_end(name, end)):
                return Verdict(0, End(end.number, end.hash), Broken(end.number, fault))
        if head and not start:
            return Verdict(0, End(0, NOTHING), Broken(1, "nothing says where the chain begins"))
        begin = End(start.number, start.hash) if start else End(0, NOTHING)
        if known and known.number == begin.number and known.hash != begin.hash:
            return Verdict(0, begin, Broken(known.number, OTHER_HASH))
        if after and after.number >= begin.number:
            begin = after
        if newest and head and head.number - newest > begin.number:
            begin = await self._at(head.number - newest) or begin
        verdict = await self._walked(begin, head, known)
        if verdict.broken and (moved := await self._end("start")) and start and moved.number > start.number:
            return await self.verify(after=after, newest=newest, known=known)  # old rows were removed
        return verdict

    async def accept(self, number: int, *, by: str, reason: str) -> None:
        """Write down that the first break is known, so that `verify` goes on behind it.

        Args:
            number: of the row that `verify` names.
            by: who accepts it.
            reason: why, in 64 characters at most.

        Raises:
            NotThatBreak: another row is the first that is broken, or none is.
            StoreUnavailable: the database did not answer within a second.
        """
        # Twice where the last rows are missing: the first that is written then says so, and is a break.
        for _ in range(2):
            broken = (await self.verify()).broken
            if broken is None or broken.number != number:
                raise NotThatBreak(broken)
            audit = Audit(self._database, self._keys)
            await audit.append(acceptance(number, broken.mark, by=by, reason=reason))
            await audit.close()
            if broken.mark:
                return

    async def shown(
        self,
        *,
        viewer_id: str | None = None,
        object_id: str | None = None,
        support_code: str | None = None,
        since_ms: int | None = None,
    ) -> list[dict[str, Any]]:
        """The newest rows that fit, oldest first, at most 200; `source` in plain text.

        Raises:
            StoreUnavailable: the database did not answer in time.
        """
        asked = {"viewer_id": viewer_id, "object_id": object_id, "support_code": support_code}
        query = select(audit_rows).order_by(audit_rows.c.number.desc()).limit(SHOWN_AT_MOST)
        for name, value in asked.items():
            if value is not None:
                query = query.where(audit_rows.c[name] == value)
        if since_ms is not None:
            query = query.where(audit_rows.c.at_ms >= since_ms)
        rows = await self._database.read(query)
        return [self._legible(row) for row in reversed(rows)]

    async def remove_old(self, keep_days: int) -> int:
        """Remove the oldest rows where they are older than that, a thousand at most; never the newest row.

        They go in order, up to the first that is not so old: one that was written while the database's clock
        was ahead keeps those behind it. What was removed is proven first, so that no broken row disappears
        unseen.

        Returns:
            How many were removed.

        Raises:
            ChainBroken: one of them is not as it was written; nothing is removed.
            StoreUnavailable: the database did not answer within half a minute.
        """

        accepted = await accepted_breaks(self._database, self._keys)

        async def removed(connection: AsyncConnection) -> int:
            head = await held_end(connection, "head")
            start = await self._end("start", connection)
            if head is None or start is None:
                return 0
            old = now_ms() - keep_days * 24 * 3600 * 1000
            query = (
                select(audit_rows, (audit_rows.c.at_ms < old).label("is_old"))
                .where(audit_rows.c.number < head.number, audit_rows.c.number > start.number)
                .order_by(audit_rows.c.number)
                .limit(ROWS_AT_ONCE)
            )
            rows = list(takewhile(attrgetter("is_old"), (await connection.execute(query)).all()))
            end = End(start.number, start.hash)
            for row in rows:
                if (broken := self._broken(row, end)) and broken.mark not in accepted:
                    raise ChainBroken(broken)
                end = End(row.number, row.hash)
            if rows:
                await connection.execute(delete(audit_rows).where(audit_rows.c.number <= end.number))
                await put_end(connection, "start", end, self._keys)
            return len(rows)

        return await self._database.write(removed, patience_s=PATIENCE_S)

    async def rotate(self) -> int:
        """Seal everything that an older key has sealed with the newest one, row by row; hashes stay.

        Returns:
            How many rows were changed.

        Raises:
            ChainBroken: a row is not as it was written, which a new seal would hide. Those before it are
                changed.
            StoreUnavailable: the database did not answer within half a minute.
        """
        verdict = await self.verify()
        if verdict.broken:
            raise ChainBroken(verdict.broken)
        accepted = await accepted_breaks(self._database, self._keys)
        changed, begin, done = 0, None, False
        while not done:
            anew = self._sealed_anew(begin, accepted)
            begin, rows, done = await self._database.write(anew, patience_s=PATIENCE_S)
            changed += rows
        return changed

    def _sealed_anew(self, begin: End | None, accepted: Mapping[str, Accepted]) -> Any:
        async def anew(connection: AsyncConnection) -> tuple[End, int, bool]:
            head = await held_end(connection, "head")
            start = await self._end("start", connection)
            if head is None or start is None:
                return End(0, NOTHING), 0, True
            end = begin if begin and begin.number >= start.number else End(start.number, start.hash)
            rows = (await connection.execute(_after(end.number))).all()
            changed = 0
            for row in rows:
                broken = self._broken(row, end)
                if broken and broken.mark not in accepted:
                    raise ChainBroken(broken)
                end = End(row.number, row.hash)
                if not broken and not row.seal.startswith(self._keys.newest):
                    values = sealed_anew(row, self._keys)
                    there = audit_rows.c.number == row.number
                    await connection.execute(update(audit_rows).where(there).values(values))
                    changed += 1
            done = len(rows) < ROWS_AT_ONCE
            if done:
                await put_end(connection, "head", End(head.number, head.hash), self._keys)
                await put_end(connection, "start", End(start.number, start.hash), self._keys)
            return end, changed, done

        return anew

    async def _walked(self, begin: End, head: Any, known: End | None) -> Verdict:
        end, count = begin, 0
        all_accepted = await accepted_breaks(self._database, self._keys)
        passed: list[Accepted] = []
        while rows := await self._database.read(_after(end.number)):
            for row in rows:
                broken = self._broken(row, end)
                if known and row.number == known.number and row.hash != known.hash:
                    broken = broken or Broken(row.number, OTHER_HASH)
                if broken and (accepted := all_accepted.get(broken.mark or "")):
                    passed.append(accepted)
                elif broken:
                    return Verdict(count, end, broken, tuple(passed))
                else:
                    count += 1
                end = End(row.number, row.hash)
        last = max(head.number if head else 0, known.number if known else 0)
        if end.number < last:
            missing = f"it is missing, and so is all up to row {last}"
            return Verdict(count, end, Broken(end.number + 1, missing), tuple(passed))
        now = await self._end("head")  # others have gone on writing
        if end.number and (now is None or end.number > now.number):
            return Verdict(count, end, Broken(end.number, "the head does not know it"), tuple(passed))
        return Verdict(count, end, None, tuple(passed))

    def _broken(self, row: Any, end: End) -> Broken | None:
        """What is wrong with the row that comes after this end, if anything is."""
        number = end.number + 1
        fault = fault_of(row, number, end.hash, self._keys)
        return Broken(number, fault, mark_of(row, number, end.hash)) if fault else None

    def _fault_of_end(self, name: str, end: Any) -> str | None:
        try:
            self._keys.check(end.seal, end_sealed(name, end.number, end.hash))
        except Unreadable as exc:
            return f"the chain's {name} is not good: {exc}"
        return None

    async def _at(self, number: int) -> End | None:
        columns = select(audit_rows.c.number, audit_rows.c.hash)
        rows = await self._database.read(columns.where(audit_rows.c.number == number))
        return End(rows[0].number, rows[0].hash) if rows else None

    async def _end(self, name: str, connection: AsyncConnection | None = None) -> Any:
        query = select(audit_ends).where(audit_ends.c.name == name)
        if connection is not None:
            return (await connection.execute(query)).first()
        rows = await self._database.read(query)
        return rows[0] if rows else None

    def _legible(self, row: Row[Any]) -> dict[str, Any]:
        try:
            source = source_of(row, self._keys)
        except Unreadable:
            source = "unreadable"
        return {str(name): value for name, value in row._mapping.items()} | {"source": source}


class ChainBroken(Exception):
    """The audit log is not as it was written."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(str(broken))
        self.broken = broken


def _after(number: int) -> Any:
    query = select(audit_rows).where(audit_rows.c.number > number)
    return query.order_by(audit_rows.c.number).limit(ROWS_AT_ONCE)
