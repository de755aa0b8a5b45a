"""The clock of the process: everything that asks for the time or waits does it here.

There is one, as there is one time: the system's, unless another is set before the worker is put together. With another
one, the worker's real code lives through months in minutes (``tests/simulation``).
"""

from __future__ import annotations

import time
from typing import Protocol

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Waitable(Protocol):
    """What can be waited for: ``threading.Event`` and its like."""

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it was set, at the latest after so many seconds."""

    def is_set(self) -> bool:
        """Whether it is set."""


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def wait(self, event: Waitable, seconds: float | None) -> bool:
        """Wait until an event is set, at most so many seconds (None: for ever); whether it is set."""


class SystemClock:
    """The time of the machine."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back, and goes on while the machine sleeps, where it can tell."""
        return time.clock_gettime(_STEADY)

    def wait(self, event: Waitable, seconds: float | None) -> bool:
        """Wait until an event is set, at most so many seconds (None: for ever); whether it is set."""
        return event.wait(seconds)


_clock: Clock = SystemClock()


def use(clock: Clock) -> Clock:
    """Take all time from this clock from now on; returns the one that was in use."""
    global _clock
    before, _clock = _clock, clock
    return before


def now() -> float:
    """Seconds since the epoch."""
    return _clock.now()


def monotonic() -> float:
    """Seconds since some moment; never goes back."""
    return _clock.monotonic()


def wait(event: Waitable, seconds: float | None = None) -> bool:
    """Wait until an event is set, at most so many seconds (None: for ever); whether it is set."""
    return _clock.wait(event, seconds)
