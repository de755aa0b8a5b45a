"""What a prediction costs, and what memory holds, while the backlog grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.speed.competitors.us import await_that, fill, hold, let_go, workers
from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work
from benchmarks.speed.processes import cpu_seconds, resident_bytes
from worker.demo.environment import WorkerProcess

LIMIT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Level:
    """Costs at one backlog: microseconds of worker and Redis per prediction taken in, and per prediction delivered.

    ``worker_bytes`` is the worker's resident memory after it, ``redis_bytes`` what a waiting prediction takes in Redis.
    """

    backlog: int
    intake_us: float
    delivery_us: float
    worker_bytes: int
    redis_bytes: float

    @property
    def cost_us(self) -> float:
        """Of worker and Redis together, from door to settled label."""
        return self.intake_us + self.delivery_us


class _Growth:
    """One worker on one ground, whose backlog is filled up to each level in turn."""

    def __init__(self, ground: Ground, worker: WorkerProcess) -> None:
        self._ground = ground
        self._worker = worker
        self._sent = 0

    def level(self, backlog: int, sample: int) -> Level:
        """Fill up to the backlog, deliver so many of it, repeat while the sample is not full."""
        intake = delivery = 0.0
        taken = delivered = 0
        before, waiting = self._memory(), self._waiting()
        redis_bytes = 0.0
        while delivered < sample:
            count = backlog - self._waiting()
            intake += self._taken_in(count)
            taken += count
            redis_bytes = redis_bytes or (self._memory() - before) / (self._waiting() - waiting)
            cost, found = self._delivered(min(backlog, sample))
            delivery, delivered = delivery + cost, delivered + found
        memory = resident_bytes(self._worker.pid)
        return Level(backlog, 1e6 * intake / taken, 1e6 * delivery / delivered, memory, redis_bytes)

    def _taken_in(self, count: int) -> float:
        before = self._cpu()
        fill(self._ground, Work(count, start=self._sent))
        self._sent += count
        return self._cpu() - before

    def _delivered(self, at_least: int) -> tuple[float, int]:
        before, cpu = self._ground.spool.ledger().delivered, self._cpu()
        let_go(self._ground)
        enough = await_that(lambda: self._ground.spool.ledger().delivered - before >= at_least, LIMIT_SECONDS)
        hold(self._ground)
        if not enough or not await_that(lambda: self._ground.spool.ledger().leased == 0, LIMIT_SECONDS):
            raise TimeoutError(f"{at_least} predictions are not delivered after {LIMIT_SECONDS:g} s")
        return self._cpu() - cpu, self._ground.spool.ledger().delivered - before

    def _cpu(self) -> float:
        return cpu_seconds(self._worker.pid) + cpu_seconds(self._ground.redis_pid)

    def _waiting(self) -> int:
        return self._ground.spool.ledger().waiting

    def _memory(self) -> int:
        return int(self._ground.redis.info("memory")["used_memory"])


def measure_growth(levels: Sequence[int], sample: int) -> list[Level]:
    """Costs at each backlog, rising, with ``sample`` predictions delivered at each."""
    with Ground() as ground:
        hold(ground)
        with workers(ground) as (worker,):
            growth = _Growth(ground, worker)
            return [growth.level(backlog, sample) for backlog in levels]
