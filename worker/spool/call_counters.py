"""Counters beside the conservation sum: every call to Kili by operation and outcome, for status and metrics."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import redis

from worker.environment.connections import insist
from worker.kili import CallRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallCount:
    """Calls of one operation that ended in one way, repeats among them, and the items they carried."""

    operation: str
    outcome: str
    calls: int
    repeats: int
    items: int
    seconds: float


class CallCounter:
    """Counts the fleet's calls in Redis.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}calls"

    def observe(self, record: CallRecord) -> None:
        """Count one exchange; when Redis cannot take it, the log has it."""
        stem = f"{record.operation}/{record.outcome}"
        if record.outcome != "ok":
            extra = {"action": "call_failed", "operation": record.operation, "outcome": record.outcome}
            logger.info("%s: %s", record.operation, record.outcome, extra={**extra, "status": record.status})
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                insist(pipe, "HINCRBY", self._key, f"{stem}/calls", 1)
                insist(pipe, "HINCRBY", self._key, f"{stem}/items", record.items)
                insist(pipe, "HINCRBY", self._key, f"{stem}/repeats", int(record.attempt > 1))
                insist(pipe, "HINCRBYFLOAT", self._key, f"{stem}/seconds", round(record.seconds, 4))
                pipe.execute()
        except redis.RedisError as error:
            logger.debug("call not counted: %s", error, extra={"action": "call_not_counted"})

    def counts(self) -> list[CallCount]:
        """Every operation and outcome so far."""
        found: Any = self._redis.hgetall(self._key)
        rows: dict[tuple[str, str], dict[str, float]] = {}
        for name, value in found.items():
            operation, outcome, what = name.decode().rsplit("/", 2)
            rows.setdefault((operation, outcome), {})[what] = float(value)
        return [
            CallCount(operation, outcome, int(row["calls"]), int(row["repeats"]), int(row["items"]), row["seconds"])
            for (operation, outcome), row in sorted(rows.items())
        ]
