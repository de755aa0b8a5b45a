"""Faults that were mended once are found when their mending is taken back, and nothing is found with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.actors import Episode
from tests.simulation.run import Plan, plan_of, simulate
from tests.simulation.world import BEGIN

OUTAGE_THEN_BAD_BUCKET = Plan(
    seed=5,
    days=0.03,
    workers=2,
    producers=((2, "m0", "1", 0.05),),
    episodes=(
        Episode("521", BEGIN, 1500.0),
        Episode("503", BEGIN + 1500, 900.0, chance=0.4, operation="upload"),
    ),
    kinds=(),
    pauses=0.02,
)
"""Texts wait for 25 minutes; when Kili is back, uploads fail now and then."""

STANDS_STILL = Plan(
    seed=11,
    days=0.006,
    workers=2,
    producers=((0, "m0", "1", 1.0),),
    episodes=(),
    kinds=("freeze",),
    pauses=0.5,
    mean_between_harm=15.0,
)
"""Workers stand still in the midst of their waves for longer than a lock lasts, and others go on with newer answers."""

CALLS_COME_LATE = replace(STANDS_STILL, seed=8, workers=3, producers=((0, "m0", "1", 4.0),))
"""Three workers stand still, much is predicted anew: calls come after those of the next holder of the lock."""


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(replace(STANDS_STILL, seed=3), id="a retried call and an old look"),
        pytest.param(CALLS_COME_LATE, id="calls that come late"),
    ],
)
def test_what_workers_send_that_stood_still_does_not_outlast_what_is_newer(plan: Plan) -> None:
    assert simulate(plan).problem == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "plan", "words"),
    [
        pytest.param("upload", plan_of(6, 0.003, 40_000), "not delivered although nothing is in the way", id="upload"),
        pytest.param("grace", OUTAGE_THEN_BAD_BUCKET, "valid predictions became dead letters", id="grace"),
        pytest.param("lost-lease", STANDS_STILL, "2 not of the newest answer", id="lost-lease"),
        pytest.param("late-write", CALLS_COME_LATE, "2 not of the newest answer", id="late-write"),
        pytest.param(
            "old-look", replace(STANDS_STILL, seed=3), "1 priorities are not of the newest decision", id="old-look"
        ),
    ],
)
def test_what_was_mended_is_found_when_the_mending_is_taken_back(name: str, plan: Plan, words: str) -> None:
    assert simulate(plan).problem == ""
    assert words in simulate(replace(plan, reverted=name)).problem
