"""The HTTP surface of a sandbox, the server that carries it, and the files behind signed addresses."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.sandbox.admin import admin_routes
from worker.sandbox.core import Sandbox
from worker.sandbox.envelope import Answer, altered, answer_call, answer_instead, text_answer
from worker.sandbox.faults import UPLOAD, Call
from worker.sandbox.process import SandboxConfig
from worker.sandbox.store import label_path


async def answer_bucket(sandbox: Sandbox, request: Request) -> Answer:
    """Answer one request to the bucket; uploads are written into the books."""
    if request.method != "PUT":
        return _read(sandbox, request)
    started = sandbox.clock()
    answer = await _write(sandbox, request)
    sandbox.calls.add(UPLOAD, started=started, status=answer.status, ending=answer.ending, items=1)
    return answer


def file_answer(found: tuple[bytes, str] | None) -> Answer:
    """Answer with a content and its media type, or 404."""
    return text_answer(404, "NoSuchKey") if found is None else Answer(200, *found)


def _read(sandbox: Sandbox, request: Request) -> Answer:
    path = request.path_params["path"]
    return file_answer(sandbox.buckets.read(path)) if _may(sandbox, request) else _no()


async def _write(sandbox: Sandbox, request: Request) -> Answer:
    path = request.path_params["path"]
    content = await request.body()
    plan = sandbox.script.plan(Call((UPLOAD,), _part(path, 1), len(content), asset_id=_part(path, 3)))
    await asyncio.sleep(plan.delay)
    answer = answer_instead(plan.action)
    if answer is None:
        answer = text_answer(200, "") if _may(sandbox, request) else _no()
        if answer.status == 200:
            media_type = request.headers.get("content-type", "application/octet-stream")
            sandbox.buckets.write(path, content, media_type)
        answer = altered(plan.action, answer)
    await asyncio.sleep(plan.delay_after)
    return answer


def _part(path: str, number: int) -> str | None:
    """A part of ``projects/<project>/assets/<asset>/...``."""
    parts = path.split("/")
    return parts[number] if len(parts) > number else None


def _may(sandbox: Sandbox, request: Request) -> bool:
    return sandbox.buckets.may_access(request.path_params["path"], request.query_params.get("signature", ""))


def _no() -> Answer:
    return text_answer(403, "SignatureDoesNotMatch")


#: The name of these requests in fault rules and in the books.
LABEL_FILE = "labelFile"


async def answer_label_file(sandbox: Sandbox, request: Request) -> Answer:
    """Answer one request for a label's file and write it into the books."""
    started = sandbox.clock()
    answer = await _answer(sandbox, request)
    sandbox.calls.add(LABEL_FILE, started=started, status=answer.status, ending=answer.ending, items=1)
    return answer


async def _answer(sandbox: Sandbox, request: Request) -> Answer:
    sandbox.store.settle()
    label_id = request.path_params["label_id"]
    if not sandbox.buckets.may_access(label_path(label_id), request.query_params.get("signature", "")):
        return text_answer(403, "SignatureDoesNotMatch")
    label = sandbox.store.tables.labels.get(label_id)
    if label is None:
        return text_answer(404, "NoSuchKey")
    asset = sandbox.store.tables.assets[label.asset_id]
    plan = sandbox.script.plan(Call((LABEL_FILE,), label.project_id, 0, external_id=asset.external_id))
    await asyncio.sleep(plan.delay)
    whole = Answer(200, label.json_response.encode(), "application/json")
    answer = answer_instead(plan.action) or altered(plan.action, whole)
    await asyncio.sleep(plan.delay_after)
    return answer


WIRE = "sandbox.wire"
#: SO_LINGER on with no time to linger: closing sends RST instead of FIN.
NO_LINGER = struct.pack("ii", 1, 0)


class Wire:
    """One TCP connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Wrap the server's side of a connection."""
        self._transport = transport
        self._is_used = False

    def first_use(self) -> bool:
        """Tell, once, that nothing has used this connection before."""
        first, self._is_used = not self._is_used, True
        return first

    def abort(self) -> None:
        """Drop the connection at once; the peer sees a reset."""
        raw = self._transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self._transport.abort()

    def close(self) -> None:
        """Send what was written, then close the connection."""
        self._transport.close()


