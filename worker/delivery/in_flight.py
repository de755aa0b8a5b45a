"""How much is sent at once: the limits that adapt to the server, batches within them, and those that are in flight.

Additive increase, multiplicative decrease. A refusal for load, a timeout, a lost connection, or answers that take much
longer than they used to, halve the calls that may go side by side. Every round of good answers adds one call; at first,
and after a collapse to one, every single answer does. What was too large, or took too long, halves the bytes of a
batch; they grow back by half a percent (a quarter after a timeout) with each request that uses them up.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from worker.delivery.item import Item
from worker.environment import clock
from worker.kili import CallRecord, KiliError, TooLarge

logger = logging.getLogger(__name__)

PUSHED_BACK = frozenset({"ConnectFailed", "RateLimited", "TimedOut", "Unavailable", "UnknownOutcome"})
"""Outcomes that speak of a server with too much to do."""

FIRST = 4
HALF = 0.5
AFTER_TOO_LARGE = 1.005
AFTER_TIMEOUT = 1.25

T = TypeVar("T")


@dataclass(slots=True)
class Usual:
    """How long calls of one kind take: the mark of good times (it rises slowly), what is usual lately, its scatter."""

    mark: float
    lately: float
    scatter: float = 0.0
    seen: int = 1

    TRUSTED = 8

    def add(self, seconds: float) -> None:
        """Learn from one answer."""
        self.seen += 1
        self.mark += (0.3 if seconds < self.mark else 0.001) * (seconds - self.mark)
        self.scatter += 0.2 * (abs(seconds - self.lately) - self.scatter)
        self.lately += 0.3 * (seconds - self.lately)

    @property
    def is_slow(self) -> bool:
        """Whether calls lately take so long that neither the mark nor the scatter explains it."""
        return self.seen >= self.TRUSTED and self.lately > 1.5 * self.mark + 3 * self.scatter

    def accept(self) -> None:
        """Take what is usual lately for good: it is not our calls that make the server slow."""
        self.mark = self.lately


class AdaptiveLimit:
    """The limits of one process towards one endpoint; its threads share it.

    Args:
        slots: most batches under way at once.
        batch_bytes: most bytes of a batch.
        clock: monotonic seconds.
    """

    def __init__(self, *, slots: int, batch_bytes: int, clock: Callable[[], float] = clock.monotonic) -> None:
        self._most = slots
        self._most_bytes = batch_bytes
        self._clock = clock
        self._limit = float(min(FIRST, slots))
        self._bytes = float(batch_bytes)
        self._growth = AFTER_TOO_LARGE
        self._collapsed = True
        self._changed = float("-inf")
        self._in_flight = 0
        self._was_full = False
        self._usual: dict[tuple[str, int], Usual] = {}
        self._free = threading.Condition()

    @property
    def limit(self) -> int:
        """Batches that may be under way at once."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Batches that are in flight now."""
        return self._in_flight

    @property
    def batch_bytes(self) -> int:
        """Bytes that a batch may have."""
        return int(self._bytes)

    @contextmanager
    def slot(self, given_up: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a slot and hold it; yields False, without one, when ``given_up`` says so while it waits."""
        taken = self._wait(given_up)
        try:
            yield taken
        finally:
            if taken:
                self.give_back()

    def take(self) -> bool:
        """Take a slot if one is free."""
        with self._free:
            free = self._in_flight < self.limit
            self._in_flight += free
            self._was_full = self._was_full or self._in_flight >= self.limit
            return free

    def give_back(self) -> None:
        """Give a slot back."""
        with self._free:
            self._in_flight -= 1
            self._free.notify()

    def observe(self, record: CallRecord) -> None:
        """Learn from one exchange with the server; a bucket's answers say nothing of it."""
        if record.operation == "upload":
            return
        with self._free:
            is_news = self._clock() - record.seconds >= self._changed
            if record.outcome == "ok":
                self._answered(record, is_news)
            elif record.outcome in PUSHED_BACK and is_news:
                self._lower()

    def too_much(self, size: int, error: KiliError) -> None:
        """A batch of ``size`` bytes was too large, or the server did not finish it in time."""
        with self._free:
            smaller = min(self._bytes, max(1.0, size * HALF))
            self._growth = AFTER_TOO_LARGE if isinstance(error, TooLarge) else AFTER_TIMEOUT
            if smaller < self._bytes:
                logger.info(
                    "batches of at most %d bytes from now on: %s",
                    smaller,
                    error,
                    extra={"action": "batches_smaller", "bytes": int(smaller)},
                )
            self._bytes = smaller

    def went_through(self, size: int) -> None:
        """A batch of ``size`` bytes was taken."""
        with self._free:
            if size > self._bytes * HALF:
                self._bytes = min(float(self._most_bytes), self._bytes * self._growth)

    def _wait(self, given_up: Callable[[], bool]) -> bool:
        with self._free:
            while not given_up():
                if self.take():
                    return True
                self._free.wait(0.1)
        return False

    def _answered(self, record: CallRecord, is_news: bool) -> None:
        kind = (record.operation, record.items.bit_length())
        usual = self._usual.get(kind)
        if usual is None:
            usual = self._usual[kind] = Usual(record.seconds, record.seconds)
        else:
            usual.add(record.seconds)
        if not is_news:
            return
        if usual.is_slow and self.limit > 1:
            self._lower()
        elif usual.is_slow:
            usual.accept()
        elif self._was_full:
            self._raise()

    def _raise(self) -> None:
        before = self.limit
        self._limit = min(float(self._most), self._limit + (1.0 if self._collapsed else 1.0 / self._limit))
        self._was_full = self._in_flight >= self.limit
        if self.limit > before:
            self._free.notify_all()

    def _lower(self) -> None:
        self._limit = max(1.0, self._limit * HALF)
        self._collapsed = self._limit <= 1.0
        self._changed = self._clock()
        self._was_full = False


def batches(groups: Iterable[list[T]], *, count: int, max_bytes: int, size: Callable[[T], int]) -> Iterator[list[T]]:
    """Cut in order: at most ``count`` items and ``max_bytes`` a batch; a group stays whole, a larger one goes alone."""
    batch: list[T] = []
    total = 0
    for group in groups:
        own = size(group[0]) if len(group) == 1 else sum(map(size, group))
        if batch and (len(batch) + len(group) > count or total + own > max_bytes):
            yield batch
            batch, total = [], 0
        batch += group
        total += own
    if batch:
        yield batch


def grouped(items: Sequence[T], *, key: Callable[[T], str]) -> Iterable[list[T]]:
    """Items with the same key together, groups in the order of their first item."""
    keys = list(map(key, items))
    if len(set(keys)) == len(keys):
        return ([item] for item in items)  # as usual: thousands of lists are not kept for it
    groups: dict[str, list[T]] = {}
    for own, item in zip(keys, items, strict=True):
        groups.setdefault(own, []).append(item)
    return groups.values()


class InFlightBatches:
    """Batches that run side by side; used by one thread.

    Args:
        pool: runs them.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._in_flight: dict[Future[None], frozenset[str]] = {}
        self._failures: list[BaseException] = []

    @property
    def is_empty(self) -> bool:
        """Whether no batch is under way."""
        return not self._in_flight

    def start(self, step: Callable[[list[Item]], None], batch: list[Item]) -> None:
        """Run a step for a batch."""
        self._in_flight[self._pool.submit(step, batch)] = frozenset(item.entry.asset_id for item in batch)

    def touches(self, asset_ids: Iterable[str]) -> bool:
        """Whether one of the assets is in a batch under way."""
        wanted = set(asset_ids)
        return any(not wanted.isdisjoint(known) for known in self._in_flight.values())

    def await_one(self, seconds: float | None = None) -> bool:
        """Wait until a batch ends, at most so long; False when none is under way."""
        done, _ = wait(self._in_flight, seconds, return_when=FIRST_COMPLETED)
        for future in done:
            del self._in_flight[future]
            failure = future.exception()
            if failure is not None:
                self._failures.append(failure)
        return bool(self._in_flight)

    def await_at_most(self, batches: int) -> None:
        """Wait until no more than so many batches are under way."""
        while len(self._in_flight) > batches:
            self.await_one()

    def land(self) -> None:
        """Wait for all; raise what went wrong, first of all what nobody foresaw."""
        self.await_at_most(0)
        for failure in sorted(self._failures, key=lambda one: isinstance(one, KiliError)):
            raise failure


class Ahead:
    """The next entries of a wave, made ready beside its sending, one lot at a time; used by one thread.

    Args:
        pool: runs what makes them ready.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._coming: Future[list[Item]] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is being made ready, and nothing that is ready waits to be taken."""
        return self._coming is None

    def begin(self, make_ready: Callable[[], list[Item]]) -> None:
        """Make a lot ready; only when there is no other."""
        self._coming = self._pool.submit(make_ready)

    def take(self, *, at_once: bool) -> list[Item]:
        """What is ready; nothing where it is not yet, unless the caller cannot go on without it.

        Raises what making it ready raised.
        """
        if self._coming is None or not (at_once or self._coming.done()):
            return []
        ready, self._coming = self._coming, None
        return ready.result()

    def end(self) -> None:
        """Wait until nothing is being made ready; what came of it does not matter any more."""
        if self._coming is not None:
            wait([self._coming])
            self._coming = None
