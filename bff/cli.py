"""The command `bff`: run it in development, in production, or parts of it."""

import asyncio
import hashlib
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import orjson
import typer
from graphql import GraphQLError
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from bff import audit_commands, server, stripe_ids_commands
from bff.app import create_dev_app, dev_token
from bff.auth import SCOPES, USER_ID
from bff.contracts import priced_contracts
from bff.dev_issuer import DevIssuer
from bff.environment import BadEnvironment, misspelt, refused, told
from bff.explain import explain as explained
from bff.operations import stored_operations
from bff.rates import RateSettings
from bff.sandbox import serve as sandbox_ports
from bff.sandbox.faults import parse_words
from bff.sandbox.sandbox import DEV_SECRETS, PORTS, SERVICES, Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.schema import build_schema
from bff.settings.audit import DEV_SECRET
from bff.settings.settings import Settings
from bff.telemetry import configure_logging
from bff.trusted import manifest_of
from clients.transport import ServiceSettings

main = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
main.add_typer(stripe_ids_commands.stripe_ids, name="stripe-ids")
main.add_typer(audit_commands.audit, name="audit")
main.command()(audit_commands.doctor)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
DEV_STRIPE_FIRST_ID = 1_000_000_000  # where those of the sandbox begin
EXPIRES_AT_MOST_S = 10 * 365 * 86_400  # either way

Port = Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 is any that is free.")]
Output = Annotated[Path | None, typer.Option(help="File to write; standard output by default.")]
Claims = Annotated[int, typer.Option(min=1, max=10_000, help="Claims of the first seller.")]
FaultWords = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="SERVICE=FAULT",
        help="down, slow:2000 (ms), error, error:0.3, garbage, hang, rate-limited, or after:error, "
        "after:hang, after:down (does the work first); may be repeated.",
    ),
]


@main.command()
def dev(
    port: Port = 8001,
    claims: Claims = 60,
    fault: FaultWords = None,
) -> None:
    """Run the BFF and the six services in one process, seeded the same on every start."""
    configure_logging(readable=True)
    if unknown := misspelt(os.environ):
        typer.echo(f"{unknown} They change nothing; `bff serve` would not start.", err=True)
    try:
        settings = dev_settings().model_copy(
            update={"trusted_hosts": LOOPBACK_NAMES}
        )  # the page holds a token
    except BadEnvironment as exc:
        raise refused(str(exc)) from None
    sandbox = _sandbox(claims, fault, files_url=f"http://127.0.0.1:{port}/sandbox/files")
    app = create_dev_app(sandbox, settings, seller=SELLERS[0])
    _say_hello(port, dev_token(settings, SELLERS[0]))
    server.run(app, settings, "127.0.0.1", port)


@main.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Port = 8001,
) -> None:
    """Run the BFF in front of the six services named by the environment."""
    from bff.main import app, settings  # reads the environment, which only this command wants

    server.run(app, settings, host, port)


@main.command()
def sandbox(claims: Claims = 60, fault: FaultWords = None) -> None:
    """Serve the six services on their real ports, so that anything can be pointed at them."""
    configure_logging(readable=True)
    for name in SERVICES:
        Console().print(f"  {name:<14} http://127.0.0.1:{PORTS[name]}")
    try:
        asyncio.run(sandbox_ports.serve(_sandbox(claims, fault)))
    except OSError as exc:
        raise refused(f"A port cannot be opened. {exc}") from None


@main.command()
def token(
    viewer: Annotated[
        str, typer.Option(help="first or second seller of the sandbox, or a user id (UUID).")
    ] = "first",
    scopes: Annotated[
        str, typer.Option(help="Scopes, with commas or spaces between; every scope by default.")
    ] = " ".join(SCOPES),
    expires: Annotated[
        int,
        typer.Option(
            min=-EXPIRES_AT_MOST_S,
            max=EXPIRES_AT_MOST_S,
            help="Seconds from now; negative for an expired one.",
        ),
    ] = 12 * 3600,
) -> None:
    """Print a token of the dev issuer, for scripts: TOKEN=$(bff token)."""
    who = dict(zip(("first", "second"), SELLERS, strict=True)).get(viewer)
    if who is None and not USER_ID.fullmatch(viewer):
        raise typer.BadParameter("A viewer is first, second or a user id (UUID).", param_hint="--viewer")
    typer.echo(
        DevIssuer(SecretStr(DEV_SECRET)).token(
            user_id=who.user_id if who else viewer,
            email=who.email if who else None,
            name=who.name if who else None,
            stripe_user_id=who.stripe_user_id if who else None,
            scopes=scopes.replace(",", " ").split(),
            expires_in=timedelta(seconds=expires),
        )
    )


