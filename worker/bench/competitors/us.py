"""This worker: real processes with the settings a user gets, but for the address of Kili and the call budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from worker.bench.ground import Ground
from worker.demo.processes import WorkerProcess

NO_LIMIT = {"WORKER_KILI__CALLS_PER_MINUTE": "1000000", "WORKER_KILI__BURST": "50"}
POLL_SECONDS = 0.005


def settings_of(ground: Ground, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a worker on a ground; where Kili has no limit, the budget has none either."""
    limit = {"WORKER_KILI__CALLS_PER_MINUTE": str(ground.calls_per_minute)} if ground.calls_per_minute else NO_LIMIT
    return {
        "REDIS_URL": ground.redis_url,
        "KILI_API_KEY": ground.kili.api_key,
        "KILI_API_ENDPOINT": ground.kili.endpoint,
        **limit,
        **(extra or {}),
    }


@contextmanager
def workers(ground: Ground, count: int = 1, extra: Mapping[str, str] | None = None) -> Iterator[list[WorkerProcess]]:
    """So many workers, ready; killed at the end, since what counts is in Kili by then."""
    with ExitStack() as stack:
        found = [_started(stack, ground, f"worker-{number}", extra) for number in range(count)]
        for worker in found:
            worker.wait_ready()
        yield found


def _started(stack: ExitStack, ground: Ground, name: str, extra: Mapping[str, str] | None) -> WorkerProcess:
    worker = WorkerProcess(settings_of(ground, extra), ground.folder, name)
    stack.callback(worker.kill)
    return worker


def await_that(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask until the answer is yes or the time is up; the last answer."""
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() >= end:
            return False
        time.sleep(POLL_SECONDS)
    return True
