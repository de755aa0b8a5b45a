"""The HTTP source: a server that stores what it is sent before it answers."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.environment import clock
from worker.intake import MessageParser
from worker.settings.tree import Settings
from worker.sources.base import Put
from worker.sources.http.access import Access, SnsMessages
from worker.sources.http.application import Application
from worker.sources.http.gateway import Gateway
from worker.wiring import projects_of, rules_of

logger = logging.getLogger(__name__)

HEAD_BYTES = 32_768
IDLE_SECONDS = 15
GRACE_SECONDS = 10
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class HttpSource:
    """Takes messages over HTTP.

    Args:
        settings: of the process.

    Raises:
        ValueError: everybody on the network could send; or the file of secrets is wrong.
    """

    name = "http"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.ahead = settings.intake.max_inbox
        own = settings.serve
        self.page: Any = None
        """An ASGI application that is shown beside the source, set before it runs."""
        self._access = Access(own)
        if self._access.is_open and own.host not in LOOPBACK and not own.is_open:
            raise ValueError(
                f"WORKER_SERVE__HOST: everybody who reaches {own.host} could send; set WORKER_SERVE__TOKENS, "
                "WORKER_SERVE__HMAC_KEYS or WORKER_SERVE__SECRETS_FILE, or WORKER_SERVE__IS_OPEN=true"
            )

    def run(self, put: Put, may_take: Callable[[], bool], stop: threading.Event) -> None:
        """Serve until stopped; requests that are being handled then are answered."""
        settings = self._settings
        parser = MessageParser(rules_of(settings), projects_of(settings), checks_only=True)
        gateway = Gateway(put, parser, pairs=settings.kserve.mode == "all")
        sns = SnsMessages(settings.serve.sns_topics)
        application = Application(settings.serve, self._access, gateway, sns, may_take, self.page)
        server = uvicorn.Server(_config(settings, application.routes()))
        ended = threading.Event()
        threading.Thread(target=_end_with, args=(server, stop, ended), name="http-stop", daemon=True).start()
        listener = listen(settings.serve.host, settings.serve.port)
        host, port = listener.getsockname()[:2]
        logger.info("listening on %s:%d", host, port, extra={"action": "listening", "host": host, "port": port})
        try:
            with listener:
                server.run(sockets=[listener])
        finally:
            ended.set()


class HeadLimited(H11Protocol):
    """HTTP/1.1 whose request heads must arrive in time, the first of a connection as any later one."""

    seconds = 20.0
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait as long as no head is complete; a body has a limit of its own."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._end_wait()
        else:
            self._wait()

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.seconds, self._close)

    def _end_wait(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _close(self) -> None:
        self._waiting = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def _config(settings: Settings, application: Any) -> uvicorn.Config:
    limited = type("Limited", (HeadLimited,), {"seconds": settings.serve.body_seconds})
    return uvicorn.Config(
        application,
        http=limited,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises OSError with the address when it is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def _end_with(server: uvicorn.Server, stop: threading.Event, ended: threading.Event) -> None:
    while not ended.is_set():
        if clock.wait(stop, 0.1):
            server.should_exit = True
            return
