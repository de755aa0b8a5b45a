"""Notice that the spool's Redis was emptied or replaced by one that knows less, as a failover without data does.

Redis cannot tell: to it, an empty server is a server. So the spool carries a mark, and whoever has seen it before and
finds another one, or a ledger that went back, says so.
"""

from __future__ import annotations

import json
import logging
import secrets
from dataclasses import asdict, dataclass

import redis

from worker.environment import clock
from worker.environment.connections import insist
from worker.environment.json_text import of_stored
from worker.spool.entries import Ledger
from worker.spool.spool import Spool

logger = logging.getLogger(__name__)

KEPT_SECONDS = 7 * 86_400
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Replacement:
    """What was noticed: when (seconds since the epoch), and what the ledger had shown last."""

    at: float
    received: int
    delivered: int
    waiting: int
    leased: int

    def __str__(self) -> str:
        gone = self.waiting + self.leased
        return (
            f"the spool's Redis was emptied or replaced: of {self.received} predictions received, {gone} were still on "
            "their way; bring the old data back, or send again what is not in Kili"
        )


class Watch:
    """Compares what Redis knows with what this process has seen it know."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._mark = b""
        self._seen = Ledger()
        self._next = 0.0

    def tick(self) -> None:
        """Look once a second, and say what was found; survives every failure of Redis."""
        if clock.monotonic() < self._next:
            return
        self._next = clock.monotonic() + LOOK_SECONDS
        try:
            found = self.look()
        except redis.RedisError as error:
            logger.debug("not looked: %s", error, extra={"action": "watch_waits"})
        else:
            if found is not None:
                counts = {name: count for name, count in asdict(found).items() if name != "at"}
                logger.critical("%s", found, extra={"action": "redis_replaced", **counts})

    def look(self) -> Replacement | None:
        """What happened since the last look; the finding is kept for ``replacement_of`` too.

        Raises:
            redis.RedisError: Redis is away, which is another matter.
        """
        mark, now = self._read_mark(), self._spool.ledger()
        before, known = self._seen, self._mark
        self._mark, self._seen = mark, now
        if not known or (mark == known and now.received >= before.received):
            return None
        found = Replacement(clock.now(), before.received, before.delivered, before.waiting, before.leased)
        key = f"{self._spool.prefix}replaced"
        insist(self._spool.redis, "SET", key, json.dumps(asdict(found)), "EX", KEPT_SECONDS)
        return found

    def _read_mark(self) -> bytes:
        key = f"{self._spool.prefix}mark"
        mark = self._spool.redis.get(key)
        if not isinstance(mark, bytes):
            insist(self._spool.redis, "SETNX", key, secrets.token_hex(8))
            mark = self._spool.redis.get(key)
        return mark if isinstance(mark, bytes) else b""


def replacement_of(client: redis.Redis, prefix: str) -> Replacement | None:
    """The last replacement that anyone noticed within a week."""
    found = client.get(f"{prefix}replaced")
    return of_stored(Replacement, found) if isinstance(found, bytes) else None
