"""The commands about the map of claims to stripe's integers."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from bff.environment import refused
from bff.telemetry import configure_logging
from clients.errors import DatabaseTooNew, StoreUnavailable
from clients.store.checked_list import BadLine, checked_list
from clients.store.database import url_problem
from clients.store.store import Store

stripe_ids = typer.Typer(no_args_is_help=True, help="The map of claims to stripe's integers.")


@stripe_ids.command("import")
def import_stripe_ids(
    file: Annotated[
        Path, typer.Argument(help="CSV with the columns claim_id and stripe_id.", exists=True, dir_okay=False)
    ],
    db_url: Annotated[str, typer.Option(envvar="DB_URL", help="The BFF's database.")],
) -> None:
    """Enter payments made before the BFF kept a map of claims, from a checked list: all of it or nothing."""
    if problem := url_problem(db_url):
        raise refused(f"DB_URL {problem}. Nothing was entered.")
    configure_logging(readable=True, level=logging.CRITICAL)  # what is wrong is said below

    async def entered() -> int:
        listed = checked_list(file.read_bytes())
        store = Store(db_url)
        await store.open()
        try:
            await store.stripe_map.enter_list(listed)
        finally:
            await store.close()
        return len(listed)

    try:
        typer.echo(f"{asyncio.run(entered())} claims entered.")
    except (BadLine, DatabaseTooNew) as exc:
        typer.echo(f"{exc} Nothing was entered.", err=True)
        raise typer.Exit(1) from exc
    except (StoreUnavailable, SQLAlchemyError, OSError) as exc:
        why = type(exc).__name__
        raise refused(
            f"The database of DB_URL cannot be reached or written ({why}). Enter the list again when it can: "
            "what is in the map already is named then."
        ) from exc
