"""Bodies of requests, read within limits, and why a request is refused.

A body is read within limits of size and time, and uncompressed no further than the same size. A refusal is an
``application/problem+json`` (RFC 9457) with the field and the fix.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from worker.settings.source_groups import ServeSettings

PROBLEM_TYPE = "application/problem+json"
SHOWN = 20
"""Errors of single messages that an answer names; it counts all."""


class Refused(Exception):
    """A request that is not taken; nothing of it was stored.

    Args:
        status: of the answer.
        problem: what is wrong.
        fix: what the producer can do.
        retry_after: seconds after which it may be sent again.
        errors: one of each wrong message: ``index``, ``field``, ``problem``, ``fix``, ``cause``.
    """

    def __init__(
        self,
        status: int,
        problem: str,
        fix: str = "",
        *,
        retry_after: int | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(problem)
        self.status = HTTPStatus(status)
        self.problem = problem
        self.fix = fix
        self.retry_after = retry_after
        self.errors = errors

    def response(self) -> Response:
        """The answer."""
        body: dict[str, Any] = {"type": "about:blank", "title": self.status.phrase, "status": self.status.value}
        body["detail"] = f"{self.problem}; {self.fix}" if self.fix else self.problem
        if self.errors:
            body |= {"errors": list(self.errors[:SHOWN]), "wrong": len(self.errors)}
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        text = json.dumps(body, ensure_ascii=True).encode()
        return Response(text, self.status.value, headers=headers, media_type=PROBLEM_TYPE)


def accepted(content: Mapping[str, Any]) -> Response:
    """202: what was sent is stored."""
    return JSONResponse(dict(content), HTTPStatus.ACCEPTED)


BODIES_IN_HAND = 8
"""So many times the largest body may be in memory at a time, of all requests together."""

GZIP = 16 + zlib.MAX_WBITS
CODINGS = ("", "identity", "gzip")


class Bodies:
    """Reads the bodies of all requests of a process.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._most = settings.max_body_bytes
        self._seconds = settings.body_seconds
        self._free = BODIES_IN_HAND * settings.max_body_bytes

    async def read(self, request: Request) -> bytes:
        """The body as it was sent. Raises Refused; ``release`` is called with what was read when it is done with."""
        _check_head(request)
        self._check_size(_length(request))
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for part in request.stream():
                    size += len(part)
                    self._free -= len(part)
                    parts.append(part)
                    self._check(size)
        except TimeoutError:
            self._free += size
            raise Refused(408, f"the body did not arrive within {self._seconds:g} s", "send smaller bodies") from None
        except ClientDisconnect:
            self._free += size
            raise Refused(400, "the connection ended before the body did", "send it again") from None
        except Refused:
            self._free += size
            raise
        return b"".join(parts)

    def release(self, body: bytes) -> None:
        """A body that was read is no longer needed."""
        self._free += len(body)

    def uncompressed(self, body: bytes, coding: str) -> bytes:
        """The body without its ``Content-Encoding``. Raises Refused."""
        if coding != "gzip":
            return body
        found, rest = bytearray(), body
        while rest:
            codec = zlib.decompressobj(GZIP)
            try:
                found += codec.decompress(rest, self._most + 1 - len(found))
            except zlib.error as error:
                raise Refused(
                    400, f"the body is no gzip: {error}", "send it as gzip, or leave out Content-Encoding"
                ) from None
            self._check_size(len(found))
            if not codec.eof:
                raise Refused(400, "the gzip data end too soon", "send all of them")
            rest = codec.unused_data
        return bytes(found)

    def _check(self, size: int) -> None:
        self._check_size(size)
        if self._free < 0:
            raise Refused(429, "too many bodies are being read", "send it again", retry_after=1)

    def _check_size(self, size: int) -> None:
        if size > self._most:
            raise Refused(413, f"the body has more than {self._most:,} bytes", "send fewer messages at once")


def _check_head(request: Request) -> None:
    """Refuse what two servers in a row might read differently, and codings that are not known."""
    lengths, transfers = request.headers.getlist("content-length"), request.headers.getlist("transfer-encoding")
    if len(lengths) > 1 or (lengths and transfers) or len(transfers) > 1:
        raise Refused(400, "Content-Length and Transfer-Encoding contradict one another", "send one of them, once")
    coding = coding_of(request)
    if coding not in CODINGS:
        raise Refused(415, f"Content-Encoding {coding[:40]!r} is not read", "send gzip, or none")


def _length(request: Request) -> int:
    """The length that the head announces; 0 without one. The server itself has refused what is no number."""
    return int(request.headers.get("content-length") or 0)


def coding_of(request: Request) -> str:
    """The request's ``Content-Encoding``, in lower case."""
    return request.headers.get("content-encoding", "").strip().lower()
