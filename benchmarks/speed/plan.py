"""How much is measured: the whole bench, the quick one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    """Races under one condition: who runs how often, each stopped after ``seconds``."""

    latency: float
    predictions: int
    seconds: float
    repetitions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of every section; seconds are those of measuring, without starting and filling."""

    name: str
    races: tuple[Cell, ...]
    headline: tuple[float, int] = (0.1, 10_000)
    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    calls_per_minute: int = 500
    latency: float = 0.1
    minute_seconds: float = 60.0
    arriving_batches: int = 10
    door_messages: int = 30_000
    door_singles: int = 8_000
    door_repetitions: int = 3
    producer_messages: int = 4_000
    source_messages: int = 20_000
    levels: tuple[int, ...] = (1_000, 10_000, 100_000, 300_000)
    level_sample: int = 5_000
    light_per_second: float = 10.0
    light_seconds: float = 15.0
    backlog: int = 50_000
    backlog_seconds: float = 24.0
    backlog_every: float = 0.4
    fleets: tuple[int, ...] = (1, 2, 4)
    fleet_seconds: float = 15.0
    micro_repetitions: int = 2_000
    minute_competitors: tuple[str, ...] = ("us", "us-one-document", "sdk-best", "sdk-tutorial")


def _all(us: int, bulk: int = 1, tasks: int = 1) -> dict[str, int]:
    return {
        "us": us,
        "us-one-document": bulk,
        "floor": us,
        "sdk-best": bulk,
        "sdk-tutorial": bulk,
        "sdk-batches": tasks,
        "sdk-one": tasks,
    }


WHOLE = Plan(
    "whole",
    races=(
        Cell(0.1, 10_000, 10.0, _all(3)),
        Cell(0.0, 10_000, 6.0, _all(3)),
        Cell(0.4, 10_000, 25.0, {"us": 1, "floor": 1}),
        Cell(0.4, 10_000, 6.0, {"sdk-best": 1, "sdk-tutorial": 1, "sdk-batches": 1, "sdk-one": 1}),
        Cell(0.0, 1_000, 10.0, {"us": 1, "floor": 1}),
        Cell(0.1, 1_000, 10.0, {"us": 1, "floor": 1}),
        Cell(0.4, 1_000, 10.0, {"us": 1, "floor": 1}),
        Cell(0.1, 100_000, 70.0, {"us": 1, "floor": 1}),
    ),
)

QUICK = Plan(
    "quick",
    races=(
        Cell(0.1, 10_000, 12.0, {"us": 1, "floor": 1}),
        Cell(0.1, 1_000, 4.0, {"us": 1, "floor": 1, "sdk-best": 1, "sdk-tutorial": 1, "sdk-one": 1}),
    ),
    sizes=(1_000, 10_000),
    minute_seconds=0.0,
    arriving_batches=3,
    door_messages=8_000,
    door_singles=2_000,
    door_repetitions=1,
    producer_messages=1_000,
    source_messages=4_000,
    levels=(1_000, 10_000),
    level_sample=3_000,
    light_seconds=5.0,
    backlog=5_000,
    backlog_seconds=8.0,
    fleets=(2,),
    fleet_seconds=6.0,
    micro_repetitions=300,
)
