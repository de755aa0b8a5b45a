"""Agreement of two answers under the two published rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.sandbox.agreement import mark
from worker.sandbox.interface import read_interface

JOBS = read_interface(
    json.dumps(
        {
            "jobs": {
                "ONE": {
                    "mlTask": "CLASSIFICATION",
                    "content": {"categories": {"A": {}, "B": {}, "C": {}, "D": {}}},
                },
                "TWO": {"mlTask": "CLASSIFICATION", "content": {"categories": {"A": {}, "B": {}}}},
                "BOXES": {"mlTask": "OBJECT_DETECTION", "content": {"categories": {"A": {}, "B": {}}}},
                "WORDS": {
                    "mlTask": "NAMED_ENTITIES_RECOGNITION",
                    "content": {"categories": {"A": {}, "B": {}}},
                },
                "TEXT": {"mlTask": "TRANSCRIPTION"},
                "CHILD": {
                    "mlTask": "CLASSIFICATION",
                    "isChild": True,
                    "content": {"categories": {"X": {}, "Y": {}}},
                },
            }
        }
    )
)


def agree(human: dict[str, Any], model: dict[str, Any]) -> float:
    """J of two answers."""
    return mark(json.dumps(human), json.dumps(model), JOBS, "documented")


def chosen(*names: str, job: str = "ONE") -> dict[str, Any]:
    return {job: {"categories": [{"name": name} for name in names]}}


def box(name: str, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    corners = [(left, top), (left, bottom), (right, bottom), (right, top)]
    vertices = [{"x": x, "y": y} for x, y in corners]
    return {"categories": [{"name": name}], "boundingPoly": [{"normalizedVertices": vertices}]}


def boxes(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {"BOXES": {"annotations": list(annotations)}}


@pytest.mark.parametrize(
    ("human", "model", "expected"),
    [
        (chosen("A"), chosen("A"), 1.0),
        (chosen("A"), chosen("B"), 0.0),
        (chosen("A"), chosen("B", "A"), 0.5),
        (chosen("A", "B"), chosen("B", "C"), 1 / 3),
        (chosen(), chosen(), 1.0),
        (chosen("A"), {}, 0.0),
        ({}, {}, 1.0),
        # Two jobs of one annotation each weigh the same.
        ({**chosen("A"), **chosen("B", job="TWO")}, {**chosen("A"), **chosen("A", job="TWO")}, 0.5),
        ({"TEXT": {"text": "abcd"}}, {"TEXT": {"text": "abcx"}}, 0.75),
        ({"UNKNOWN": {}}, {}, 1.0),
    ],
)
def test_overlap_of_choices_and_texts(human: dict[str, Any], model: dict[str, Any], expected: float) -> None:
    assert agree(human, model) == pytest.approx(expected)


@pytest.mark.parametrize(("model", "expected"), [("A", 1.0), ("B", 0.5)])
def test_the_tutorial_counts_half_a_vote_for_a_wrong_class(model: str, expected: float) -> None:
    assert mark(json.dumps(chosen("A")), json.dumps(chosen(model)), JOBS, "tutorial") == expected


def test_boxes_of_one_class_are_matched_by_their_overlap() -> None:
    # Half of each box overlaps: IoU 0.5 / 1.5.
    assert agree(boxes(box("A", 0, 0, 0.2, 0.2)), boxes(box("A", 0.1, 0, 0.3, 0.2))) == pytest.approx(1 / 3)


def test_boxes_of_another_class_do_not_match() -> None:
    assert agree(boxes(box("A", 0, 0, 1, 1)), boxes(box("B", 0, 0, 1, 1))) == 0


def test_unmatched_boxes_count_against_the_overlap() -> None:
    two = boxes(box("A", 0, 0, 0.2, 0.2), box("A", 0.5, 0.5, 0.7, 0.7))
    assert agree(two, boxes(box("A", 0, 0, 0.2, 0.2))) == pytest.approx(0.5)
    assert agree(two, two) == pytest.approx(1)


def test_each_box_is_matched_once() -> None:
    twice = boxes(box("A", 0, 0, 0.2, 0.2), box("A", 0, 0, 0.2, 0.2))
    assert agree(boxes(box("A", 0, 0, 0.2, 0.2)), twice) == pytest.approx(0.5)


def test_points_agree_when_they_are_close() -> None:
    def point(x: float) -> dict[str, Any]:
        return boxes({"categories": [{"name": "A"}], "point": {"x": x, "y": 0.5}})

    assert agree(point(0.5), point(0.5)) == pytest.approx(1)
    assert 0 < agree(point(0.5), point(0.505)) < 1
    assert agree(point(0.5), point(0.6)) == 0


def test_entities_agree_on_class_and_place() -> None:
    def words(*spans: tuple[str, int, str]) -> dict[str, Any]:
        return {
            "WORDS": {
                "annotations": [
                    {"categories": [{"name": name}], "beginOffset": begin, "content": content}
                    for name, begin, content in spans
                ]
            }
        }

    assert agree(words(("A", 0, "ab"), ("B", 5, "cd")), words(("A", 0, "ab"), ("A", 5, "cd"))) == pytest.approx(1 / 3)


def test_a_wrong_child_spoils_its_parent() -> None:
    def nested(child: str) -> dict[str, Any]:
        return {"ONE": {"categories": [{"name": "A", "children": chosen(child, job="CHILD")}]}}

    assert agree(nested("X"), nested("X")) == 1
    assert agree(nested("X"), nested("Y")) == 0


def test_a_child_may_hang_on_the_job_as_well() -> None:
    inside = {"ONE": {"categories": [{"name": "A", "children": chosen("X", job="CHILD")}]}}
    beside = {"ONE": {"categories": [{"name": "A"}], "children": chosen("X", job="CHILD")}}
    assert agree(inside, beside) == 1


def test_jobs_with_many_objects_weigh_more() -> None:
    human = {**chosen("A"), **boxes(*[box("A", n / 10, 0, n / 10 + 0.05, 0.1) for n in range(9)])}
    model = {**human, **chosen("B")}
    assert agree(human, model) == pytest.approx(0.9)


def test_videos_are_compared_frame_by_frame() -> None:
    human = {str(frame): chosen("A") for frame in range(4)}
    model = {**human, "3": chosen("B")}
    assert agree(human, model) == pytest.approx(0.75)
