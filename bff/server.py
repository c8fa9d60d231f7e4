"""uvicorn as we run it: within the limits of `sockets.py`, and leaving as `drain.py` says."""

import asyncio
import gc
import logging
import math
import os
from types import FrameType
from typing import Any, cast

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bff.drain import Drain
from bff.http_guard import cors
from bff.settings.settings import Settings
from bff.sockets import BoundedProtocol, bounded
from bff.tls import tls_options
from bff.unread import QuietSocket, Unheard

WS_MESSAGE_BYTES = 1_000_000  # uvicorn allows 16 MB; an operation and its variables are a few KB
WS_PING_S = 20.0  # below what proxies let a silent connection live
STREAMS_S = 2.0  # of the grace, for closing streams; a WebSocket's client has to answer the close
TICKS_PER_LOOK = 10  # a second, from one look at unread answers to the next
CLOSING_S = 5.0  # for the store, the shelf and the services' connections, when all requests have ended

# New objects, and collections of younger ones, before the next collection. A hundred claims are some thousand
# objects, needed until they are sent and gone then: with 700, 10 and 10, Python's own, they are looked at
# several times each, for a tenth of what the answer costs.
COLLECT_AFTER = (50_000, 20, 50)

log = structlog.get_logger()


def run(app: FastAPI, settings: Settings, host: str, port: int) -> None:
    """Serve until the process is told to stop; returns when everything is closed.

    Raises:
        SystemExit: the start failed.
    """
    server = Server(config_of(app, settings, host, port), app.state.drain, settings)
    gc.collect()
    gc.freeze()  # modules and the schema stay for good: no collection has to look at them again
    gc.set_threshold(*COLLECT_AFTER)
    server.run()
    if not server.started:
        raise SystemExit(STARTUP_FAILURE)


def config_of(app: FastAPI, settings: Settings, host: str, port: int, **more: Any) -> uvicorn.Config:
    """What uvicorn is told."""
    sockets = settings.sockets
    return uvicorn.Config(
        Unheard(app),
        host=host,
        port=port,
        http=bounded(
            sockets,
            on_crowd=app.state.refusals.crowd,
            within=cors(settings.cors, dev=settings.dev),
        ),
        ws=QuietSocket,
        timeout_keep_alive=sockets.keep_alive_s,
        ws_max_size=WS_MESSAGE_BYTES,
        ws_ping_interval=WS_PING_S,
        ws_ping_timeout=WS_PING_S,
        ws_per_message_deflate=False,  # a compressor and its window would double what a subscriber costs
        proxy_headers=sockets.forwarded_allow_ips is not None,
        forwarded_allow_ips=sockets.forwarded_allow_ips or "",
        server_header=False,
        access_log=False,
        **tls_options(settings.tls),
        log_config=None,  # its own handlers would write past ours, secrets and all
        log_level=logging.WARNING,
        **more,
    )


class Server(uvicorn.Server):
    """uvicorn's server, which on the first SIGTERM or SIGINT drains, and on the second is gone."""

    def __init__(self, config: uvicorn.Config, drain: Drain, settings: Settings) -> None:
        super().__init__(config)
        self._drain = drain
        self._lead_s = settings.drain_lead_s
        self._grace_s = settings.grace_s
        self._drained_since_s: float | None = None
        self._unread = cast("type[BoundedProtocol]", config.http).unread

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn would raise the signal again in the end, and the process would seem to have been killed.
        if self.should_exit:
            os._exit(128 + sig)  # the shells' word for it; the first process of a container has no other way
        self._drain.begun.set()
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; whether it is time to accept no more."""
        if counter % TICKS_PER_LOOK == 0:
            self._unread.cut()
        if not await super().on_tick(counter):
            return False
        now_s = asyncio.get_running_loop().time()
        if self._drained_since_s is None:
            self._drained_since_s = now_s
            self._drain.begun.set()
            log.info("drain.begun", lead_s=self._lead_s, grace_s=self._grace_s)
        return now_s - self._drained_since_s >= self._lead_s

    async def shutdown(self, sockets: Any = None) -> None:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._grace_s
        for listening in self.servers:
            listening.close()
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpToolsProtocol):  # a WebSocket lives until its stream is closed
                connection.shutdown()
        await _at_most_until(ends_at - STREAMS_S, self._drain.requests_ended())
        cut_off = self._drain.under_way
        await _at_most_until(ends_at, self._drain.close_streams())
        left_s = max(0.0, ends_at - loop.time())
        self.config.timeout_graceful_shutdown = math.ceil(left_s)
        await _at_most_until(ends_at + CLOSING_S, super().shutdown(sockets))
        log.info("drain.ended", cut_off=cut_off)


async def _at_most_until(time_s: float, work: Any) -> None:
    try:
        async with asyncio.timeout_at(time_s):
            await work
    except TimeoutError:
        pass
