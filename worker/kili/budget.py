"""The fleet's calls to Kili: the budget of calls a minute that all processes share, and how many there were.

The counts, by operation and outcome, are for status and metrics; the ledger of the spool does not depend on them.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from dataclasses import dataclass
from typing import Any, Literal

import redis

from worker.environment import clock
from worker.environment.connections import insist, script_of

logger = logging.getLogger(__name__)

WINDOW = 60.0
"""Seconds over which the server counts calls."""

MARGIN = 0.25
"""Seconds by which our window is longer, since calls do not all take the same time to arrive."""

MAX_PENALTY = 3600.0
"""Longest pause that can be set, in seconds."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One HTTP exchange, for metrics and logs.

    ``outcome`` is ``ok`` or the name of the error class (of several mutations in one call: of the first that failed),
    ``status`` None where no answer came, ``attempt`` counts from 1 within a call, ``bytes_sent`` is the body on the
    wire, ``waited`` the seconds spent waiting for the budget and ``seconds`` those of the exchange. ``project`` is that
    of the call, None where it has none.
    """

    operation: str
    items: int
    seconds: float
    status: int | None
    outcome: str
    attempt: int
    bytes_sent: int
    waited: float
    project: str | None = None


class BudgetTimeout(Exception):
    """No call became free in time, or the worker is stopping; ``needed`` is the wait still ahead, in seconds."""

    def __init__(self, message: str, *, needed: float) -> None:
        super().__init__(message)
        self.needed = needed


class CallBudget:
    """At most ``calls_per_minute`` calls in any 60 s, counted by Redis for all who share ``scope``.

    A log of the admissions caps the window exactly; a generic cell rate algorithm above it spreads the calls evenly
    after a first ``burst``, so that the fleet does not spend a minute's calls in a second. Both run in one script on
    the clock of Redis. ``scope`` names endpoint and key (see :attr:`worker.kili.transport.KiliAccess.scope`), never the
    key itself. ``window`` and ``margin`` are in seconds.

    Every method raises :class:`redis.RedisError` when Redis cannot be asked.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        scope: str,
        calls_per_minute: int,
        burst: int = 8,
        key_prefix: str = "predictions:budget",
        window: float = WINDOW,
        margin: float = MARGIN,
    ) -> None:
        if calls_per_minute < 1:
            raise ValueError(f"calls_per_minute: {calls_per_minute} lets no call through; give at least 1")
        if burst < 1:
            raise ValueError(f"burst: {burst} lets no call through; give at least 1")
        stem = f"{key_prefix}:{{{scope}}}"
        self._keys = [f"{stem}:calls", f"{stem}:next", f"{stem}:pause"]
        self._limit = calls_per_minute
        self._shape = [calls_per_minute, round((window + margin) * 1e6), min(burst, calls_per_minute)]
        self._script = script_of(client, "worker.kili", "budget.lua")

    def try_acquire(self) -> float:
        """Take a call if one is free now; return 0.0, or the seconds until one may be."""
        admitted, wait, _, _ = self._run("take")
        return 0.0 if admitted else wait / 1e6

    def acquire(self, stop: threading.Event | None = None, timeout: float | None = None) -> float:
        """Take a call, waiting for it; return the seconds waited.

        Raises :class:`BudgetTimeout` as soon as the wait is known to be longer than ``timeout`` seconds, or when
        ``stop`` is set and no call is free at once.
        """
        stop = stop or threading.Event()
        begun = clock.monotonic()
        while (needed := self.try_acquire()) > 0:
            waited = clock.monotonic() - begun
            if timeout is not None and waited + needed > timeout:
                raise BudgetTimeout(f"no call is free for {needed:.1f} s, timeout {timeout:g} s", needed=needed)
            if clock.wait(stop, needed + self._spread()):
                raise BudgetTimeout(f"stopping, and no call is free for {needed:.1f} s", needed=needed)
        return clock.monotonic() - begun

    def penalise(self, seconds: float) -> None:
        """Hold back all who share the budget for so many seconds; a longer pause that is running stays."""
        if math.isfinite(seconds) and seconds > 0:
            self._run("pause", math.ceil(min(seconds, MAX_PENALTY) * 1000))

    def peek(self) -> dict[str, float]:
        """Return ``used`` (calls in the last minute), ``limit``, ``penalised_for`` and ``next_in`` (seconds)."""
        _, wait, used, pause = self._run("peek")
        return {"used": used, "limit": self._limit, "penalised_for": pause / 1e3, "next_in": wait / 1e6}

    def _run(self, verb: Literal["take", "peek", "pause"], pause: int = 0) -> Any:
        return self._script(keys=self._keys, args=[verb, *self._shape, pause])

    def _spread(self) -> float:
        """Seconds by which waiting callers wake apart; far below the burst, so no capacity is lost."""
        return random.uniform(0, 0.005)


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
