"""The connection under a request, for faults that no HTTP answer can express."""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

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
