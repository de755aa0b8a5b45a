"""The inbox: a Redis stream in the broker's Redis, where all sources end and from which admission reads in bulk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import redis

from worker.environment.connections import script_of
from worker.intake.parsing import InboxEntry
from worker.spool import INBOX_GROUP

PRIORITY_SEPARATORS = ("\x06\x16", ":")
PRIORITIES = range(1, 10)
"""kombu's lists of a queue on Redis: the plain name, and one for each further priority that the producer's
``priority_steps`` have; the separator is kombu's own, or the one that Celery's documentation sets."""


Side = Literal["request", "response"]


class InboxFull(Exception):
    """As many entries wait for admission as may, or as many logged events for their other half."""


class IdReused(Exception):
    """An id that is known came again with other content; ``number`` is the message's place in the call."""

    def __init__(self, number: int) -> None:
        super().__init__(f"message {number} has an id that is known with other content")
        self.number = number


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as a source brings it.

    Attributes:
        body: what arrived.
        form: what ``body`` is: a prediction, a Celery message, or a CloudEvent in its JSON format.
        id: what the source knows the message by; one that comes again with the same content is taken once. May be
            empty.
        pair: of a logged request or response: the key of the inference, and which of both it is.
        trace: the trace context that came beside it, as ``traceparent`` and ``tracestate``.
    """

    body: bytes
    form: Literal["payload", "envelope", "event"] = "payload"
    id: str = ""
    pair: tuple[str, Side] | None = None
    trace: tuple[str, str] = ("", "")


class Stored(NamedTuple):
    """What became of a message that was put: its state, and the id of its entry where it has one."""

    state: Literal["new", "repeated", "waiting", "joined"]
    entry_id: str


@dataclass(frozen=True, slots=True)
class PutLimits:
    """What a put keeps to: entries at which the inbox is full, for how long ids are remembered and halves wait."""

    max_entries: int = 100_000
    remember_ms: int = 3_600_000
    max_halves: int = 10_000
    pair_ms: int = 600_000


class Inbox:
    """One consumer's view of the inbox.

    Args:
        client: of the broker's Redis, with ``decode_responses`` off.
        key: of the stream.
        queue: the Celery queue whose messages are moved in; empty when the broker is not this Redis.
        consumer: unique per process.
    """

    def __init__(self, client: redis.Redis, *, key: str, queue: str, consumer: str) -> None:
        self.key = key
        self._redis = client
        self._consumer = consumer
        self._keys = [key, *lists_of(queue)] if queue else [key]
        self._take = script_of(client, "worker.intake", "scripts/take.lua")
        self._waits = script_of(client, "worker.intake", "scripts/waits.lua")
        self._oldest = script_of(client, "worker.intake", "scripts/oldest.lua")
        self._put = script_of(client, "worker.intake", "scripts/put.lua")
        self._expire_halves = script_of(client, "worker.intake", "scripts/expire_halves.lua")

    def open(self) -> None:
        """Create the consumer group so that entries added before it are read too."""
        try:
            self._redis.xgroup_create(self.key, INBOX_GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def put(
        self, messages: Sequence[RawMessage], source: str, limits: PutLimits, *, strict: bool = False
    ) -> list[Stored]:
        """Add messages that a source brings, all or none; they are durable when this returns.

        Args:
            messages: in their order.
            source: name of the source, kept with each.
            limits: what the put keeps to.
            strict: refuse everything when a known id comes with other content, which is taken as new otherwise.

        Raises:
            InboxFull: nothing was put; it can be later.
            IdReused: nothing was put.
            redis.OutOfMemoryError: memory is full; nothing was put.
        """
        args: list[Any] = [source, limits.max_entries, limits.max_halves, limits.remember_ms, limits.pair_ms]
        args += ["1" if strict else "", len(messages)]
        for message in messages:
            key, side = message.pair or ("", "")
            once = _short(f"{source}\n{message.id}") if message.id else ""
            digest = hashlib.blake2b(message.body, digest_size=8).hexdigest() if message.id else ""
            args += (message.form, message.body, once, digest, _short(key), side, *message.trace)
        state, *rows = self._put(keys=[self.key], args=args)
        if state == b"full":
            raise InboxFull(self.key)
        if state == b"conflict":
            raise IdReused(int(rows[0]))
        return [Stored(found.decode(), entry_id.decode()) for found, entry_id in rows]

    def expire_halves(self, most: int = 200) -> int:
        """End the wait of logged events whose other half has not come in time; how many, at most ``most`` at once."""
        return int(self._expire_halves(keys=[self.key], args=[most]))

    def pairs(self) -> dict[str, int]:
        """Logged events: ``joined`` pairs, ``orphan_requests``, ``orphan_responses``, ``repeated``, and ``waiting``."""
        found: Any = self._redis.hgetall(f"{self.key}:pairs")
        counts = {name.decode(): int(count) for name, count in found.items()}
        return {**counts, "waiting": int(self._redis.zcard(f"{self.key}:halves"))}

    def length(self) -> int:
        """Entries in the inbox, those included that are being admitted."""
        return int(self._redis.xlen(self.key))

    def is_empty(self) -> bool:
        """Whether there is nothing to take, nor to recover; costs less than to try it."""
        return not self._waits(keys=self._keys)

    def take(self, *, items: int, max_bytes: int, insist: bool = False) -> list[InboxEntry]:
        """Move envelopes in from the Celery queue and read new entries; does not block.

        Raises:
            redis.ResponseError: ``NOGROUP`` when the stream was deleted; call ``open`` again.
            redis.OutOfMemoryError: memory is full, envelopes wait, and ``insist`` is not set; nothing has moved.
        """
        return self.start_take(items=items, max_bytes=max_bytes, insist=insist)()

    def start_take(self, *, items: int, max_bytes: int, insist: bool = False) -> Callable[[], list[InboxEntry]]:
        """Begin to take; the call of the result ends it, and must be made."""
        args: list[Any] = [INBOX_GROUP, self._consumer, items, max_bytes, "1" if insist else ""]
        answer = self._take.start(keys=self._keys, args=args)
        return lambda: [InboxEntry(entry_id.decode(), _pairs(flat)) for entry_id, flat in answer()[1]]

    def recover(self, *, idle_ms: int, items: int) -> list[InboxEntry]:
        """Take over entries that another consumer has read and not admitted within ``idle_ms``."""
        reply: Any = self._redis.xautoclaim(
            self.key, INBOX_GROUP, self._consumer, min_idle_time=idle_ms, start_id="0-0", count=items
        )
        return [InboxEntry(entry_id.decode(), fields) for entry_id, fields in reply[1] if fields]

    def remove(self, entry_ids: Sequence[str]) -> None:
        """Acknowledge and delete entries that were admitted to a spool in another Redis."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(self.key, INBOX_GROUP, *entry_ids)
            pipe.xdel(self.key, *entry_ids)
            pipe.execute()

    def leave(self) -> None:
        """Remove this consumer from the group, unless entries of it are unacknowledged."""
        pending: Any = self._redis.xpending_range(self.key, INBOX_GROUP, "-", "+", 1, consumername=self._consumer)
        if not pending:
            self._redis.xgroup_delconsumer(self.key, INBOX_GROUP, self._consumer)

    def backlog(self) -> int:
        """Messages that are not admitted yet: entries of the inbox and envelopes still in the queue's lists."""
        return sum(self.backlogs().values())

    def backlogs(self) -> dict[str, int]:
        """The same by source: ``inbox``, and ``celery`` where the queue is in the same Redis."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.xlen(self.key)
            for key in self._keys[1:]:
                pipe.llen(key)
            inbox, *lists = (found if isinstance(found, int) else 0 for found in pipe.execute(raise_on_error=False))
        return {"inbox": inbox} | ({"celery": sum(lists)} if lists else {})

    def oldest_ms(self) -> int | None:
        """When the oldest entry of the inbox came, in ms since the epoch; None when it is empty."""
        found = self._oldest(keys=[self.key])
        return int(found) if found else None


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return {flat[0]: flat[1]} if len(flat) == 2 else dict(zip(flat[::2], flat[1::2], strict=True))


def _short(text: str) -> str:
    """A key of 32 characters for a text of any length; empty for an empty one."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest() if text else ""


def lists_of(queue: str) -> list[str]:
    """Redis lists of a Celery queue, most urgent first (kombu: the lower number is consumed first)."""
    return [queue, *(f"{queue}{sep}{priority}" for priority in PRIORITIES for sep in PRIORITY_SEPARATORS)]