class WireProtocol(H11Protocol):
    """HTTP as usual, with the connection in the application's scope."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wrap the application for this one connection."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.app = _with_wire(self.app, Wire(self.transport))


def _with_wire(app: ASGIApp, wire: Wire) -> ASGIApp:
    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        scope[WIRE] = wire
        await app(scope, receive, send)

    return run


def is_first_call(scope: Scope) -> bool:
    """Tell whether a call is the first one over its connection."""
    wire: Wire | None = scope.get(WIRE)
    return wire is not None and wire.first_use()


async def hang_up(scope: Scope, receive: Receive, *, at_once: bool) -> None:
    """End the connection of a request without (further) answer and wait until it is gone."""
    wire: Wire | None = scope.get(WIRE)
    if wire is None:
        raise RuntimeError("this server cannot drop connections: run the application by worker.sandbox.server")
    if at_once:
        wire.abort()
    else:
        wire.close()
    while (await receive())["type"] != "http.disconnect":
        pass


API = "/api/label/v2"
ENDPOINT = f"{API}/graphql"


def create_app(config: SandboxConfig) -> ASGIApp:
    """Return the ASGI application of a new sandbox.

    Faults that drop connections need the server of `serve`; under another one they answer 500.
    """
    return app_of(Sandbox(config))


def app_of(sandbox: Sandbox) -> ASGIApp:
    """Return the ASGI application of a sandbox."""
    routes: list[BaseRoute] = [
        Route(ENDPOINT, _Wired(sandbox, answer_call), methods=["POST"]),
        Route("/labels/{label_id}/jsonResponse", _Wired(sandbox, answer_label_file), methods=["GET"]),
        Route(f"{API}/version", _version(sandbox)),
        Route(f"{API}/files", _file_by_id(sandbox)),
        Route("/bucket/{path:path}", _Wired(sandbox, answer_bucket), methods=["GET", "PUT"]),
        *admin_routes(sandbox),
    ]
    if sandbox.config.files is not None:
        routes.append(Mount("/files", StaticFiles(directory=sandbox.config.files)))
    return Starlette(routes=routes)


def serve(
    config: SandboxConfig,
    *,
    announce: Callable[[str], None],
    projects: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Listen and answer until a signal comes; `announce` gets the endpoint's address once.

    `projects` are there from the start: a CreateProjectData by project id.
    """
    sandbox = Sandbox(config)
    for project_id, data in (projects or {}).items():
        sandbox.add_project(project_id, data)
    listener = _listen(config)
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            app_of(sandbox),
            http=WireProtocol,
            lifespan="off",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
    )
    if config.port_file is not None:
        Path(config.port_file).write_text(f"{port}\n", encoding="utf-8")
    announce(f"http://{_in_url(config.host)}:{port}{ENDPOINT}")
    server.run(sockets=[listener])


def _listen(config: SandboxConfig) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is spelled out; with it on, every answer over a
    # kept connection waits 40 ms for the client's delayed acknowledgement.
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((config.host, config.port))
    listener.listen(2048)
    return listener


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Wired:
    """An endpoint as a bare ASGI application: some answers are no HTTP answers."""

    def __init__(self, sandbox: Sandbox, answer: Callable[[Sandbox, Request], Awaitable[Answer]]) -> None:
        self._sandbox = sandbox
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_first_call(scope):
            self._sandbox.calls.connected()
        try:
            answer = await self._answer(self._sandbox, Request(scope, receive))
        except ClientDisconnect:
            return  # it went away before its request was whole: there is nothing to do, and nobody to tell
        if answer.status == 0:
            await hang_up(scope, receive, at_once=True)
        elif answer.is_cut:
            await _send_half(answer, send)
            await hang_up(scope, receive, at_once=False)
        else:
            await _response(answer)(scope, receive, send)


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, headers=dict(answer.headers or {}), media_type=answer.media_type)


async def _send_half(answer: Answer, send: Send) -> None:
    start = _response(answer).raw_headers
    await send({"type": "http.response.start", "status": answer.status, "headers": start})
    half = answer.body[: len(answer.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})


def _version(sandbox: Sandbox) -> Callable[[Request], Response]:
    return lambda _request: JSONResponse({"version": sandbox.version})


def _file_by_id(sandbox: Sandbox) -> Callable[[Request], Response]:
    return lambda request: _response(file_answer(sandbox.buckets.read_id(request.query_params.get("id", ""))))
