"""Several workers on one call budget: what share of it they use, and whether Kili had to refuse."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.speed.competitors.us import fill, hold, let_go, workers
from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work

PROJECTS = 4
WARM_UP_SECONDS = 3.0
SPARE = 1.5


@dataclass(frozen=True, slots=True)
class Fleet:
    """``calls`` of the ``allowed`` ones that so many workers made under a backlog, with ``items`` delivered."""

    workers: int
    seconds: float
    calls: int
    allowed: float
    refused: int
    items: int

    @property
    def share(self) -> float:
        """Of the budget."""
        return self.calls / self.allowed

    @property
    def items_per_call(self) -> float:
        """Predictions delivered per call."""
        return self.items / self.calls


def measure_fleet(sizes: Sequence[int], *, latency: float, calls_per_minute: int, seconds: float) -> list[Fleet]:
    """Let fleets of each size work off a backlog of several projects for so long."""
    return [_measure(size, latency, calls_per_minute, seconds) for size in sizes]


def _measure(size: int, latency: float, calls_per_minute: int, seconds: float) -> Fleet:
    with Ground(latency=latency, calls_per_minute=calls_per_minute) as ground:
        hold(ground)
        with workers(ground, size):
            needed = int(SPARE * 100 / 2 * calls_per_minute * (seconds + WARM_UP_SECONDS) / 60)
            for _ in range(PROJECTS):
                fill(ground, Work(max(1000, needed // PROJECTS)), ground.new_project())
            ground.admin("reset", {})
            let_go(ground)
            time.sleep(WARM_UP_SECONDS)
            calls, items, begun = ground.calls(), ground.spool.ledger().delivered, time.perf_counter()
            time.sleep(seconds)
            taken = time.perf_counter() - begun
            calls, items = ground.calls() - calls, ground.spool.ledger().delivered - items
            refused = int(ground.admin("calls")["refused_429"])
    return Fleet(size, taken, calls, calls_per_minute * taken / 60, refused, items)
