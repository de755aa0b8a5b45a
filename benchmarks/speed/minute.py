"""A minute under Kili's call limit: this worker and the SDK at the same time, each with a Kili of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.speed.competitors.us import ONE_DOCUMENT, workers
from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work
from benchmarks.speed.race import SDK_CHUNK, child_of, task_of
from worker.settings.tree import Settings

PER_CALL = {"us-one-document": 100}
USUAL_PER_CALL = 60
"""Predictions made per call that the limit allows: more than can be delivered, but not far more.

This worker sends the doubtful ones first, which take a call more: of a far larger backlog a minute shows these alone.
"""

Begin = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Minute:
    """What a competitor had in Kili in full when the time was up, by how many calls, and how many Kili refused."""

    competitor: str
    seconds: float
    finished: int
    calls: int
    refused: int


def measure_minute(names: Sequence[str], *, calls_per_minute: int, seconds: float) -> list[Minute]:
    """Let competitors work side by side, this worker and the SDK in bulk; Kili answers without delay."""
    most = calls_per_minute * max(1.0, seconds / 60)
    works = {name: Work(int(PER_CALL.get(name, USUAL_PER_CALL) * most)) for name in names}
    with ExitStack() as stack:
        grounds = {name: stack.enter_context(Ground(calls_per_minute=calls_per_minute)) for name in names}
        with ExitStack() as racers:
            begins = [
                racers.enter_context(_racer(name, ground, works[name], seconds)) for name, ground in grounds.items()
            ]
            begun = time.perf_counter()
            for begin in begins:
                begin()
            time.sleep(seconds)
            taken = time.perf_counter() - begun
        return [_counted(name, ground, works[name], taken) for name, ground in grounds.items()]


@contextmanager
def _racer(name: str, ground: Ground, work: Work, seconds: float) -> Iterator[Begin]:
    if name.startswith("us"):
        with workers(ground, extra={ONE_DOCUMENT: "true"} if name != "us" else None):
            yield ground.stage_stream(work, Settings().intake.inbox)
    else:
        task = task_of(ground, work, 2 * seconds) | {"way": name.removeprefix("sdk-"), "chunk": SDK_CHUNK}
        with child_of(ground, "benchmarks.speed.competitors.sdk_script", task) as child:
            yield child.go


def _counted(name: str, ground: Ground, work: Work, seconds: float) -> Minute:
    books = ground.admin("calls")
    return Minute(name, seconds, ground.finished(work), books["total"], books["refused_429"])
