"""Run a plan, section by section; every figure of a section comes from the same minutes on the same machine."""

from __future__ import annotations

import os
import platform
import sysconfig
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.speed.arriving import Arriving, measure_arriving
from benchmarks.speed.doors import Door, measure_doors
from benchmarks.speed.fleet import Fleet, measure_fleet
from benchmarks.speed.ground import Ground
from benchmarks.speed.growth import Level, measure_growth
from benchmarks.speed.micro import Micro, measure_micro
from benchmarks.speed.minute import Minute, measure_minute
from benchmarks.speed.plan import Cell, Plan
from benchmarks.speed.producers import measure_producers
from benchmarks.speed.race import COMPETITORS, SDK_BEST, Result, race
from benchmarks.speed.sources import SourceCost, measure_sources
from benchmarks.speed.visible import LightLoad, UnderBacklog, light_load, under_backlog

PACKAGES = ("celery", "kombu", "redis", "hiredis", "httpx", "pydantic", "kili", "celery-batches")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Races:
    """The results under one condition, in the order in which they were run."""

    latency: float
    predictions: int
    results: list[Result] = field(default_factory=list)


@dataclass(slots=True)
class Measured:
    """Everything that one run of the bench found."""

    plan: str
    about: dict[str, Any]
    races: list[Races] = field(default_factory=list)
    minute: list[Minute] = field(default_factory=list)
    arriving: list[Arriving] = field(default_factory=list)
    doors: list[Door] = field(default_factory=list)
    producers: list[Door] = field(default_factory=list)
    sources: list[SourceCost] = field(default_factory=list)
    growth: list[Level] = field(default_factory=list)
    light: LightLoad | None = None
    backlog: UnderBacklog | None = None
    fleets: list[Fleet] = field(default_factory=list)
    micro: list[Micro] = field(default_factory=list)


def run(plan: Plan, say: Say, only: Collection[str] = ()) -> Measured:
    """Measure everything that the plan names, or some sections of it; takes minutes.

    Raises:
        WrongState: a competitor left something in Kili that should not be there.
        TimeoutError: somebody did not come to an end.
        ChildFailed: a competitor's process ended.
    """
    begun = time.monotonic()
    found = Measured(plan.name, _about())
    for name, section in SECTIONS.items():
        if only and name not in only:
            continue
        say(f"{time.monotonic() - begun:5.0f} s  {name}")
        section(plan, found, say)
    found.about["seconds"] = round(time.monotonic() - begun)
    found.about["load_after"] = round(os.getloadavg()[0], 2)
    return found


def _about() -> dict[str, Any]:
    with Ground() as ground:
        server = ground.redis.info("server")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_version()} ({_build()})",
        "redis": server.get("valkey_version") or server["redis_version"],
        "load_before": round(os.getloadavg()[0], 2),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "settings": {name: value for name, value in sorted(os.environ.items()) if name.startswith("WORKER_")},
    }


def _build() -> str:
    """How the interpreter was compiled: a profile-guided build takes less time for the same work."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return "profile-guided build" if "--enable-optimizations" in options else "build without profile"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _races(plan: Plan, found: Measured, say: Say) -> None:
    for cell in plan.races:
        say(f"         {cell.predictions:,} predictions, {1000 * cell.latency:g} ms")
        found.races.append(Races(cell.latency, cell.predictions, _race_in_turn(cell, say)))


def _race_in_turn(cell: Cell, say: Say) -> list[Result]:
    """One round after the other, so that a busy moment of the machine meets everybody."""
    results: list[Result] = []
    for number in range(max(cell.repetitions.values())):
        with Ground(latency=cell.latency) as ground:
            for competitor in COMPETITORS:
                if competitor.is_here and number < cell.repetitions.get(competitor.name, 0):
                    results.append(race(competitor, ground, cell.predictions, cell.seconds))
                    say(f"           {_line(results[-1])}")
    return results


def _line(result: Result) -> str:
    stopped = "" if result.is_whole else ", stopped"
    return f"{result.competitor:<14}{result.finished:>8,} in {result.seconds:7.2f} s{stopped}"


def _minute(plan: Plan, found: Measured, _: Say) -> None:
    if plan.minute_seconds:
        here = [one.name for one in COMPETITORS if one.is_here and one.name in plan.minute_competitors]
        found.minute = measure_minute(here, calls_per_minute=plan.calls_per_minute, seconds=plan.minute_seconds)


def _arriving(plan: Plan, found: Measured, _: Say) -> None:
    found.arriving = measure_arriving(plan.arriving_batches, with_sdk=SDK_BEST.is_here)


def _doors(plan: Plan, found: Measured, _: Say) -> None:
    with Ground() as ground:
        for _round in range(plan.door_repetitions):
            found.doors += measure_doors(ground, plan.door_messages, plan.door_singles)
            found.producers += measure_producers(ground, plan.producer_messages)


def _sources(plan: Plan, found: Measured, say: Say) -> None:
    with Ground() as ground:
        found.sources = measure_sources(ground, plan.source_messages)
    for one in found.sources:
        if one.absent:
            say(f"         {one.name} is left out: {one.absent}")


def _growth(plan: Plan, found: Measured, _: Say) -> None:
    found.growth = measure_growth(plan.levels, plan.level_sample)


def _light(plan: Plan, found: Measured, _: Say) -> None:
    found.light = light_load(latency=plan.latency, per_second=plan.light_per_second, seconds=plan.light_seconds)


def _backlog(plan: Plan, found: Measured, _: Say) -> None:
    found.backlog = under_backlog(
        latency=plan.latency,
        calls_per_minute=plan.calls_per_minute,
        backlog=plan.backlog,
        seconds=plan.backlog_seconds,
        every=plan.backlog_every,
    )


def _fleets(plan: Plan, found: Measured, _: Say) -> None:
    found.fleets = measure_fleet(
        plan.fleets, latency=plan.latency, calls_per_minute=plan.calls_per_minute, seconds=plan.fleet_seconds
    )


def _micro(plan: Plan, found: Measured, _: Say) -> None:
    found.micro = measure_micro(plan.micro_repetitions)


#: races: to the same state; minute: under the call limit; arriving: a batch at a time; doors: doors and producers;
#: sources: HTTP, Kafka, RabbitMQ, SQS; growth: growing backlog; light: light load; backlog: doubtful under a backlog;
#: fleets: on one budget; micro: one prediction in the processor.
Section = Callable[[Plan, Measured, Say], None]
SECTIONS: dict[str, Section] = {
    "races": _races,
    "minute": _minute,
    "arriving": _arriving,
    "doors": _doors,
    "sources": _sources,
    "growth": _growth,
    "light": _light,
    "backlog": _backlog,
    "fleets": _fleets,
    "micro": _micro,
}
