"""The doors alone: how many messages a second one worker takes in, validates and spools, beside bare loops."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.celery_process import CeleryProcess, stage_tasks
from benchmarks.speed.competitors import bare_stream, bare_task
from benchmarks.speed.competitors.us import await_that, hold, workers
from benchmarks.speed.ground import STAGED, Ground
from benchmarks.speed.predictions import Work
from benchmarks.speed.processes import Child, cpu_seconds
from worker.intake.originals import TASK
from worker.settings.tree import Settings

LIMIT_SECONDS = 120.0
LIST = 100
QUIET_SECONDS, QUIET_SHARE, QUIET_TRIES = 0.3, 0.1, 20


@dataclass(frozen=True, slots=True)
class Door:
    """Messages through one door; ``cpu`` are the processor seconds of the process that took them."""

    name: str
    messages: int
    seconds: float
    cpu: float

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time per message."""
        return 1e6 * self.cpu / self.messages


def measure_doors(ground: Ground, messages: int, singles: int) -> list[Door]:
    """All doors: ``messages`` through those that take many at once, ``singles`` one by one."""
    return [
        _bare_task(ground, singles),
        _ours(ground, "celery, one by one", Work(singles), _singles),
        _ours(ground, f"celery, lists of {LIST}", Work(messages), _lists),
        _bare_stream(ground, messages),
        _ours(ground, "stream", Work(messages), _stream),
    ]


Stage = Callable[[Ground, Work], Callable[[], None]]


def _ours(ground: Ground, name: str, work: Work, stage: Stage) -> Door:
    """A real worker that takes in and delivers nothing."""
    ground.clear()
    hold(ground)
    with workers(ground) as (worker,):
        go = stage(ground, work)
        _await_quiet(worker.pid)
        cpu, begun = cpu_seconds(worker.pid), time.perf_counter()
        go()
        _await(lambda: ground.spool.ledger().received >= work.count, name)
        return Door(name, work.count, time.perf_counter() - begun, cpu_seconds(worker.pid) - cpu)


def _stream(ground: Ground, work: Work) -> Callable[[], None]:
    return ground.stage_stream(work, Settings().intake.inbox)


def _singles(ground: Ground, work: Work) -> Callable[[], None]:
    return stage_tasks(ground, TASK, _messages(ground, work), Settings().intake.queue)


def _lists(ground: Ground, work: Work) -> Callable[[], None]:
    messages = _messages(ground, work)
    lists = [messages[first : first + LIST] for first in range(0, len(messages), LIST)]
    return stage_tasks(ground, TASK, lists, Settings().intake.queue)


def _messages(ground: Ground, work: Work) -> Sequence[Any]:
    return [json.loads(made.message(ground.project)) for made in work]


def _bare_task(ground: Ground, count: int) -> Door:
    ground.clear()
    go = stage_tasks(ground, bare_task.NAME, _messages(ground, Work(count)), bare_task.QUEUE)
    options = ["-P", "solo", "--prefetch-multiplier", "100"]
    with CeleryProcess(ground, bare_task.__name__, bare_task.QUEUE, {}, options, 1) as celery:
        _await_quiet(celery.pid)
        cpu, begun = cpu_seconds(celery.pid), time.perf_counter()
        go()
        _await(lambda: not ground.redis.exists(bare_task.QUEUE) and not ground.redis.hlen("unacked"), "bare task")
        return Door("bare Celery task", count, time.perf_counter() - begun, cpu_seconds(celery.pid) - cpu)


def _bare_stream(ground: Ground, count: int) -> Door:
    ground.clear()
    ground.stage_stream(Work(count), STAGED)
    task = {"redis_url": ground.redis_url, "stream": STAGED, "messages": count}
    with Child(bare_stream.__name__, task, ground.folder) as child:
        return Door("bare XREADGROUP loop", count, *child.run(LIMIT_SECONDS))


def _await_quiet(pid: int) -> None:
    """Let a process finish its start, so that it is not counted as the cost of messages."""
    for _ in range(QUIET_TRIES):
        before = cpu_seconds(pid)
        time.sleep(QUIET_SECONDS)
        if cpu_seconds(pid) - before <= QUIET_SHARE * QUIET_SECONDS:
            return


def _await(condition: Callable[[], bool], what: str) -> None:
    if not await_that(condition, LIMIT_SECONDS):
        raise TimeoutError(f"{what}: not within {LIMIT_SECONDS:g} s")
