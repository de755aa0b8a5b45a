"""Calls per minute, counted over the minute that ends now."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque

from .clock import Clock

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
