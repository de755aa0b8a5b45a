from __future__ import annotations

import pytest
from kili_examples import EXAMPLES
from kili_own_shapes import KILIS_OWN, ON_THE_MAP
from ontology_fixtures import (
    a_box,
    a_job,
    both_ways,
    choice,
    detection,
    parsed,
    project,
    ships,
)
from task_shapes import SHAPES, UNREAD_BY_THE_SDK, Case, chosen

from worker.ontology import Agreement, agreement

VALID = {**SHAPES, **UNREAD_BY_THE_SDK, **EXAMPLES, **KILIS_OWN, **ON_THE_MAP}
NEARLY = pytest.approx
ONE = parsed(project(COLOR=choice("RED", "BLUE", "GREEN")))


@pytest.mark.parametrize("case", VALID.values(), ids=VALID.keys())
def test_every_response_agrees_with_itself(case: Case) -> None:
    result = agreement(case.json_response, case.json_response, case.interface)
    assert result.overall == 1.0
    assert set(result.jobs.values()) <= {1.0}
    assert result.jobs.keys() == result.weights.keys()


def test_jobs_weigh_as_much_as_they_have_annotations() -> None:
    interface = parsed(project(DAY=choice("YES", "NO"), SHIPS=detection("TUG", tools=["rectangle"])))
    found = [a_box("TUG", f"m{i}", 0.2 * i, 0.1, 0.2 * i + 0.1, 0.2) for i in range(3)]
    a, b = {"DAY": chosen("YES"), **ships(*found)}, {"DAY": chosen("NO"), **ships(*found)}
    result = both_ways(a, b, interface)
    assert result == Agreement(0.75, {"DAY": 0.0, "SHIPS": 1.0}, {"DAY": 1.0, "SHIPS": 3.0})


def test_a_video_agrees_by_the_mean_over_its_frames() -> None:
    interface = parsed(project(OPEN=choice("YES", "NO")), "VIDEO")
    a = {"0": {"OPEN": chosen("YES")}, "1": {"OPEN": chosen("YES")}, "2": {"OPEN": chosen("NO")}, "3": {}}
    b = {"0": {"OPEN": chosen("YES")}, "1": {"OPEN": chosen("NO")}, "3": {}}
    assert both_ways(a, b, interface).overall == NEARLY(1 / 3)


def test_answers_of_unknown_kinds_are_the_same_or_not_whatever_their_confidence() -> None:
    interface = parsed(project(PAGES=a_job("PAGE_LEVEL_CLASSIFICATION")))
    one = {"PAGES": {"pages": [{"categories": [{"name": "A", "confidence": 80}]}]}}
    sure = {"PAGES": {"pages": [{"categories": [{"name": "A", "confidence": 100}]}]}}
    other = {"PAGES": {"pages": [{"categories": [{"name": "B", "confidence": 80}]}]}}
    assert both_ways(one, sure, interface).overall == 1.0
    assert both_ways(one, other, interface).overall == 0.0


def test_jobs_that_the_project_no_longer_has_are_left_out() -> None:
    a = {"COLOR": chosen("RED"), "GONE": chosen("X"), "ROTATION_JOB": {"rotation": 90}}
    assert both_ways(a, {"COLOR": chosen("RED")}, ONE).jobs == {"COLOR": 1.0}
