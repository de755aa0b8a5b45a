"""How many errors a human would find in an output."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.unit.review.review_subjects import choice
from worker.contract.output import (
    Classification,
    ClassScore,
    DetectedObject,
    Detection,
    Entities,
    Entity,
    Frame,
    Frames,
    KiliResponse,
    ModelOutput,
    Shape,
    Transcription,
)
from worker.review.expected_errors import EMPTY, UNSCORED, read_errors

BOX = Shape("rectangle", (((0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0)),))


def boxes(*scores: float | None, labels: str = "CAR") -> Detection:
    return Detection(tuple(DetectedObject(f"{labels}{i}", BOX, score) for i, score in enumerate(scores)))


def entities(*scores: float | None) -> Entities:
    return Entities(tuple(Entity(f"E{i}", i, i + 1, "x", score) for i, score in enumerate(scores)))


def classes(*scores: float | None, exclusive: bool | None = None) -> Classification:
    return Classification(tuple(ClassScore(label, one) for label, one in zip("ABCD", scores, strict=False)), exclusive)


def test_a_single_choice_is_wrong_as_often_as_the_other_classes_together_are_right() -> None:
    found = read_errors(choice(0.7, 0.2, 0.1))

    assert found.expected_errors == pytest.approx(0.3)
    assert (found.predicted, found.runner_up, found.margin) == ("A", "B", pytest.approx(0.5))
    assert found.evidence == "whole distribution"


def test_doubt_below_the_rounding_of_one_is_kept_when_the_distribution_is_whole() -> None:
    sure, surer = (read_errors(choice(1.0, p)).position for p in (3e-9, 3e-10))

    assert surer is not None
    assert sure is not None
    assert surer < sure


def test_the_best_scores_alone_give_one_minus_the_best() -> None:
    found = read_errors(ModelOutput(classes(0.6, 0.1, exclusive=True)))

    assert found.expected_errors == pytest.approx(0.4)
    assert found.evidence == "best scores"


@pytest.mark.parametrize("exclusive", [False, None])
def test_several_choices_add_the_doubt_of_every_yes_and_every_no(exclusive: bool | None) -> None:
    found = read_errors(ModelOutput(classes(0.9, 0.8, 0.3, exclusive=exclusive)))

    assert found.expected_errors == pytest.approx(0.1 + 0.2 + 0.3)
    assert found.predicted == "C"
    assert [label for label, _ in found.elements] == ["A", "B"]


@pytest.mark.parametrize(
    ("answer", "evidence", "errors", "told"),
    [
        (boxes(0.9, 0.6), {}, 0.1 + 0.4, "objects"),
        (boxes(0.9, 0.6), {"candidate_scores": [0.4, 0.3]}, 0.5 + 0.7, "objects and candidates"),
        (boxes(), {"candidate_scores": [0.4]}, 0.4, "objects and candidates"),
        (boxes(0.9), {"pixel_doubt": 0.25}, 0.25, "pixels"),
        (entities(0.9, 0.7), {}, 0.4, "entities"),
        (entities(0.9), {"token_scores": [0.9, 0.8, 0.5]}, 0.8, "tokens"),
        (Transcription("ab", token_logprobs=(-0.1, -0.3)), {}, 0.4, "token logprobs"),
        (Transcription("ab", score=0.5), {}, math.log(2), "score"),
        (
            KiliResponse(
                {
                    "JOB": {"categories": [{"name": "A", "confidence": 80}]},
                    "BOXES": {"annotations": [{"categories": [{"name": "B", "confidence": 70}], "children": {}}]},
                }
            ),
            {},
            0.5,
            "confidences in the response",
        ),
        (
            Frames((Frame(0, boxes(0.9)), Frame(1, boxes(0.2), key=False), Frame(2, boxes(0.7)))),
            {},
            0.4,
            "frames of objects",
        ),
    ],
)
def test_units_add_up(answer: Any, evidence: dict[str, Any], errors: float, told: str) -> None:
    found = read_errors(ModelOutput(answer, evidence=evidence))

    assert found.expected_errors == pytest.approx(errors)
    assert found.evidence == told


def test_the_most_doubtful_unit_names_the_class() -> None:
    found = read_errors(ModelOutput(boxes(0.9, 0.5, 0.7)))

    assert (found.predicted, found.runner_up) == ("CAR1", "CAR2")


def test_an_empty_prediction_is_a_stratum_without_a_score() -> None:
    found = read_errors(ModelOutput(boxes()))

    assert found.expected_errors is None
    assert found.predicted == EMPTY
    assert found.empty


@pytest.mark.parametrize("answer", [boxes(None), entities(None), Transcription("ab"), classes(None, exclusive=False)])
def test_an_output_without_scores_is_a_stratum_too(answer: Any) -> None:
    found = read_errors(ModelOutput(answer))

    assert found.expected_errors is None
    assert found.predicted == UNSCORED
    assert found.position is None


def test_a_stated_confidence_wins() -> None:
    found = read_errors(choice(0.6, 0.4), stated=0.9)

    assert found.expected_errors == pytest.approx(0.1)
    assert (found.predicted, found.evidence) == ("A", "stated confidence")


def test_more_doubt_lies_higher_on_the_scale() -> None:
    positions = [read_errors(choice(1 - doubt, doubt)).position for doubt in (1e-9, 1e-4, 0.1, 0.4)]

    assert positions == sorted(positions, key=lambda one: one or 0.0)


def test_the_parts_of_one_object_are_doubted_once() -> None:
    def part(mid: str) -> dict[str, Any]:
        return {"categories": [{"name": "LAKE", "confidence": 80}], "mid": mid}

    response = {"LAND": {"annotations": [part("a"), part("a"), part("b"), part("a")]}}

    found = read_errors(ModelOutput(KiliResponse(response)))

    assert found.expected_errors == pytest.approx(0.4)
