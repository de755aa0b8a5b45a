"""The state and its time: a primary copy for writers, a late one for readers, and work that is due later."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Literal

from .clock import Clock, Mint, iso
from .records import Record
from .tables import Tables

Change = tuple[float, Literal["put", "drop"], Record]


class Store:
    """Holds every row; mutations see all of it, queries what it was `read_lag` seconds ago."""

    def __init__(self, *, seed: int = 0, clock: Clock = time.time) -> None:
        """Start empty and without lag; `clock` tells Unix seconds."""
        self.tables = Tables()
        self.new_id = Mint(clock, seed)
        self._clock = clock
        self._sequence = count(1)
        self._now = clock()
        self._now_text = iso(self._now)
        self._replica: Tables | None = None
        self._changes: deque[Change] = deque()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._read_lag = 0.0

    def now(self) -> str:
        """Return the present moment as Kili writes it."""
        return self._now_text

    def next_sequence(self) -> int:
        """Return a number larger than any before it."""
        return next(self._sequence)

    def put(self, record: Record) -> None:
        """Insert or replace a row."""
        self.tables.put(record)
        self._log("put", record)

    def drop(self, record: Record) -> None:
        """Remove a row and all that belongs to it."""
        self.tables.drop(record)
        self._log("drop", record)

    def reader(self) -> Tables:
        """Return the copy that queries may see now."""
        return self.tables if self._replica is None else self._replica

    def set_read_lag(self, seconds: float) -> None:
        """Let readers see the state of `seconds` ago from now on."""
        if seconds and self._replica is None:
            self._replica = self.tables.copy()
        elif not seconds:
            self._replica = None
            self._changes.clear()
        self._read_lag = seconds

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run an action at the first call that comes `seconds` from now or later; at once for 0."""
        if seconds <= 0:
            action()
        else:
            heapq.heappush(self._agenda, (self._now + seconds, self.next_sequence(), action))

    def settle(self) -> None:
        """Bring the state up to the present: run what is due, each action at its own moment."""
        present = self._clock()
        while self._agenda and self._agenda[0][0] <= present:
            due, _, action = heapq.heappop(self._agenda)
            self._move_to(due)
            action()
        self._move_to(present)
        self._catch_up()

    def _catch_up(self) -> None:
        while self._replica is not None and self._changes and self._changes[0][0] <= self._now - self._read_lag:
            _, change, record = self._changes.popleft()
            getattr(self._replica, change)(record)

    def _move_to(self, moment: float) -> None:
        self._now = moment
        self._now_text = iso(moment)

    def _log(self, change: Literal["put", "drop"], record: Record) -> None:
        if self._replica is not None:
            self._changes.append((self._now, change, record))
