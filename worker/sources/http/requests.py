"""From a request's body to messages in the inbox: what is read, what is refused, what is answered.

A body is read within limits of size and time, and uncompressed no further than the same size. A refusal is an
``application/problem+json`` (RFC 9457) with the field and the fix.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from worker.intake import IdReused, MessageParser, RawMessage, Stored
from worker.settings.source_groups import ServeSettings
from worker.sources.base import InboxIsFull, InboxUnavailable, Put
from worker.sources.wrapped import messages_in, numbered, traced, values_in
from worker.spool import Dead
from worker.spool.dead_letters import Form

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


JSON_TYPES = (
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "text/plain",
    "",
)
LINES_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")
MAX_MESSAGES = 10_000
STATUS = {"not_json": 400, "too_large": 413}
"""Of wrong messages by cause; any other is 422."""

FULL_SECONDS = 5
AWAY_SECONDS = 2
KEYS = ("idempotency-key", "webhook-id")
"""Headers that name a request, so that it may be sent again."""

FORMS: dict[str, Form] = {"payload": "message", "envelope": "envelope", "event": "event"}


class Gateway:
    """Takes the messages in bodies to the inbox.

    Args:
        put: stores messages.
        parser: admission's own judgement of messages.
        pairs: whether logged requests and responses are joined.
    """

    def __init__(self, put: Put, parser: MessageParser, *, pairs: bool) -> None:
        self._put = put
        self._parser = parser
        self._pairs = pairs

    def take(self, body: bytes, headers: Mapping[str, str], *, keep: bool = False) -> dict[str, Any]:
        """Store the messages of a body.

        Args:
            body: uncompressed.
            headers: of the request, in lower case.
            keep: store wrong messages too; they become dead letters.

        Returns:
            ``ids`` of the inbox entries and ``states``, one each for every message, in their order.

        Raises:
            Refused: nothing was stored.
        """
        name = next((headers[key] for key in KEYS if headers.get(key)), "")
        body = body.removeprefix(codecs.BOM_UTF8)
        try:
            messages = list(self._read(body, name, headers))
        except Refused as refused:
            if not keep or refused.status == 415:
                raise
            messages = [RawMessage(body, id=name)]
        if len(messages) > MAX_MESSAGES:
            raise Refused(413, f"the body holds more than {MAX_MESSAGES:,} messages", "send fewer at once")
        errors = [] if keep else list(self._wrong(messages))
        if errors:
            raise _rejection(errors, len(messages))
        return _answer(self._store(traced(messages, headers), strict=bool(name)))

    def _read(self, body: bytes, name: str, headers: Mapping[str, str]) -> Iterable[RawMessage]:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in LINES_TYPES:
            return self._lines(body, name)
        is_event = "ce-specversion" in headers
        if kind not in JSON_TYPES and not is_event:
            fix = "send application/json, application/x-ndjson or application/cloudevents+json"
            raise Refused(415, f"Content-Type {kind[:60]!r} is not read", fix)
        if not body.strip() and not is_event:
            raise Refused(400, "the body is empty", "send one message, a list, or JSON Lines")
        if body.lstrip()[:1] == b"[" and not is_event:
            return self._list(body, name)
        return messages_in(body, name, headers, pairs=self._pairs)

    def _list(self, body: bytes, name: str) -> Iterable[RawMessage]:
        try:
            values = from_json(body, cache_strings="keys")
        except ValueError as error:
            raise Refused(400, f"the body is not valid JSON: {error}", "send a JSON list in UTF-8") from None
        if not values:
            raise Refused(400, "the list is empty", "send at least one message")
        return values_in(values, name, pairs=self._pairs)

    def _lines(self, body: bytes, name: str) -> Iterator[RawMessage]:
        lines = [line for line in body.split(b"\n") if line.strip()]
        if not lines:
            raise Refused(400, "the body is empty", "send one message a line")
        for number, line in enumerate(lines):
            yield from messages_in(line, numbered(name, number), pairs=self._pairs)

    def _wrong(self, messages: Sequence[RawMessage]) -> Iterator[dict[str, Any]]:
        """What admission would make a dead letter of; a logged event is judged when its other half is there."""
        for index, message in enumerate(messages):
            if message.pair is not None:
                continue
            for found in self._parser.of_original(FORMS[message.form], message.body):
                if isinstance(found, Dead):
                    letter = json.loads(found.letter)
                    yield {"index": index, **{key: letter[key] for key in ("field", "problem", "fix", "cause")}}

    def _store(self, messages: Sequence[RawMessage], *, strict: bool) -> Sequence[Stored]:
        try:
            return self._put(messages, strict=strict)
        except IdReused:
            fix = "give every request a key of its own"
            raise Refused(422, "the idempotency key is known with another body", fix) from None
        except InboxIsFull:
            raise Refused(429, "too much waits", "send it again later", retry_after=FULL_SECONDS) from None
        except InboxUnavailable:
            raise Refused(503, "nothing can be stored now", "send it again later", retry_after=AWAY_SECONDS) from None


def _rejection(errors: Sequence[Mapping[str, Any]], count: int) -> Refused:
    first = errors[0]
    statuses = {STATUS.get(error["cause"], 422) for error in errors}
    problem = f"{len({error['index'] for error in errors})} of {count} messages are wrong; message {first['index']}: "
    problem += f"{first['field']}: {first['problem']}"
    fix = f"{first['fix']}; nothing was stored, or send it with ?on_error=keep" if first["fix"] else ""
    return Refused(statuses.pop() if len(statuses) == 1 else 422, problem, fix, errors=errors)


def _answer(stored: Sequence[Stored]) -> dict[str, Any]:
    return {"ids": [one.entry_id or None for one in stored], "states": [one.state for one in stored]}
