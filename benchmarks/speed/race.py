"""One race: one competitor under one condition. What it finished is counted in Kili, not told by the competitor."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from benchmarks.speed.celery_process import CeleryProcess, stage_tasks
from benchmarks.speed.competitors import sdk_tasks
from benchmarks.speed.competitors.us import ONE_DOCUMENT, await_that, workers
from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work
from benchmarks.speed.processes import Child, cpu_seconds
from worker.settings.tree import Settings, environment_names

SDK_CHUNK = 1000
GRACE_SECONDS = 90.0
TASKS_AT_MOST = 2000


@dataclass(frozen=True, slots=True)
class Result:
    """What a competitor did in its time.

    ``finished`` predictions of ``predictions`` are in Kili in full, by ``calls`` calls, ``project_reads`` of which read
    the project, in ``seconds``, with ``cpu`` seconds of processor time of its own processes (Redis and Kili not among
    them) and ``redis_cpu`` seconds of the Redis server's.
    """

    competitor: str
    predictions: int
    finished: int
    seconds: float
    cpu: float
    calls: int
    project_reads: int
    redis_cpu: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether it came to its end."""
        return self.finished == self.predictions


Run = Callable[[Ground, Work, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Competitor:
    """A way to bring predictions to Kili; ``run`` returns (seconds, processor seconds)."""

    name: str
    title: str
    run: Run
    package: str = ""
    setting: str = ""

    @property
    def is_here(self) -> bool:
        """Whether the package it needs is installed, and this worker has the setting it needs."""
        installed = not self.package or importlib.util.find_spec(self.package) is not None
        return installed and (not self.setting or self.setting in environment_names())


def race(competitor: Competitor, ground: Ground, predictions: int, seconds: float) -> Result:
    """Let a competitor work in a project of its own until it is done or its time is up.

    Raises:
        WrongState: what it left in Kili is not what was to be sent.
        TimeoutError: it finished nothing.
    """
    ground.clear()
    work = Work(predictions)
    taken, cpu = competitor.run(ground, work, seconds)
    redis_cpu = ground.redis_cpu()
    books = ground.admin("calls")
    reads = books["operations"].get("projects", {}).get("count", 0)
    done = ground.finished(work)
    if not done:
        raise TimeoutError(f"{competitor.name}: nothing is finished after {taken:.0f} s")
    return Result(competitor.name, predictions, done, taken, cpu, books["total"], reads, redis_cpu)


def run_us(ground: Ground, work: Work, seconds: float, extra: Mapping[str, str] | None = None) -> tuple[float, float]:
    """This worker: one process, the stream door; done when its ledger says so."""
    with workers(ground, extra=extra) as (worker,):
        go = ground.stage_stream(work, Settings().intake.inbox)
        ground.start_of_redis_cpu()
        cpu, begun = cpu_seconds(worker.pid), time.perf_counter()
        go()
        await_that(lambda: ground.spool.ledger().delivered >= work.count, seconds)
        return time.perf_counter() - begun, cpu_seconds(worker.pid) - cpu


def run_floor(ground: Ground, work: Work, seconds: float) -> tuple[float, float]:
    """The bare loop, with as many batches at a time as the worker."""
    task = task_of(ground, work, seconds) | {"parallel": Settings().delivery.parallel_batches}
    return _run_child(ground, "benchmarks.speed.competitors.floor", task)


def run_sdk(way: str, chunk: int = SDK_CHUNK) -> Run:
    """The SDK in bulk."""

    def run(ground: Ground, work: Work, seconds: float) -> tuple[float, float]:
        task = task_of(ground, work, seconds) | {"way": way, "chunk": chunk}
        return _run_child(ground, "benchmarks.speed.competitors.sdk_script", task)

    return run


def run_tasks(name: str, most: int, options: Callable[[int], list[str]]) -> Run:
    """The SDK in Celery tasks, in as many processes as there are processors, which is Celery's default."""

    def run(ground: Ground, work: Work, seconds: float) -> tuple[float, float]:
        processes = os.cpu_count() or 1
        task = {"endpoint": ground.kili.endpoint, "api_key": ground.kili.api_key, "project": ground.project}
        arguments = [asdict(made) for made in list(work)[:most]]
        go = stage_tasks(ground, name, arguments, sdk_tasks.QUEUE)
        module = sdk_tasks.__name__
        with CeleryProcess(ground, module, sdk_tasks.QUEUE, task, options(processes), processes) as celery:
            ground.admin("reset", {})
            cpu, begun = cpu_seconds(celery.pid), time.perf_counter()
            go()
            await_that(lambda: int(ground.redis.get(sdk_tasks.DONE) or 0) >= len(arguments), seconds)
            taken = time.perf_counter() - begun
            return taken, cpu_seconds(celery.pid) - cpu

    return run


def task_of(ground: Ground, work: Work, seconds: float) -> dict[str, Any]:
    """What a child is told: where Kili is, what to send, and for how long."""
    return {
        "endpoint": ground.kili.endpoint,
        "api_key": ground.kili.api_key,
        "project": ground.project,
        "work": work.to_json(),
        "seconds": seconds,
    }


def _run_child(ground: Ground, module: str, task: Mapping[str, Any]) -> tuple[float, float]:
    with child_of(ground, module, task) as child:
        return child.run(task["seconds"] + GRACE_SECONDS)


def child_of(ground: Ground, module: str, task: Mapping[str, Any]) -> Child:
    """A child that is ready; what it asked Kili before does not count."""
    child = Child(module, task, ground.folder)
    ground.admin("reset", {})
    return child


def _many_options(processes: int) -> list[str]:
    prefetch = -(-2 * sdk_tasks.FLUSH_EVERY // processes)
    return ["-c", str(processes), "--prefetch-multiplier", str(prefetch)]


US = Competitor("us", "this worker", run_us)
US_ONE_DOCUMENT = Competitor(
    "us-one-document",
    "this worker, one document a batch",
    partial(run_us, extra={ONE_DOCUMENT: "true"}),
    setting=ONE_DOCUMENT,
)
FLOOR = Competitor("floor", "bare loop, bodies made beforehand", run_floor)
SDK_BEST = Competitor("sdk-best", "SDK, 1,000 at a time, at its best", run_sdk("best"), "kili")
SDK_TUTORIAL = Competitor("sdk-tutorial", "SDK, 1,000 at a time, as the tutorial", run_sdk("tutorial"), "kili")
SDK_BATCHES = Competitor(
    "sdk-batches",
    "SDK at its best behind celery-batches",
    run_tasks(sdk_tasks.MANY, 10 * TASKS_AT_MOST, _many_options),
    "celery_batches",
)
SDK_ONE = Competitor(
    "sdk-one",
    "SDK once per prediction in a Celery task",
    run_tasks(sdk_tasks.ONE, TASKS_AT_MOST, lambda processes: ["-c", str(processes)]),
    "kili",
)
COMPETITORS = (SDK_ONE, SDK_TUTORIAL, SDK_BEST, SDK_BATCHES, US, US_ONE_DOCUMENT, FLOOR)
