from __future__ import annotations

from typing import Any

import pytest
from broken_responses import BROKEN
from ontology_fixtures import a_box, an_object, annotation, choice, objects, parsed, project, scores
from task_shapes import SHAPES, chosen

from worker.ontology import confidence_of, to_json_response


def test_the_confidence_of_a_choice_is_its_categorys() -> None:
    response = to_json_response(scores(RED=0.7, BLUE=0.2), parsed(project(COLOR=choice("RED", "BLUE"))))
    assert confidence_of(response) == 0.7


def test_the_weakest_of_several_categories_counts() -> None:
    assert (
        confidence_of({"J": {"categories": [{"name": "A", "confidence": 90}, {"name": "B", "confidence": 55}]}}) == 0.55
    )


def test_the_weakest_object_counts() -> None:
    case = SHAPES["rectangle"]
    output = objects(an_object("TUG", score=0.9), an_object("FERRY", score=0.31))
    assert confidence_of(to_json_response(output, parsed(case.json_interface))) == 0.31


def test_an_objects_score_counts_beside_its_categorys_confidence() -> None:
    assert confidence_of({"J": {"annotations": [a_box("TUG", "m", score=12)]}}) == 0.12


def test_children_count_inside_and_beside_categories() -> None:
    weak = {"categories": [{"name": "Y", "confidence": 40}]}
    inside = {"A": {"categories": [{"name": "X", "confidence": 70, "children": {"B": weak}}]}}
    beside = {"A": chosen("X", children={"B": weak})}
    below_object = {"A": {"annotations": [annotation("X", "m", children={"B": weak})]}}
    assert [confidence_of(response) for response in (inside, beside, below_object)] == [0.4, 0.4, 0.4]


def test_every_frame_of_a_video_counts() -> None:
    frames = {str(index): {"J": {"categories": [{"name": "A", "confidence": 90 - index}]}} for index in range(3)}
    assert confidence_of(frames) == 0.88
    assert confidence_of(frames, parsed(project(J=choice("A")), "VIDEO")) == 0.88


@pytest.mark.parametrize(
    "response", [{}, {"J": {"text": "hi"}}, {"J": {"annotations": []}}, {"J": {"categories": [{"name": "A"}]}}]
)
def test_without_confidences_there_is_none(response: dict[str, object]) -> None:
    assert confidence_of(response) is None


def test_entries_that_are_no_jobs_do_not_count() -> None:
    response = {"COLOR": chosen("RED"), "ROTATION_JOB": {"score": 5, "categories": [{"confidence": 1}]}}
    assert confidence_of(response) == 1.0


def test_with_an_interface_only_its_jobs_count() -> None:
    response = {"COLOR": chosen("RED"), "GONE": {"categories": [{"name": "A", "confidence": 3}]}}
    assert confidence_of(response) == 0.03
    assert confidence_of(response, parsed(project(COLOR=choice("RED")))) == 1.0


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_broken_response_has_a_confidence_or_none(case: Any) -> None:
    for interface in (None, parsed(case.json_interface, case.input_type)):
        found = confidence_of(case.json_response, interface)
        assert found is None or 0.0 <= found <= 1.0


@pytest.mark.parametrize(
    "part",
    [
        *(None, True, 3, "categories", [], [[]], [3], {3: {}}, {"categories": 3}, {"categories": {"name": "A"}}),
        *({"categories": [None, ["A"], {"confidence": "high"}]}, {"children": [3]}, {"children": {"B": None}}),
        *({"annotations": {"0": {}}}, {"annotations": [{"points": "x"}]}, {"score": True}, {"score": 10**400}),
        *({"score": -1}, {"score": 101}, {"score": float("nan")}, {"confidence": float("inf")}),
    ],
    ids=repr,
)
def test_what_cannot_be_read_is_passed_over_and_the_rest_counts(part: Any) -> None:
    assert confidence_of(part) is None
    assert confidence_of({"J": part}) is None
    assert confidence_of({"0": {"J": part}, "assetLevel": part}) is None
    assert confidence_of({"J": part, "COLOR": {"categories": [{"name": "RED", "confidence": 60}, part]}}) == 0.6


def test_depth_is_no_obstacle() -> None:
    deep: dict[str, Any] = {"categories": [{"name": "A", "confidence": 30}]}
    for _ in range(5000):
        deep = {"children": {"J": deep}}
    assert confidence_of({"J": deep}) == 0.3
