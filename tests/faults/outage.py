"""Kili goes away under load and comes back: what was tried meanwhile, and how soon all is as before.

    python -m tests.faults.outage --seconds 60 --how unavailable

runs it with the settings of production and prints the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

from tests.awaiting import PATIENCE
from tests.faults.house import House, predictions

How = Literal["unavailable", "internal error", "refused", "silent"]
HOWS: tuple[How, ...] = ("unavailable", "internal error", "refused", "silent")
PRODUCTION = {
    "WORKER_KILI__CALLS_PER_MINUTE": "500",
    "WORKER_KILI__BURST": "8",
    "WORKER_KILI__BACKOFF_SECONDS": "0.5",
    "WORKER_KILI__BACKOFF_CAP_SECONDS": "8",
    "WORKER_KILI__TIMEOUT_SECONDS": "60",
    "WORKER_KILI__RETRY_AFTER_CAP_SECONDS": "60",
    "WORKER_KILI__READ_LAG_SECONDS": "3",
    "WORKER_SPOOL__LEASE_SECONDS": "30",
    "WORKER_DELIVERY__LINGER_SECONDS": "2",
    "WORKER_DELIVERY__PROBE_SECONDS": "2",
    "WORKER_DELIVERY__PROBE_CAP_SECONDS": "5",
}
WINDOW = 1.0
"""Seconds over which a rate is taken."""

FULL = 0.9
"""Share of the former rate that counts as full again on a machine that has nothing else to do."""


@dataclass(frozen=True, slots=True)
class Load:
    """What arrives: so many predictions a second over so many projects, on top of a first heap.

    ``warm_up`` are the seconds after which the first burst of calls is spent and the rate is taken.
    """

    projects: int
    heap: int
    per_second: int
    warm_up: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured over ``seconds``.

    ``attempts`` are the worker's own count of calls that failed while Kili was away.
    """

    how: str
    seconds: float
    rate_before: float
    attempts: int
    attempts_per_second: float
    waiting_at_the_return: int
    back_after_seconds: float
    pauses: tuple[str, ...]


def most_attempts(seconds: float, *, workers: int, probe_cap: float, batches: int = 8, waves: int = 4) -> float:
    """The bound: what is under way when Kili goes, with its repeats and witnesses; then one probe a pause.

    A worker has so many ``batches`` and ``waves`` under way; after these have failed, each wave tries one batch more. A
    call is sent four times, then the assets are looked up and two other items are sent alone; a probe sends
    once, and as much besides. Pauses grow to ``probe_cap`` seconds, less up to a quarter of jitter, from shorter ones.
    """
    return workers * (batches + 2 * waves) * (4 + 3) + (1 + 3) * (seconds / (0.75 * probe_cap) + 3)


class Outage:
    """One house under load.

    Args:
        house: with a front, a worker, and a call budget that the load exceeds.
        load: what arrives.
        full: share of the former rate that counts as full again.
    """

    def __init__(self, house: House, load: Load, full: float = FULL) -> None:
        self._house = house
        self._load = load
        self._full = full
        self._projects = [house.project() for _ in range(load.projects)]
        self._sent = 0
        self._guard = threading.Lock()

    def run(self, how: How, seconds: float) -> Report:
        """Load, take Kili away, bring it back, and wait until the former rate is reached again.

        Kili is away for so many ``seconds`` at least, and until the worker has noticed; one that is silent is noticed
        when it answers again. A second heap is there when it comes back: there is enough to do to reach a rate.
        """
        house = self._house
        self._publish(self._load.heap)
        with self._arriving():
            house.await_that(lambda: self._answers() > 5, "the first answers")
            time.sleep(self._load.warm_up)
            before = self._rate()
            bring_back = self._take_away(how)
            failed, begun = self._failures(), time.monotonic()
            house.await_that(lambda: time.monotonic() - begun >= seconds, "the end of the outage", seconds + PATIENCE)
            house.await_that(lambda: how == "silent" or house.pauses(), "a pause")
            pauses = tuple(f"{pause.scope}: {pause.kind}" for pause in house.pauses().values())
            self._publish(self._load.heap)
            house.await_that(lambda: house.ledger().waiting >= self._load.heap // 2, "much waits")
            attempts, away = self._failures() - failed, time.monotonic() - begun
            waiting = house.ledger().waiting
            bring_back()
            back = self._time_until_rate(self._full * before)
        return Report(
            how, round(away, 1), round(before, 1), attempts, round(attempts / away, 2), waiting, round(back, 1), pauses
        )

    def _take_away(self, how: How) -> Callable[[], None]:
        house, front = self._house, self._house.front
        assert front is not None
        if how == "refused":
            front.shut()
            return front.open
        if how == "silent":
            os.kill(house.kili.pid, signal.SIGSTOP)
            return lambda: os.kill(house.kili.pid, signal.SIGCONT)
        internal = {
            "kind": "errors",
            "status": 500,
            "code": "INTERNAL_SERVER_ERROR",
            "message": "Internal server error",
        }
        house.harm({"action": internal if how == "internal error" else {"kind": "status", "status": 503}})
        return house.heal

    @contextmanager
    def _arriving(self) -> Iterator[None]:
        """Publish at the load's rate, ten times a second."""
        over = threading.Event()

        def publish() -> None:
            while not over.wait(0.1):
                self._publish(self._load.per_second // 10)

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _publish(self, count: int) -> None:
        share = max(1, count // len(self._projects))
        with self._guard:
            for project in self._projects:
                self._house.publish(predictions(project, share, start=self._sent))
            self._sent += share

    def _answers(self) -> int:
        return self._house.calls_made(good_ones=True)

    def _failures(self) -> int:
        outcomes = self._house.outcomes()
        return outcomes.total() - outcomes["ok"]

    def _rate(self) -> float:
        begun, answers = time.monotonic(), self._answers()
        time.sleep(WINDOW)
        return (self._answers() - answers) / (time.monotonic() - begun)

    def _time_until_rate(self, rate: float) -> float:
        """Seconds until a window began in which Kili answered at this rate."""
        begun = time.monotonic()
        samples = deque([(begun, self._answers())])

        def reached() -> bool:
            now, answers = time.monotonic(), self._answers()
            samples.append((now, answers))
            while samples[0][0] < now - WINDOW - 0.1:
                samples.popleft()
            first, then = samples[0]
            return now - first >= WINDOW and (answers - then) / (now - first) >= rate

        self._house.await_that(reached, f"{rate:.1f} answers a second")
        return samples[0][0] - begun


def main() -> None:
    """Run an outage with the settings of production."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--how", choices=HOWS, default="unavailable")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with House(PRODUCTION, has_front=True) as house:
        for _ in range(options.workers):
            house.worker()
        report = Outage(house, Load(projects=20, heap=8000, per_second=400, warm_up=5)).run(
            options.how, options.seconds
        )
        bound = most_attempts(options.seconds, workers=options.workers, probe_cap=5)
        print(json.dumps({**asdict(report), "most_attempts": round(bound), **settled(house)}, indent=1))


def settled(house: House) -> Mapping[str, object]:
    """Let a fresh worker without a call limit deliver the rest, and ask the judge."""
    for worker in house.workers:
        worker.stop()
    house.worker(WORKER_KILI__CALLS_PER_MINUTE="60000", WORKER_KILI__BURST="50")
    house.await_settled(600)
    state = house.judge()
    return {"published": house.published.count, "assets": state["assets"], "judge": "nothing lost, nothing twice"}


if __name__ == "__main__":
    main()
