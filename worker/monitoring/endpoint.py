"""A small HTTP server for metrics and probes, beside the work and never in its way.

An address that is taken keeps nobody from working: the worker says so once, works, and tries again until it has it.
So a new worker takes over the address when the old one has drained. Several workers of one machine share a range of
ports, ``127.0.0.1:9464-9467``: each takes the first that is free.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from worker.environment import clock
from worker.settings.groups import Address

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
TIMEOUT = 5.0
MOST_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """What a path answers."""

    status: HTTPStatus
    content_type: str
    body: bytes


Route = Callable[[str], EndpointAnswer]
"""Answers a path; is given the ``Accept`` header."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.routes = routes
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind, and ask no name service for our own name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; whoever comes when all are busy is turned away."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's own names
        """A client that goes away is nobody's trouble."""
        logger.debug("a request was not answered", exc_info=True, extra={"action": "http_failed"})


class _Handler(BaseHTTPRequestHandler):
    timeout = TIMEOUT
    server: _Server
    server_version = "prediction-worker"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        answer = self._answered(route) if route else _plain_text(HTTPStatus.NOT_FOUND, self._paths)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def _answered(self, route: Route) -> EndpointAnswer:
        try:
            return route(self.headers.get("Accept", ""))
        except Exception as error:
            logger.exception("%s cannot be answered", self.path, extra={"action": "http_failed"})
            return _plain_text(HTTPStatus.INTERNAL_SERVER_ERROR, f"cannot be answered: {type(error).__name__}")

    @property
    def _paths(self) -> str:
        return f"there is {', '.join(sorted(self.server.routes))}"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        logger.debug(format, *args, extra={"action": "http_request"})


def _plain_text(status: HTTPStatus, message: str) -> EndpointAnswer:
    return EndpointAnswer(status, "text/plain; charset=utf-8", f"{message}\n".encode())


class Endpoint:
    """Serves some paths from threads of its own.

    Args:
        address: where to listen.
        routes: what each path answers.
    """

    def __init__(self, address: Address, routes: Mapping[str, Route]) -> None:
        self._address = address
        self._routes = dict(routes)
        self._server: _Server | None = None
        self._ended = threading.Event()
        self._logged = False
        self._guard = threading.Lock()

    @property
    def url(self) -> str:
        """Where it listens, empty while it does not."""
        server = self._server
        if server is None:
            return ""
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"http://{host}:{server.server_port}"

    def open(self) -> None:
        """Listen.

        Raises:
            OSError: no port of the address is free, or it is none of this machine.
        """
        for port in self._address.ports:
            try:
                server = _Server(self._address.host, port, self._routes)
            except OSError:
                if port == self._address.ports[-1]:
                    raise
            else:
                break
        with self._guard:
            if self._ended.is_set():
                server.server_close()
                return
            self._server = server
        threading.Thread(target=server.serve_forever, args=(0.2,), name="http", daemon=True).start()
        logger.info("metrics and probes at %s", self.url, extra={"action": "http_listening", "url": self.url})

    def start(self) -> None:
        """Listen now, or as soon as the address is free; never raises, never waits."""
        if not self._opened():
            threading.Thread(target=self._try_again, name="http-again", daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        with self._guard:
            self._ended.set()
            server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def _try_again(self) -> None:
        while not clock.wait(self._ended, AGAIN_SECONDS):
            if self._opened():
                return

    def _opened(self) -> bool:
        try:
            self.open()
        except OSError as error:
            if not self._logged:
                message = (
                    "no metrics and probes yet, the work goes on: %s cannot be listened on (%s); it is tried again. "
                    "Several workers of one machine need WORKER_HTTP__LISTEN of their own, or a range of ports"
                )
                extra = {"action": "http_not_listening", "address": str(self._address)}
                logger.warning(message, self._address, error.strerror or error, extra=extra)
                self._logged = True
            return False
        return True
