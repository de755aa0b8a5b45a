"""Calls for predictions that arrive a batch at a time, each batch done before the next one comes."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.speed.competitors.us import await_that, workers
from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work
from benchmarks.speed.race import run_sdk
from worker.settings.tree import Settings

LIMIT_SECONDS = 60.0
BATCH = 100


@dataclass(frozen=True, slots=True)
class Arriving:
    """``calls`` that a competitor made for ``batches`` of 100; reading the project's interface is not among them."""

    competitor: str
    batches: int
    calls: int

    @property
    def per_batch(self) -> float:
        """Calls per 100 predictions."""
        return self.calls / self.batches


def measure_arriving(batches: int, *, with_sdk: bool) -> list[Arriving]:
    """This worker, and the SDK at its best, with 100 predictions at a time."""
    with Ground() as ground:
        found = [_us(ground, batches)]
        return [*found, _sdk(ground, batches)] if with_sdk else found


def _us(ground: Ground, batches: int) -> Arriving:
    with workers(ground):
        for number in range(batches):
            _deliver(ground, Work(BATCH, start=number * BATCH))
        operations = ground.admin("calls")["operations"]
    calls = sum(about["count"] for name, about in operations.items() if name != "projects")
    return Arriving("us", batches, calls)


def _deliver(ground: Ground, work: Work) -> None:
    wanted = ground.spool.ledger().delivered + work.count
    ground.add([made.message(ground.project) for made in work], Settings().intake.inbox)
    if not await_that(lambda: ground.spool.ledger().delivered >= wanted, LIMIT_SECONDS):
        raise TimeoutError(f"{work.count} predictions are not delivered after {LIMIT_SECONDS:g} s")


def _sdk(ground: Ground, batches: int) -> Arriving:
    ground.clear()
    run_sdk("best", BATCH)(ground, Work(batches * BATCH), LIMIT_SECONDS)
    return Arriving("sdk-best", batches, ground.calls())
