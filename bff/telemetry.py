"""The log: one event per operation and one per upstream request, correlated, without secrets.

Readable in development, JSON lines in production. An event is `noun.past_participle` and facts; nobody puts a
token, a body or a name into one but the error text that a service gave (`said`), and what looks like a secret
is struck out all the same: in names, in texts and in the traceback of an exception.
"""

import functools
import logging
import re
import secrets
import sys
import uuid
from collections.abc import MutableMapping
from io import StringIO
from typing import Any, TextIO

import orjson
import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import Processor

STRUCK_OUT = "[struck out]"
_SECRET_NAMES = re.compile(
    r"token|secret|api_?key|password|authorization|cookie|signature|download_?url", re.IGNORECASE
)
_SECRET_TEXTS = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<=Bearer )\S+"
    r"|https?://\S*(?:Signature|X-Amz)\S*"  # a signed link
    r"|[\w.+-]+@[\w-]+\.[\w.]+"  # an e-mail address
)
TRACEBACK = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold people's data
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def configure_logging(*, readable: bool, level: int = logging.INFO) -> None:
    """Set the process's log up: readable on a terminal, or JSON lines on standard output."""
    facts: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    written: list[Processor] = [
        *([] if readable else [structlog.processors.ExceptionRenderer(TRACEBACK)]),
        strike_out_secrets,
        structlog.dev.ConsoleRenderer(exception_formatter=_plain_traceback)
        if readable
        else structlog.processors.JSONRenderer(serializer=_json),
    ]
    structlog.configure(
        processors=[*facts, *written],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,  # tests and `bff dev` configure after modules made their loggers
    )
    _take_over(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *facts],
        )
    )


class _StandardOutput(logging.Handler):
    """Where structlog prints to: standard output as it is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(f"{self.format(record)}\n")
        sys.stdout.flush()


def _take_over(formatter: logging.Formatter) -> None:
    """Have what libraries log (uvicorn, asyncio, aiohttp, SQLAlchemy) written as our own events are."""
    root = logging.getLogger()
    for earlier in root.handlers[:]:
        if isinstance(earlier, _StandardOutput):
            root.removeHandler(earlier)
    handler = _StandardOutput()
    handler.setFormatter(formatter)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)  # below it httpx writes each address that it asks


def strike_out_secrets(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A structlog processor: no value that is or looks like a secret reaches the log."""
    for name, value in event.items():
        event[name] = STRUCK_OUT if _names_a_secret(name) else _struck(value)
    return event


@functools.lru_cache(maxsize=1024)
def _names_a_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def _struck(value: Any) -> Any:
    if isinstance(value, str):
        # One of these is in whatever the pattern finds. Looking for them first takes a tenth of its time, and
        # each upstream call has its event.
        if "@" in value or "://" in value or "eyJ" in value or "Bearer " in value:
            return _SECRET_TEXTS.sub(STRUCK_OUT, value)
        return value
    if isinstance(value, list):
        return [_struck(item) for item in value]
    if isinstance(value, dict):
        return {name: _struck(item) for name, item in value.items()}
    return value


def _plain_traceback(out: TextIO, exc_info: Any) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    out.write(_SECRET_TEXTS.sub(STRUCK_OUT, text.getvalue()))


def new_support_code() -> str:
    """A short name for one request, for a person to read out."""
    return f"OP-{secrets.token_hex(4).upper()}"


class Correlation:
    """ASGI middleware: each request has a correlation id and a support code, in all of its log events.

    The id is the caller's `X-Request-Id` when it is a plain word, else our own; it is told to the caller and
    to every service asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        correlation_id = told if _REQUEST_ID.fullmatch(told) else uuid.uuid4().hex
        support_code = new_support_code()
        scope.setdefault("state", {})["support_code"] = support_code

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = correlation_id
            await send(message)

        with structlog.contextvars.bound_contextvars(
            correlation_id=correlation_id, support_code=support_code
        ):
            await self._app(scope, receive, send_with_id)


def _json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=repr).decode()
