"""The simulation of months: a short one in a process of its own, and what its judge and its people do."""

from __future__ import annotations

import json
import logging
import random
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import fakeredis
import pytest

from tests.simulation.actors import make_project
from tests.simulation.drifts import FOUND_DAYS, DriftJudge, Told, most_misses
from tests.simulation.judge import Judge, Published
from tests.simulation.models import DAY, Change, Model, truth_of
from tests.simulation.months import months_of
from tests.simulation.operators import Act
from tests.simulation.reviewers import SUBMIT, Reviewers
from tests.simulation.run import simulate
from tests.simulation.servers import SimulatedKili
from tests.simulation.test_simulation import run
from tests.simulation.world import BEGIN, Violation, World

ADD = """
mutation ($data: AppendManyAssetsData!, $where: ProjectWhere!) {
  data: appendManyAssets(data: $data, where: $where) { id }
}
"""
DRIFTING = Model(0, "m", "1", 500.0, changes=(Change(20.0, 0.3), Change(50.0, 0.3)))
STEADY = Model(0, "steady", "1", 500.0)
RED = {"COLOUR": {"categories": [{"name": "RED"}]}}
FIRST, SECOND = Told("accuracy_fell/m:1/1", "p", 25.0), Told("accuracy_fell/m:1/2", "p", 55.0)


def test_a_short_time_with_everybody_is_replayed_byte_for_byte(tmp_path: Path) -> None:
    traces = []
    for number in range(2):
        trace = tmp_path / str(number)
        found = run("--seeds", "1", "--days", "0.05", "--messages", "2000", "--months", "--trace", str(trace))
        assert found.returncode == 0, found.stdout + found.stderr
        assert "seed 1: ok" in found.stdout
        traces.append(trace.read_bytes())
    assert traces[0] == traces[1]
    assert b"kili labels" in traces[0]  # the feedback has read them


def test_a_policy_file_that_is_refused_leaves_the_same_trace_each_time() -> None:
    plan = replace(months_of(1, 0.02, 2000.0), acts=(Act("broken policy", 0.005),))
    traces = [StringIO(), StringIO()]
    for trace in traces:
        simulate(plan, trace)
    assert " policy_refused " in traces[0].getvalue()
    assert traces[0].getvalue() == traces[1].getvalue()


def judge(*told: Told, models: tuple[Model, ...] = (DRIFTING, STEADY), days: float = 90.0) -> DriftJudge:
    """A judge that has heard of some alarms."""
    store = MagicMock(plain=fakeredis.FakeRedis())
    return DriftJudge(World(1), store, MagicMock(), ["p"], models, days, told=list(told))


def test_drifts_that_are_told_once_and_in_time_are_well() -> None:
    judge(FIRST, SECOND).final()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([FIRST], "day 50.0 was told 0 times"),
        ([FIRST, SECOND, Told("accuracy_fell/m:1/3", "p", 60.0)], "day 50.0 was told 2 times"),
        ([Told("accuracy_fell/m:1/1", "p", 20.5 + FOUND_DAYS), SECOND], "day 20.0 was told 0 times"),
        ([FIRST, SECOND, Told("scores_changed/steady:1/1", "p", 30.0)], "false alarms of steady:1"),
        ([FIRST, SECOND, Told("worse_than_confidence/m:1/1", "p", 12.0)], "false alarms of m:1"),
    ],
)
def test_the_judge_finds_what_is_told_wrongly(told: list[Told], words: str) -> None:
    with pytest.raises(Violation, match=words):
        judge(*told).final()


def test_drifts_near_the_end_need_not_be_told_yet() -> None:
    judge(FIRST, days=50.0 + FOUND_DAYS - 1).final()


def test_with_thin_traffic_a_drift_may_take_longer() -> None:
    thin = Model(0, "m", "1", 160.0, changes=(Change(20.0, 0.3),))
    late = Told("accuracy_fell/m:1/1", "p", 19.0 + 3 * FOUND_DAYS)
    judge(late, models=(thin,)).final()
    with pytest.raises(Violation, match="was told 0 times"):
        judge(models=(thin,)).final()
    with pytest.raises(Violation, match="was told 0 times"):
        judge(late, models=(replace(thin, daily=480.0),)).final()


def test_plans_of_thin_traffic_have_few_models_and_no_more_drifts_than_can_be_found() -> None:
    for seed in range(20):
        plan = months_of(seed, 120.0, 300.0)
        assert 3 <= len(plan.models) <= 4
        drifting = plan.models[0]
        assert 1 <= len(drifting.drifts) <= 3
        assert max(drifting.drifts) < 120.0
        assert sum(one.daily for one in plan.models if one.end > 120) <= 300.0


