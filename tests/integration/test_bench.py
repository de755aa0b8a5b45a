"""The benchmark in small: everyone reaches the same state, what is wrong does not count, and the report says it all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.speed import report
from benchmarks.speed.extrapolation import seconds_for
from benchmarks.speed.figures import Figures
from benchmarks.speed.plan import QUICK, Cell
from benchmarks.speed.predictions import MODEL, PRIORITY, Work, WrongState, finished
from benchmarks.speed.race import Result
from benchmarks.speed.suite import Measured, Races, run
from benchmarks.speed.targets import Verdict, verdicts

COUNT = 60
SMALL = replace(
    QUICK,
    races=(Cell(0.01, COUNT, 30.0, {"us": 1, "floor": 1, "sdk-best": 1}),),
    headline=(0.01, COUNT),
    sizes=(COUNT, 10 * COUNT),
    levels=(100, 200),
    level_sample=100,
    micro_repetitions=5,
)
ABOUT = {"processors": 2, "machine": "m", "python": "3", "redis": "7", "packages": {}, "settings": {}, "load_before": 0}


@pytest.fixture(scope="module")
def small() -> Figures:
    """A run of the sections that every other one is built from."""
    said: list[str] = []
    found = run(SMALL, said.append, ("races", "growth", "micro"))
    assert any("races" in line for line in said)
    return Figures(found, SMALL)


@pytest.mark.slow
def test_every_competitor_brings_all_predictions_to_the_same_state(small: Figures) -> None:
    (races,) = small.found.races
    assert [result.competitor for result in races.results] == ["sdk-best", "us", "floor"]
    assert all(result.is_whole for result in races.results)
    assert all(result.seconds > 0 and result.cpu >= 0 for result in races.results)


@pytest.mark.slow
def test_calls_are_counted_by_kili(small: Figures) -> None:
    calls = {result.competitor: result.calls - result.project_reads for result in small.found.races[0].results}
    assert calls == {"floor": 3, "us": 4, "sdk-best": 4}


@pytest.mark.slow
def test_costs_are_told_for_every_backlog(small: Figures) -> None:
    assert [level.backlog for level in small.found.growth] == [100, 200]
    assert all(level.delivery_us > 0 and level.redis_bytes > 200 for level in small.found.growth)


@pytest.mark.slow
def test_the_report_holds_every_competitor_and_every_target(small: Figures, tmp_path: Path) -> None:
    written = {path.name: path.read_text("utf-8") for path in report.write(small, tmp_path)}
    assert set(written) == {"results.json", "results.md", "competitors.svg"}
    content = json.loads(written["results.json"])
    assert [race["predictions"] for race in content["races"]] == [COUNT]
    assert {target["what"] for target in content["targets"]} == {verdict.what for verdict in verdicts(small)}
    assert ElementTree.fromstring(written["competitors.svg"]).tag.endswith("svg")
    for text in (report.text(small), written["results.md"]):
        assert "this worker" in text
        assert "bare loop" in text
        assert "not measured in this run" in text


def test_a_stopped_run_is_extrapolated_and_the_table_says_so() -> None:
    us = Result("us", 1000, 1000, 2.0, 0.1, 24, 1)
    sdk = Result("sdk-best", 1000, 500, 10.0, 0.1, 12, 1)
    figures = _figures(us, sdk)
    found = figures.seconds("sdk-best", 0.1, 1000)
    assert found is not None
    assert (found[0].median, found[1]) == (20.0, False)
    assert figures.ratio("sdk-best") == 10.0
    assert "≈ 20.0" in report.text(figures)


def test_the_sdk_spends_its_calls_of_a_minute_at_once_and_we_spend_them_evenly() -> None:
    sdk = Result("sdk-best", 10_000, 10_000, 24.0, 0.1, 240, 1)
    assert seconds_for(sdk, 10_000) == 24.0
    assert seconds_for(sdk, 50_000) == 60 * 2 + 20.0
    assert seconds_for(replace(sdk, seconds=240.0), 50_000) == 1200.0, "slower than its limit"
    assert seconds_for(Result("us", 10_000, 10_000, 4.0, 0.1, 250, 1), 20_000, calls_per_minute=500) == 60.0


def test_a_target_that_is_missed_says_by_how_much() -> None:
    figures = _figures(Result("us", 1000, 1000, 2.0, 0.3, 30, 1), Result("sdk-best", 1000, 1000, 10.0, 0.1, 24, 1))
    calls = _verdict(figures, "calls per 1,000")
    assert (calls.value, calls.is_met) == (29.0, False)
    assert calls.remark.startswith("by 26%")
    assert _verdict(figures, "SDK in bulk at its best").is_met is False
    assert _verdict(figures, "us ÷ floor").is_met is None


@pytest.mark.parametrize(
    "changes",
    [
        {"externalId": "nobody/sent.jpg"},
        {"content": "https://example.com/another.jpg"},
        {"priority": 7},
        {"labels": []},
        {"labels": [{"labelType": "INFERENCE", "modelName": MODEL, "jsonResponse": '{"COLOUR": {"categories": []}}'}]},
    ],
)
def test_what_is_wrong_in_kili_does_not_count(changes: Mapping[str, Any]) -> None:
    work = Work(2, start=1)
    items = [_item(made) for made in work]
    assert finished(items, work) == 2
    items[1] |= changes
    if changes == {"labels": []}:
        assert finished(items, work) == 1
    else:
        with pytest.raises(WrongState):
            finished(items, work)


def test_a_doubtful_prediction_is_finished_with_its_priority_and_an_asset_is_there_once() -> None:
    work = Work(1)
    (item,) = [_item(made) for made in work]
    assert finished([item], work) == 0
    assert finished([item | {"priority": PRIORITY}], work) == 1
    with pytest.raises(WrongState, match="twice"):
        finished([item, item], work)


def _item(made: Any) -> dict[str, Any]:
    response = json.dumps(made.json_response())
    label = {"labelType": "INFERENCE", "modelName": MODEL, "jsonResponse": response}
    return {"externalId": made.external_id, "content": made.url, "priority": 0, "labels": [label]}


def _figures(*results: Result) -> Figures:
    found = Measured("test", ABOUT, races=[Races(0.1, 1000, list(results))])
    return Figures(found, replace(QUICK, headline=(0.1, 1000), sizes=(1000,)))


def _verdict(figures: Figures, what: str) -> Verdict:
    return next(one for one in verdicts(figures) if one.what.startswith(what))
