"""The commands about the audit log: prove it, show it, seal it anew."""

import asyncio
import getpass
import logging
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import orjson
import typer
from sqlalchemy.exc import SQLAlchemyError

from bff.environment import BadEnvironment, misspelt, refused, told
from bff.settings.audit import AuditSettings
from bff.telemetry import configure_logging
from clients.errors import StoreUnavailable
from clients.store.audit import End
from clients.store.audit_breaks import REASON_CHARS, NotThatBreak
from clients.store.audit_chain import SHOWN_AT_MOST, AuditChain, ChainBroken
from clients.store.audit_keys import AuditKeys
from clients.store.database import Database, file_of

T = TypeVar("T")

audit = typer.Typer(no_args_is_help=True, help="The audit log.")
HeadText = Annotated[
    str | None, typer.Option(metavar="ROW:HASH", help="What `bff audit head` printed once and you have kept.")
]
LOOK_FOR = {
    "mutation.begun": "operation.executed, upstream.called, mutation.left_alone, mutation.failed_alone",
    "mutation.ended": "operation.executed, upstream.called, mutation.failed_alone, receipt.left_open",
    "refusal": "sign_in.refused, scope.refused, key.refused, limit.exceeded, request.refused",
    "read": "operation.executed, machine.admitted",
}
ALWAYS_THERE = "operation.executed, operation.broken, request.refused, request.broken, upstream.called"


@audit.command()
def verify(head: HeadText = None) -> None:
    """Prove that every row is as it was written; exit code 1 and the first broken row if not."""
    known = _end(head) if head else None
    verdict = _asked(lambda chain: chain.verify(known=known))
    if verdict.broken:
        typer.echo(f"BROKEN. {verdict.broken}", err=True)
        raise typer.Exit(1)
    for known_break in verdict.accepted:
        typer.echo(
            f"Row {known_break.number} is not, and that is known: accepted by {known_break.by} "
            f"at {_time(known_break.at_ms)}: {known_break.reason}"
        )
    typer.echo(f"{verdict.rows} rows are as they were written. Head {_text(verdict.end)}")


@audit.command()
def accept_break(
    row: Annotated[int, typer.Argument(help="The row that `bff audit verify` names.")],
    reason: Annotated[str, typer.Option(help=f"Why it is so, in {REASON_CHARS} characters at most.")],
    by: Annotated[str | None, typer.Option(help="Who accepts it, if not the user of this machine.")] = None,
) -> None:
    """Write down that a break was looked into: `verify` reports it from then on, and looks behind it."""
    if not 0 < len(reason) <= REASON_CHARS:
        raise typer.BadParameter(f"It is 1 to {REASON_CHARS} characters long.", param_hint="--reason")
    who = by or getpass.getuser()
    _asked(lambda chain: chain.accept(row, by=who, reason=reason))
    typer.echo(f"Row {row} is accepted as it is, by {who}. Run `bff audit verify`: there may be others.")


@audit.command()
def head() -> None:
    """Print the newest row's number and hash, to be kept where nobody who holds the database can write."""
    found = _asked(lambda chain: chain.head())
    typer.echo(_text(found) if found else "Nothing was written yet.")


@audit.command()
def show(
    viewer: Annotated[str | None, typer.Option(help="Id of a viewer.")] = None,
    object_: Annotated[str | None, typer.Option("--object", help="Global id of an object.")] = None,
    support_code: Annotated[str | None, typer.Option(help="As the person reads it out: OP-….")] = None,
    since: Annotated[datetime | None, typer.Option(help="UTC: 2026-01-31, or with a time after it.")] = None,
) -> None:
    """Print the newest 200 rows that fit, oldest first, as JSON lines."""
    rows = _asked(
        lambda chain: chain.shown(
            viewer_id=viewer,
            object_id=object_,
            support_code=support_code,
            since_ms=int(since.replace(tzinfo=UTC).timestamp() * 1000) if since else None,
        )
    )
    for row in rows:
        typer.echo(_line(row))
    if len(rows) == SHOWN_AT_MOST:
        typer.echo(f"Only the newest {SHOWN_AT_MOST} are shown.", err=True)


@audit.command()
def rotate() -> None:
    """Seal with the first secret of BFF_AUDIT_KEYS what the second has sealed; hashes stay as they are."""
    typer.echo(f"{_asked(lambda chain: chain.rotate())} rows are sealed anew.")


def doctor(
    support_code: Annotated[str, typer.Option(help="As the person reads it out: OP-….")],
) -> None:
    """Say what the audit log knows of a support code, and which events to look for in the log."""
    rows = _asked(lambda chain: chain.shown(support_code=support_code))
    for row in rows:
        typer.echo(_line(row))
    begun = {row["work"]: row["action"] for row in rows if row["kind"] == "mutation.begun"}
    for work in {row["work"] for row in rows if row["kind"] == "mutation.ended"}:
        begun.pop(work, None)
    for action in begun.values():
        typer.echo(f"{action} was begun, and nothing says how it ended: ask the service whether it was done.")
    if not rows:
        typer.echo("The audit log does not know it: it was a read, or it is older than what is kept.")
    events = dict.fromkeys(LOOK_FOR.get(row["kind"], ALWAYS_THERE) for row in rows) or [ALWAYS_THERE]
    typer.echo(f"In the log, look for support_code={support_code} in: {', '.join(events)}")


def _asked(question: Callable[[AuditChain], Awaitable[T]]) -> T:
    if unknown := misspelt(os.environ):
        raise refused(unknown)
    try:
        settings = told(AuditSettings)
    except BadEnvironment as exc:
        raise refused(str(exc)) from None
    if problem := settings.audit_problem():
        raise refused(problem)
    if (file := file_of(settings.db_url)) and not file.is_file():  # SQLite would make one
        raise refused(f"DB_URL leads to no database: there is no file {file}.")
    configure_logging(readable=True, level=logging.CRITICAL)  # what is wrong is said below

    async def answered() -> T:
        # As it is: whoever only looks brings it to no other revision.
        database = Database(settings.db_url, patience_s=settings.db_patience_s)
        try:
            return await question(AuditChain(database, AuditKeys(settings.audit_secrets())))
        finally:
            await database.close()

    try:
        return asyncio.run(answered())
    except ChainBroken as exc:
        typer.echo(f"BROKEN. {exc}", err=True)
        raise typer.Exit(1) from None
    except NotThatBreak as exc:
        raise refused(str(exc)) from None
    except (StoreUnavailable, SQLAlchemyError) as exc:
        said = f"DB_URL leads to no database with an audit log, or it does not answer ({type(exc).__name__})."
        raise refused(said) from None


def _end(text: str) -> End:
    number, _, hash_ = text.partition(":")
    if not number.isdigit() or len(hash_) != 64:
        raise typer.BadParameter("It is a row's number, a colon and 64 hexadecimal digits.")
    return End(int(number), hash_)


def _text(end: End) -> str:
    return f"{end.number}:{end.hash}"


def _line(row: dict[str, Any]) -> str:
    told = {name: value for name, value in row.items() if value is not None}
    for name in ("previous_hash", "hash", "seal"):
        del told[name]
    at = _time(told.pop("at_ms"))
    return orjson.dumps({"number": told.pop("number"), "at": at} | told).decode()


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
