"""Dead letters: what could not be delivered, with its cause, the server's words, the original and its history.

The spool writes and removes them in the transaction that moves the message; this module writes the letter's text, and
lists and groups what is stored. A letter says why, and this module does not judge it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import redis

from worker.environment import clock
from worker.environment.connections import insist, script_of
from worker.environment.json_text import of_stored

Form = Literal["message", "envelope", "event", "pair"]
"""What an original is: a prediction, a Celery message, a CloudEvent, or a logged request with its response."""

LETTER_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
"""An id of a letter, as of any entry of a stream in Redis."""

MAX_MESSAGE = 2000
MAX_FIELD = 300
MAX_HISTORY = 50


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a message died.

    ``slug`` is the short stable word letters are grouped by; ``kind`` is ``message`` (it was wrong when it came),
    ``refused`` (Kili refused it) or ``asset`` (it has nowhere to go); ``server_message`` are the server's own.
    """

    slug: str
    kind: str
    field: str
    problem: str
    fix: str = ""
    server_message: str = ""


@dataclass(frozen=True, slots=True)
class Sender:
    """What is known of the message, for finding it again."""

    project_id: str | None = None
    external_id: str | None = None
    model: str | None = None
    message_id: str | None = None


def write_letter(
    cause: Cause,
    sender: Sender,
    *,
    stage: str,
    history: Sequence[dict[str, Any]] = (),
    form: Form = "message",
    source: str = "",
    trace: str = "",
) -> bytes:
    """The letter as the spool stores it.

    ``form`` tells what the original kept beside it is, ``source`` which source brought it (empty: not known),
    ``trace`` is the message's trace context.
    """
    event = event_of(stage, cause.slug)
    return json.dumps(
        {
            "cause": cause.slug,
            "kind": cause.kind,
            "field": cause.field[:MAX_FIELD],
            "problem": cause.problem[:MAX_MESSAGE],
            "fix": cause.fix[:MAX_MESSAGE],
            "words": cause.server_message[:MAX_MESSAGE],
            "stage": stage,
            "form": form,
            "source": source,
            "at": event["at"],
            "project_id": sender.project_id,
            "external_id": sender.external_id,
            "model": sender.model,
            "message_id": sender.message_id,
            "history": [*history[-MAX_HISTORY:], event],
            **({"trace": trace} if trace else {}),
        }
    ).encode()


def event_of(stage: str, cause: str, **more: Any) -> dict[str, Any]:
    """A row of a letter's history: what happens now, at which stage, for which cause."""
    now = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
    return {"at": now, "stage": stage, "cause": cause, **more}


def with_trace(letter: bytes, trace: str) -> bytes:
    """A letter that was written without its message's trace context, with it."""
    return json.dumps({**json.loads(letter), "trace": trace}).encode() if trace else letter


