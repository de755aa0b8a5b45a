"""The audit log: who did what on the page, when, and what came of it; the newest entries, in Redis and in the log."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

import redis

from worker.environment import clock
from worker.environment.connections import insist
from worker.environment.stored import of_stored

logger = logging.getLogger(__name__)

KEPT = 10_000
MAX_TEXT = 4000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that an operator did: ``what`` was done to ``target``; ``outcome`` in words, ``detail`` at length."""

    at: float
    who: str
    address: str
    what: str
    target: str
    outcome: str
    detail: str = ""


class AuditLog:
    """The entries of a fleet's operators, in the stream ``page:audit``.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}page:audit"

    def note(self, who: str, address: str, what: str, target: str, outcome: str, detail: str = "") -> None:
        """Note an entry. Raises redis.RedisError: it is in the log alone."""
        entry = AuditEntry(clock.now(), who, address, what, target[:MAX_TEXT], outcome[:MAX_TEXT], detail[:MAX_TEXT])
        extra = {"action": "operator_acted", "who": who, "address": address, "target": entry.target}
        logger.info("%s: %s", what, outcome, extra={**extra, "entry": what})
        insist(self._redis, "XADD", self._key, "MAXLEN", "~", KEPT, "*", "entry", json.dumps(asdict(entry)))

    def latest(self, count: int, before: str = "+") -> list[tuple[str, AuditEntry]]:
        """Entries with their ids, newest first, from before an id."""
        found: Any = self._redis.xrevrange(self._key, before if before == "+" else f"({before}", "-", count)
        return [(entry_id.decode(), of_stored(AuditEntry, fields[b"entry"])) for entry_id, fields in found]
