"""Counters beside the conservation sum: every call to Kili by operation and outcome, for status and metrics."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

import redis

from worker.environment.connections import insist
from worker.kili import CallRecord

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CallCount:
    """Calls of one operation that ended in one way, repeats among them, and the items they carried."""

    operation: str
    outcome: str
    calls: int = 0
    repeats: int = 0
    items: int = 0
    seconds: float = 0.0


class CallCounter:
    """Counts the fleet's calls in Redis; what a process has counted is summed there until it is kept.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}calls"
        self._guard = threading.Lock()
        self._pending: dict[str, CallCount] = {}

    def observe(self, record: CallRecord) -> None:
        """Count one exchange; what failed is kept at once."""
        if record.outcome != "ok":
            extra = {"action": "call_failed", "operation": record.operation, "outcome": record.outcome}
            logger.info("%s: %s", record.operation, record.outcome, extra={**extra, "status": record.status})
        stem = f"{record.operation}/{record.outcome}"
        with self._guard:
            count = self._pending.setdefault(stem, CallCount(record.operation, record.outcome))
            count.calls += 1
            count.items += record.items
            count.repeats += record.attempt > 1
            count.seconds += record.seconds
        if record.outcome != "ok":
            self.keep()

    def keep(self) -> None:
        """Add what was counted to the fleet's counters; when Redis cannot take it, it is not counted."""
        with self._guard:
            pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for stem, count in pending.items():
                    insist(pipe, "HINCRBY", self._key, f"{stem}/calls", count.calls)
                    insist(pipe, "HINCRBY", self._key, f"{stem}/items", count.items)
                    insist(pipe, "HINCRBY", self._key, f"{stem}/repeats", count.repeats)
                    insist(pipe, "HINCRBYFLOAT", self._key, f"{stem}/seconds", round(count.seconds, 4))
                pipe.execute()
        except redis.RedisError as error:
            logger.debug("calls not recorded: %s", error, extra={"action": "call_not_counted"})

    def counts(self) -> list[CallCount]:
        """Every operation and outcome so far."""
        self.keep()
        found: Any = self._redis.hgetall(self._key)
        rows: dict[tuple[str, str], dict[str, float]] = {}
        for name, value in found.items():
            operation, outcome, what = name.decode().rsplit("/", 2)
            rows.setdefault((operation, outcome), {})[what] = float(value)
        return [
            CallCount(operation, outcome, int(row["calls"]), int(row["repeats"]), int(row["items"]), row["seconds"])
            for (operation, outcome), row in sorted(rows.items())
        ]