def test_twins_are_found_whether_both_are_new_or_one_of_them() -> None:
    world = World(1)
    kili = SimulatedKili(world, 1, calls_per_minute=100)
    store = MagicMock(plain=fakeredis.FakeRedis())
    one = Judge(world, store, kili, Published())
    project = make_project(kili, "p")

    def create(*names: str) -> list[str]:
        data = {"externalIDArray": list(names), "contentArray": ["https://example.com/a.jpg"] * len(names)}
        return [row["id"] for row in kili.graphql(ADD, {"data": data, "where": {"id": project}})["data"]]

    first = create("a", "b")
    one._no_twins()
    create("c")
    one._no_twins()
    create("a")
    with pytest.raises(Violation, match="twice in Kili"):
        one._no_twins()
    one._no_twins()  # it was told

    rows = [{"assetID": first[1], "modelName": "m:1", "jsonResponse": json.dumps(RED)}]
    for count in (1, 2):
        data = {"labelType": "INFERENCE", "labelsData": rows}
        kili.graphql(SUBMIT, {"where": {"project": {"id": project}}, "data": data})
        if count == 2:
            with pytest.raises(Violation, match="m:1"):
                one._no_twins()
        else:
            one._no_twins()


def alarm(name: str) -> logging.LogRecord:
    """What the worker logs of an alarm."""
    values: dict[str, Any] = {"name": "worker", "levelno": logging.WARNING, "msg": "drift"}
    return logging.makeLogRecord({**values, "action": "drift_alarm", "id": name, "project": "p"})


def test_the_judge_finds_an_alarm_that_is_told_again() -> None:
    one = judge()
    one.emit(alarm("accuracy_fell/m:1/1"))
    assert one.problem == ""
    one.emit(alarm("accuracy_fell/m:1/1"))
    assert "told twice although nothing went wrong" in one.problem
    assert len(one.told) == 1


def test_an_alarm_may_be_told_again_when_a_worker_may_have_died_before_it_was_noted_but_not_after() -> None:
    one = judge()
    one.disturbed = lambda _: True
    one.emit(alarm("accuracy_fell/m:1/1"))
    one.emit(alarm("accuracy_fell/m:1/1"))
    assert one.problem == ""
    one.store.plain.hset("pw:feedback:p:told", "accuracy_fell/m:1/1", 1)
    one.emit(alarm("accuracy_fell/m:1/1"))
    assert "was noted as told" in one.problem


def test_intervals_may_miss_as_often_as_they_say_and_no_oftener() -> None:
    one = judge(models=())
    one.judged = 40
    one.misses = ["miss"] * most_misses(40, 0.07)
    one.final()
    one.misses.append("one more")
    with pytest.raises(Violation, match="of 40 intervals miss the truth"):
        one.final()
    assert most_misses(40, 0.07) in range(8, 14)


@pytest.mark.parametrize(
    ("day", "hour", "nights", "works"),
    [(0, 10, False, True), (0, 3, False, False), (0, 3, True, True), (5, 10, False, False), (7, 10, False, False)],
)
def test_people_work_by_day_and_on_working_days(day: int, hour: int, nights: bool, works: bool) -> None:
    world = World(1)
    monday = next(n for n in range(int(BEGIN // DAY), int(BEGIN // DAY) + 7) if (n + 3) % 7 == 0)
    crew = Reviewers(world, MagicMock(), "p", random.Random(1), 10, frozenset({monday + 7}), nights)
    world.now = (monday + day) * DAY + hour * 3600.0
    assert bool(crew.share()) == works


def test_a_plan_follows_from_its_seed_and_can_be_made_smaller() -> None:
    plan = months_of(3, 90.0, 2000.0)
    assert plan == months_of(3, 90.0, 2000.0)
    assert plan != months_of(4, 90.0, 2000.0)
    assert len(plan.models[0].drifts) == 3
    assert all(plan.without(part).parts() == plan.parts() - 1 for part in (0, len(plan.episodes), plan.parts() - 1))


def test_a_model_becomes_worse_on_its_days_and_the_truth_stays() -> None:
    assert [DRIFTING.level(day) for day in (19.9, 20.0, 50.0)] == [0.0, 0.3, 0.6]
    assert truth_of("a.jpg") == truth_of("a.jpg")
    assert len({truth_of(f"{number}.jpg") for number in range(50)}) == 4
