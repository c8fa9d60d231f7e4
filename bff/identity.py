"""Who stands at the door: a viewer with a token, a program with its key, or somebody to be turned away."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import httpx
from pydantic import AnyHttpUrl
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.audit import Book
from bff.auth import NOBODY, Authenticator, Unauthenticated
from bff.guesses import Guesses
from bff.machines import KEY_HEADER, Machine, Machines
from bff.refusals import Refusals
from bff.settings.settings import Settings
from clients.caller import Viewer
from clients.jwks import IssuerKeys
from clients.transport import UpstreamSettings

Base = Callable[[str, UpstreamSettings], httpx.AsyncBaseTransport]


class Identity:
    """How one process tells who asks."""

    def __init__(
        self,
        settings: Settings,
        base: Base,
        *,
        book: Book,
        on_refusal: Callable[[str, str], None],
        on_fetch: Callable[[bool], None],
    ) -> None:
        """
        Args:
            base: reaches the issuer, where it publishes its keys.
            book: told who was turned away, and which program was let in.
            on_refusal: told the kind and the reason of each refusal.
            on_fetch: told of each reading of the issuer's keys whether it brought any.
        """
        self.issuer_keys = _issuer_keys(settings.jwks_url, base, on_fetch) if settings.jwks_url else None
        keys = self.issuer_keys or settings.jwt_secret
        assert keys, "settings hold one or the other"
        self.authenticator = Authenticator(
            keys,
            previous=settings.jwt_secret_previous,
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            leeway_s=settings.jwt_leeway_s,
        )
        self.refusals = Refusals(on_refusal, book.refused)
        self._book = book
        self._guesses = Guesses(settings.rates)
        self._machines = Machines(settings.machines)
        self._metrics_public = settings.dev or settings.metrics_public
        self._renewing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read the issuer's keys, and go on renewing them; an issuer that is down does not stop
        the start, and nobody is sent here meanwhile."""
        if self.issuer_keys:
            await self.issuer_keys.renew()
            self._renewing = asyncio.create_task(self.issuer_keys.run())

    async def aclose(self) -> None:
        """Renew no more."""
        if self._renewing:
            self._renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewing
        if self.issuer_keys:
            await self.issuer_keys.aclose()

    def waits_for(self) -> list[str]:
        """What has to come before anybody can be let in; keys that were read once are kept, however old."""
        return ["issuer-keys"] if self.issuer_keys and self.issuer_keys.age_s is None else []

    def keys_age_s(self) -> float | None:
        """Seconds since the issuer's keys were read; None where there are none."""
        return self.issuer_keys.age_s if self.issuer_keys else None

    def who(self, connection: HTTPConnection) -> tuple[Viewer, Machine | None]:
        """Whom the headers of a request name: the viewer, and the program if one shows its key.

        The viewer is `NOBODY` for a program that shows nobody's token.

        Raises:
            Unauthenticated: neither proves anything.
        """
        shown = connection.headers.getlist("authorization")
        with self._noted(connection, shown[0] if shown else None):
            machine = self._machines.admitted(connection, "graphql")
            if machine:
                self._book.admitted(connection, machine.name, "graphql")
            elif KEY_HEADER in connection.headers:
                self.refusals.key(connection, "graphql")
                self._guesses.bad(connection)
            if machine and machine.alone:
                return NOBODY, machine
            if len(shown) > 1:  # whoever stands before us may have read another one
                raise Unauthenticated("Send one `Authorization` header.", "invalid")
            return self.authenticator.viewer(shown[0] if shown else None), machine

    async def viewer(self, connection: HTTPConnection, authorization: str | None) -> Viewer:
        """The viewer whom a token names that came otherwise than in a header, as over a WebSocket.

        Raises:
            Unauthenticated: it proves nothing.
        """
        await self.authenticator.prepare(authorization)
        with self._noted(connection, authorization):
            return self.authenticator.viewer(authorization)

    @contextlib.contextmanager
    def _noted(self, connection: HTTPConnection, shown: str | None) -> Iterator[None]:
        try:
            self._guesses.listen(connection, shown)
            yield
            self._guesses.good(shown)
        except Unauthenticated as exc:
            self.refusals.sign_in(connection, exc.reason)
            if exc.reason == "invalid":
                self._guesses.bad(connection)
            raise

    def let_read_metrics(self, connection: HTTPConnection) -> None:
        """Let programs with a key read `/metrics`, and everybody where settings say so.

        Raises:
            Unauthenticated: it shows no key that is known.
        """
        if self._metrics_public:
            return
        shown = connection.headers.get(KEY_HEADER) or connection.headers.get("authorization")
        self._guesses.listen(connection, shown)
        if machine := self._machines.admitted(connection, "metrics"):
            self._book.admitted(connection, machine.name, "metrics")
            self._guesses.good(shown)
            return
        self.refusals.key(connection, "metrics")
        if shown:
            self._guesses.bad(connection)
        raise Unauthenticated(
            "Send a program's key as `X-API-Key` or `Authorization: Bearer …`.", reason="missing"
        )


def _issuer_keys(url: AnyHttpUrl, base: Base, on_fetch: Callable[[bool], None]) -> IssuerKeys:
    return IssuerKeys(str(url), base("issuer", UpstreamSettings(base_url=url)), on_fetch=on_fetch)


class KeysLearned:
    """ASGI middleware: the key of a request's token is known, if it can be, before anybody needs it."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            await self._authenticator.prepare(Headers(scope=scope).get("authorization"))
        await self._app(scope, receive, send)
