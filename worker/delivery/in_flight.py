"""Batches within Kili's limits, and those of a wave that are in flight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import TypeVar

from worker.delivery.item import Item
from worker.kili import KiliError

T = TypeVar("T")


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
