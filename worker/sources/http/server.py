"""The HTTP source: a server that stores what it is sent before it answers, and its routes."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import uvicorn
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.environment import clock
from worker.intake import MessageParser
from worker.settings.source_groups import ServeSettings
from worker.settings.tree import Settings
from worker.sources.base import Put
from worker.sources.http.access import Access, SnsMessages
from worker.sources.http.openapi import openapi_document
from worker.sources.http.requests import Bodies, Gateway, Refused, accepted, coding_of
from worker.wiring import projects_of, rules_of

logger = logging.getLogger(__name__)

HEAD_BYTES = 32_768
IDLE_SECONDS = 15
GRACE_SECONDS = 10
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HANDSHAKE = "Microsoft.EventGrid.SubscriptionValidationEvent"
SNS_HEADER = "x-amz-sns-message-type"
QUERY = ("on_error", "token")
Handler = Callable[[Request], Awaitable[Response]]


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


class Application:
    """Answers requests.

    Args:
        settings: limits and who may send.
        access: judges tokens and signatures.
        gateway: takes bodies.
        sns: checks what SNS sends.
        is_ready: whether messages can be stored.
        page: answers GET / and everything below /page, if anything does.
    """

    def __init__(
        self,
        settings: ServeSettings,
        access: Access,
        gateway: Gateway,
        sns: SnsMessages,
        is_ready: Callable[[], bool],
        page: ASGIApp | None = None,
    ) -> None:
        self._page = page
        self._settings = settings
        self._access = access
        self._gateway = gateway
        self._sns = sns
        self._is_ready = is_ready
        self._bodies = Bodies(settings)
        self._active = 0

    def routes(self) -> Starlette:
        """The ASGI application."""
        take, validate = self._guarded(self._take), self._guarded(self._validate)
        paths = ("/", "/v1/events", "/v1/predictions")
        return Starlette(
            routes=[
                *(Route(path, take, methods=["POST"]) for path in paths),
                *(Route(path, validate, methods=["OPTIONS"]) for path in paths[:2]),
                Route("/openapi.json", _openapi, methods=["GET"]),
                Route("/livez", _alive, methods=["GET"]),
                Route("/readyz", self._ready, methods=["GET"]),
                *self._page_routes(),
            ],
            exception_handlers={HTTPException: _no_route},
        )

    def _page_routes(self) -> list[Route]:
        if self._page is None:
            return []
        return [Route("/", self._page, methods=["GET"]), Route("/page/{rest:path}", self._page)]

    def _guarded(self, handler: Handler) -> Handler:
        """The handler, no more of it at a time than the settings allow; what it refuses is answered."""

        async def handle(request: Request) -> Response:
            if self._active >= self._settings.concurrency:
                return Refused(503, "too many requests at a time", "send it again", retry_after=1).response()
            self._active += 1
            try:
                return await handler(request)
            except Refused as refused:
                return refused.response()
            finally:
                self._active -= 1

        return handle

    async def _take(self, request: Request) -> Response:
        keep = _keep(request.query_params)
        headers = {key.lower(): value for key, value in request.headers.items()}
        is_known = self._access.is_open or self._access.has_token(headers, request.query_params)
        from_sns = SNS_HEADER in headers and bool(self._settings.sns_topics)
        if not is_known and not from_sns and "webhook-signature" not in headers:
            raise self._access.refuse()
        body = await self._bodies.read(request)
        try:
            return await run_in_threadpool(self._answer, body, headers, coding_of(request), keep, is_known, from_sns)
        finally:
            self._bodies.release(body)

    def _answer(
        self, body: bytes, headers: Mapping[str, str], coding: str, keep: bool, is_known: bool, from_sns: bool
    ) -> Response:
        if not is_known and not from_sns and not self._access.has_signature(headers, body):
            raise self._access.refuse()
        body = self._bodies.uncompressed(body, coding)
        if from_sns:
            kind = self._sns.accept(_json(body))
            if kind != "notification":
                return JSONResponse({"subscription": kind})
        if headers.get("aeg-event-type") == "SubscriptionValidation":
            return JSONResponse({"validationResponse": _validation_code(_json(body))})
        return accepted(self._gateway.take(body, headers, keep=keep))

    async def _validate(self, request: Request) -> Response:
        """The handshake of CloudEvents' webhooks."""
        if not self._access.is_open and not self._access.has_token(request.headers, request.query_params):
            raise self._access.refuse()
        origin = request.headers.get("webhook-request-origin", "")
        if not origin:
            raise Refused(400, "WebHook-Request-Origin is missing", "send the handshake as CloudEvents' webhooks do")
        allowed = {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*", "Allow": "POST, OPTIONS"}
        return Response(status_code=200, headers=allowed)

    async def _ready(self, _request: Request) -> Response:
        if await run_in_threadpool(self._is_ready):
            return PlainTextResponse("ready\n")
        return PlainTextResponse("Redis is away, or too much waits\n", 503)


async def _alive(_request: Request) -> Response:
    return PlainTextResponse("alive\n")


async def _openapi(_request: Request) -> Response:
    return JSONResponse(openapi_document())


async def _no_route(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    problem = "the method is not allowed here" if status == HTTPStatus.METHOD_NOT_ALLOWED else "there is nothing here"
    answer = Refused(status, problem, "POST to /v1/predictions, /v1/events or /").response()
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


def _keep(query: Mapping[str, str]) -> bool:
    unknown = sorted(set(query) - set(QUERY))
    if unknown:
        raise Refused(400, f"unknown parameter {unknown[0][:40]!r}", f"there are {', '.join(QUERY)}")
    if query.get("on_error", "keep") != "keep":
        raise Refused(400, "on_error is not keep", "send on_error=keep, or leave it out")
    return "on_error" in query


def _json(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError as error:
        raise Refused(400, f"the body is not valid JSON: {error}", "send JSON in UTF-8") from None


def _validation_code(events: Any) -> str:
    """The code that Event Grid's handshake asks back."""
    first = events[0] if isinstance(events, list) and events else None
    data = first.get("data") if isinstance(first, dict) and first.get("eventType") == HANDSHAKE else None
    code = data.get("validationCode") if isinstance(data, dict) else None
    if not isinstance(code, str) or not code:
        raise Refused(400, "the handshake has no validationCode", "send it as Event Grid does")
    return code
