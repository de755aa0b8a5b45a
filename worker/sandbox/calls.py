"""Counts the calls: by operation, how they ended, how dense they were, and whether they exceed the limit."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.sandbox.clock import Clock, iso

MINUTE = 60.0


class SlidingMinute:
    """Lets each key make so many calls in any 60 seconds; refused calls do not count."""

    def __init__(self, clock: Clock) -> None:
        """Take seconds from `clock`."""
        self._clock = clock
        self._taken: dict[str, deque[float]] = {}

    def take(self, key: str, limit: int) -> int | None:
        """Count a call and return None, or return after how many whole seconds to come back."""
        if not limit:
            return None
        now = self._clock()
        taken = self._taken.setdefault(key, deque())
        while taken and taken[0] <= now - MINUTE:
            taken.popleft()
        if len(taken) >= limit:
            return max(1, math.ceil(taken[-limit] + MINUTE - now))
        taken.append(now)
        return None


class Peak:
    """The largest number of events in any minute."""

    def __init__(self) -> None:
        """Start with none."""
        self.highest = 0
        self._times: deque[float] = deque()

    def add(self, time: float) -> None:
        """Count an event; events may come a little out of order."""
        insort(self._times, time)
        while self._times[0] <= self._times[-1] - MINUTE:
            self._times.popleft()
        self.highest = max(self.highest, len(self._times))


#: How many single calls are kept.
LAST = 500


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call; `ending` is ok, errors (GraphQL), refused (by status), aborted."""

    time: float
    operation: str
    status: int
    ending: str
    items: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the record with its time as text."""
        return {
            "time": iso(self.time),
            "operation": self.operation,
            "status": self.status,
            "ending": self.ending,
            "items": self.items,
            "seconds": round(self.seconds, 6),
        }


@dataclass(slots=True)
class OperationCount:
    """The calls of one operation."""

    count: int = 0
    items: int = 0
    errors: int = 0
    first: float = 0.0
    last: float = 0.0
    peak: Peak = field(default_factory=Peak)

    def add(self, record: CallRecord) -> None:
        """Count a call."""
        self.first = min(self.first, record.time) if self.count else record.time
        self.last = max(self.last, record.time)
        self.count += 1
        self.items += record.items
        self.errors += record.ending != "ok"
        self.peak.add(record.time)

    def to_json(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "count": self.count,
            "items": self.items,
            "errors": self.errors,
            "first": iso(self.first),
            "last": iso(self.last),
            "peak_per_minute": self.peak.highest,
        }


class CallLog:
    """Counts calls and TCP connections."""

    def __init__(self, clock: Clock) -> None:
        """Take Unix seconds from `clock`."""
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all calls and connections."""
        self.connections = 0
        self.refused_429 = 0
        self._operations: dict[str, OperationCount] = {}
        self._peak = Peak()
        self._last: deque[CallRecord] = deque(maxlen=LAST)

    def connected(self) -> None:
        """Count a TCP connection that carries calls."""
        self.connections += 1

    def add(self, operation: str, *, started: float, status: int, ending: str, items: int) -> None:
        """Count a call that began at `started` and ends now; a 429 counts apart."""
        now = self._clock()
        record = CallRecord(started, operation, status, ending, items, now - started)
        self._last.append(record)
        if status == 429:
            self.refused_429 += 1
            return
        self._operations.setdefault(operation, OperationCount()).add(record)
        self._peak.add(started)

    def to_json(self) -> dict[str, Any]:
        """Return everything that was counted."""
        return {
            "total": sum(count.count for count in self._operations.values()),
            "peak_per_minute": self._peak.highest,
            "refused_429": self.refused_429,
            "connections": self.connections,
            "operations": {name: count.to_json() for name, count in sorted(self._operations.items())},
            "last": [record.to_json() for record in self._last],
        }


def count_items(variables: Mapping[str, Any]) -> int:
    """Return the length of the longest list among an operation's variables that is not inside another list."""
    longest = 0
    waiting: list[Any] = [variables]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list):
            longest = max(longest, len(value))
    return longest
