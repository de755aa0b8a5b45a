"""From a request's body to messages in the inbox: what is read, what is refused, what is answered."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from worker.intake import IdReused, MessageParser, RawMessage, Stored
from worker.sources.base import InboxIsFull, InboxUnavailable, Put
from worker.sources.http.requests import Refused
from worker.sources.wrapped import messages_in, numbered, traced, values_in
from worker.spool import Dead
from worker.spool.dead_letters import Form

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
    """Takes bodies.

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
