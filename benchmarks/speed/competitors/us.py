"""This worker: real processes with a user's settings, but for the address of Kili, the call budget and the review rule.

The rule is the threshold: which predictions need a priority is then the same for every competitor.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work
from worker.delivery import Pause
from worker.delivery.circuit_breaker import ENDPOINT
from worker.demo.environment import WorkerProcess
from worker.settings.tree import Settings

NO_LIMIT = {"WORKER_KILI__CALLS_PER_MINUTE": "1000000", "WORKER_KILI__BURST": "50"}
ONE_DOCUMENT = "WORKER_DELIVERY__ONE_DOCUMENT"
"""The setting that puts the mutations of a batch into one GraphQL document."""

POLL_SECONDS = 0.005
HOLD_MS = 3_600_000


def settings_of(ground: Ground, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a worker on a ground; where Kili has no limit, the budget has none either."""
    limit = {"WORKER_KILI__CALLS_PER_MINUTE": str(ground.calls_per_minute)} if ground.calls_per_minute else NO_LIMIT
    return {
        "REDIS_URL": ground.redis_url,
        "KILI_API_KEY": ground.kili.api_key,
        "KILI_API_ENDPOINT": ground.kili.endpoint,
        "CELERY_BROKER_URL": ground.redis_url,
        "WORKER_REVIEW__RULE": "threshold",
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


def hold(ground: Ground) -> None:
    """Keep all waves from starting, as a pause of Kili would; what comes in waits."""
    now = int(time.time() * 1000)
    pause = Pause(ENDPOINT, "held", "held by the benchmark", now, now + HOLD_MS, 1)
    ground.redis.hset(f"{ground.spool.prefix}pauses", ENDPOINT, json.dumps(asdict(pause)))


def let_go(ground: Ground) -> None:
    """End the pause."""
    ground.redis.hdel(f"{ground.spool.prefix}pauses", ENDPOINT)


def fill(ground: Ground, work: Work, project: str = "", seconds: float = 300.0) -> float:
    """Send predictions to the stream door and wait until they are in the spool; the seconds that took.

    Raises:
        TimeoutError: they are not in time.
    """
    wanted = ground.spool.ledger().received + work.count
    go = ground.stage_stream(work, Settings().intake.inbox, project)
    begun = time.perf_counter()
    go()
    if not await_that(lambda: ground.spool.ledger().received >= wanted, seconds):
        raise TimeoutError(f"{work.count} predictions are not in the spool after {seconds:g} s")
    return time.perf_counter() - begun