def trace_in(letter: bytes) -> str:
    """The trace context of a letter's message; empty without one."""
    return str(json.loads(letter).get("trace", "")) if b'"trace"' in letter else ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One stored letter and the message as it arrived."""

    id: str
    project: str
    cause: str
    about: dict[str, Any] = field(repr=False)
    original: bytes = field(repr=False)

    def summary(self) -> dict[str, Any]:
        """The letter without the message."""
        return {"id": self.id, **self.about, "original_bytes": len(self.original)}


@dataclass(frozen=True, slots=True)
class ExpiryNotification:
    """That letters are going to be dropped: since when it is known, when they go (milliseconds since the epoch).

    ``letters`` were there then, ``beyond`` of them over the limit; the others are nearly too old.
    """

    at: int
    ends_at: int
    letters: int
    beyond: int

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.ends_at / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        which = (
            f"{self.beyond} of {self.letters} dead letters are over the limit"
            if self.beyond
            else ("dead letters reach the greatest age")
        )
        return (
            f"{which}: from {when} on the oldest are dropped; replay or export them, or raise "
            "WORKER_SPOOL__MAX_DEAD_LETTERS and WORKER_SPOOL__DEAD_LETTER_DAYS"
        )


class DeadLetters:
    """The dead letters of one spool."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._prefix = prefix

    def causes(self) -> dict[str, int]:
        """Letters by cause, most frequent first."""
        found: Any = self._redis.hgetall(f"{self._prefix}dead:causes")
        counts = {name.decode(): int(count) for name, count in found.items()}
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def oldest(self) -> dict[str, int]:
        """When the oldest letter of each cause was written, in ms since the epoch."""
        causes = list(self.causes())
        with self._redis.pipeline(transaction=False) as pipe:
            for cause in causes:
                pipe.zrange(f"{self._prefix}dead:of:{cause}", 0, 0)
            found = pipe.execute()
        return {cause: _age(ids[0].decode())[0] for cause, ids in zip(causes, found, strict=True) if ids}

    def count(self) -> int:
        """Letters in all."""
        return int(self._redis.xlen(f"{self._prefix}dead"))

    def expiry(self) -> ExpiryNotification | None:
        """What was announced and has not come about yet."""
        found: Any = self._redis.get(f"{self._prefix}dead:notice")
        return of_stored(ExpiryNotification, found) if found else None

    def announce(self, expiry: ExpiryNotification) -> None:
        """Keep a notice until it has come about."""
        insist(self._redis, "SET", f"{self._prefix}dead:notice", json.dumps(asdict(expiry)))

    def end_notification(self) -> None:
        """What was announced has come about, or was averted."""
        self._redis.delete(f"{self._prefix}dead:notice")

    def expired(self) -> int:
        """Letters that were dropped for their age or number, ever; they are among the dropped ones of the ledger."""
        return int(self._redis.get(f"{self._prefix}dead:expired") or 0)

    def note_expired(self, count: int) -> None:
        """Count letters that were dropped for their age or number."""
        insist(self._redis, "INCRBY", f"{self._prefix}dead:expired", count)

    def get(self, letter_id: str) -> DeadLetter | None:
        """One letter, or None when it is gone."""
        found: Any = self._redis.xrange(f"{self._prefix}dead", letter_id, letter_id)
        return _letter(*found[0]) if found else None

    def ids(self, cause: str | None = None, limit: int | None = None) -> list[str]:
        """Ids, oldest first, of all letters or of one cause; reads no letter."""
        last = -1 if limit is None else limit - 1
        found: list[Any] = []
        for one in self.causes() if cause is None else [cause]:
            found += self._redis.zrange(f"{self._prefix}dead:of:{one}", 0, last)
        return sorted((entry_id.decode() for entry_id in found), key=_age)[:limit]

    def page(self, cause: str | None = None, *, start: int = 0, count: int = 25) -> list[dict[str, Any]]:
        """Summaries of letters, newest first, of all or of one cause; neither reads their originals nor the others.

        Letters of one millisecond come in the order that Redis keeps them in, so that each is on one page.
        """
        last = start + count - 1
        with self._redis.pipeline(transaction=False) as pipe:
            for one in self.causes() if cause is None else [cause]:
                pipe.zrevrange(f"{self._prefix}dead:of:{one}", start if cause is not None else 0, last)
            found = [entry_id.decode() for ids in pipe.execute() for entry_id in ids]
        chosen = sorted(found, key=_as_kept, reverse=True)
        return self.summaries(chosen if cause is not None else chosen[start : last + 1])

    def summaries(self, letter_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Letters without their originals, those of them that are still there."""
        if not letter_ids:
            return []
        script = script_of(self._redis, "worker.spool", "scripts/letters.lua")
        rows: Any = script(keys=[], args=[self._prefix, *letter_ids])
        return [
            {"id": row[0].decode(), "project": row[1].decode(), **json.loads(row[3]), "original_bytes": int(row[4])}
            for row in rows
        ]

    def letters(self, cause: str | None = None, limit: int | None = None) -> Iterator[DeadLetter]:
        """Letters, oldest first."""
        for letter_id in self.ids(cause, limit):
            letter = self.get(letter_id)
            if letter is not None:
                yield letter


def _as_kept(entry_id: str) -> tuple[int, str]:
    return int(entry_id.partition("-")[0]), entry_id


def _age(entry_id: str) -> tuple[int, int]:
    moment, _, number = entry_id.partition("-")
    return int(moment), int(number)


def _letter(entry_id: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    return DeadLetter(
        id=entry_id.decode(),
        project=fields[b"project"].decode(),
        cause=fields[b"cause"].decode(),
        about=json.loads(fields[b"letter"]),
        original=fields[b"original"],
    )
