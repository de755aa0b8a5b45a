"""The inbox: a Redis stream in the broker's Redis, where both doors end and from which admission reads in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from worker.environment.connections import script_of
from worker.intake.parsing import InboxEntry
from worker.spool import INBOX_GROUP

PRIORITY_SEPARATORS = ("\x06\x16", ":")
PRIORITIES = range(1, 10)
"""kombu's lists of a queue on Redis: the plain name, and one for each further priority that the producer's
``priority_steps`` have; the separator is kombu's own, or the one that Celery's documentation sets."""


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
        self._oldest = script_of(client, "worker.intake", "scripts/oldest.lua")

    def open(self) -> None:
        """Create the consumer group so that entries added before it are read too."""
        try:
            self._redis.xgroup_create(self.key, INBOX_GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def put(self, envelope: bytes) -> None:
        """Add an envelope that came from another broker; it is durable when this returns."""
        self._redis.xadd(self.key, {"envelope": envelope})

    def length(self) -> int:
        """Entries in the inbox, those included that are being admitted."""
        return int(self._redis.xlen(self.key))

    def take(self, *, items: int, max_bytes: int, insist: bool = False) -> list[InboxEntry]:
        """Move envelopes in from the Celery queue and read new entries; does not block.

        Raises:
            redis.ResponseError: ``NOGROUP`` when the stream was deleted; call ``open`` again.
            redis.OutOfMemoryError: memory is full, envelopes wait, and ``insist`` is not set; nothing has moved.
        """
        args: list[Any] = [INBOX_GROUP, self._consumer, items, max_bytes, "1" if insist else ""]
        _, rows = self._take(keys=self._keys, args=args)
        return [InboxEntry(entry_id.decode(), dict(zip(flat[::2], flat[1::2], strict=True))) for entry_id, flat in rows]

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


def lists_of(queue: str) -> list[str]:
    """Redis lists of a Celery queue, most urgent first (kombu: the lower number is consumed first)."""
    return [queue, *(f"{queue}{sep}{priority}" for priority in PRIORITIES for sep in PRIORITY_SEPARATORS)]