@main.command()
def key() -> None:
    """Print a new secret, and its SHA-256 for settings that keep a key as its hash."""
    made = secrets.token_urlsafe(48)
    typer.echo(f"key     {made}\nsha256  {hashlib.sha256(made.encode()).hexdigest()}")


@main.command()
def schema(
    output: Output = None,
) -> None:
    """Print the graph's schema."""
    _write(build_schema().as_str() + "\n", output)


@main.command()
def explain(
    file: Annotated[Path, typer.Argument(help="A GraphQL document, or the name of a stored operation.")],
    variables: Annotated[str, typer.Option(help="The operation's variables, as JSON.")] = "{}",
    operation: Annotated[str | None, typer.Option(help="Which operation, where there are several.")] = None,
) -> None:
    """Say which upstream calls an operation will make, before it runs."""
    stored = stored_operations().get(str(file))
    try:
        document = stored or file.read_text()
        given = orjson.loads(variables)
        if not isinstance(given, dict):
            raise typer.BadParameter('It is a JSON object, as {"id": "…"}.', param_hint="--variables")
        found = explained(build_schema(), document, given, operation)
    except UnicodeDecodeError:
        raise typer.BadParameter("It is no text, so no GraphQL document.", param_hint="FILE") from None
    except (OSError, orjson.JSONDecodeError, GraphQLError) as exc:
        raise typer.BadParameter(str(exc)) from exc
    table = Table("service", "calls at most", "as a rule", *(f"hop {hop}" for hop in sorted(found.by_hop)))
    for service in (name for name in SERVICES if name in found.services):
        calls = found.services[service]
        per_hop = (str(found.by_hop[hop][service] or "") for hop in sorted(found.by_hop))
        table.add_row(service, str(calls.at_most), str(calls.expected), *per_hop)
    out = Console()
    out.print(table if found.services else "It asks no service.")
    out.print(f"hops {found.hops}, cost {found.cost} (in ordinary upstream calls, as a rule)")


@main.command()
def contracts(
    output: Output = None,
) -> None:
    """Print the call contract of each stored operation, worked out from the graph."""
    _write(orjson.dumps(priced_contracts(build_schema()), option=orjson.OPT_INDENT_2).decode() + "\n", output)


@main.command()
def manifest(
    output: Output = None,
) -> None:
    """Print the manifest of the stored operations, in Apollo's format, for BFF_TRUSTED_DOCUMENTS."""
    _write(orjson.dumps(manifest_of(stored_operations()), option=orjson.OPT_INDENT_2).decode() + "\n", output)


def dev_settings() -> Settings:
    """Settings for the embedded services: their own dev secrets, and a database in memory.

    Raises:
        BadEnvironment: what else is set cannot be used.
    """
    return told(
        Settings,
        dev=True,
        rehearsals=True,
        rates=RateSettings(mode="measure"),  # a script in a loop is told of, and goes on
        drain_lead_s=0,  # nobody has to notice
        docs=True,
        jwt_secret=SecretStr(DEV_SECRET),
        db_url="sqlite+aiosqlite:///:memory:",
        stripe_first_id=DEV_STRIPE_FIRST_ID,
        refund_engine=_dev_service("refund-engine"),
        integrations=_dev_service("integrations"),
        cost_docs=_dev_service("cost-docs"),
        stripe=_dev_service("stripe"),
    )


def _write(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text)
    except OSError as exc:
        raise typer.BadParameter(
            f"{output} cannot be written: {exc.strerror}.", param_hint="--output"
        ) from exc


def _dev_service(name: str) -> ServiceSettings:
    return ServiceSettings(jwt_secret=SecretStr(DEV_SECRETS[name]))


def _sandbox(claims: int, faults: list[str] | None, *, files_url: str | None = None) -> Sandbox:
    world = seed(claims)
    made = Sandbox(world, files_url=files_url) if files_url else Sandbox(world)
    try:
        for service, found in parse_words(faults or []).items():
            made.faults[service] = found
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc
    return made


def _say_hello(port: int, token: str) -> None:
    address = f"http://127.0.0.1:{port}"
    out = Console(soft_wrap=True, highlight=False)
    out.print(
        f"\n[bold]Opside BFF[/bold] for development, six services embedded, data of {SELLERS[0].name}\n"
    )
    out.print(f"  GraphiQL   {address}/graphiql/")
    out.print(f"  GraphQL    {address}/graphql")
    out.print(f"  REST       {address}/docs   (or /redoc)")
    out.print(f"  faults     {address}/sandbox/faults   (GET, PUT)\n")
    out.print(f"  token      {token}\n")
    query = '{"query":"{ dashboard { claimMetrics { totalCount claimedAmount { amount } } } }"}'
    out.print(
        f"  curl -s {address}/graphql -H 'content-type: application/json' "
        f"-H 'authorization: Bearer {token}' -d '{query}'\n",
        markup=False,
    )
