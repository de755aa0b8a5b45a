"""Class scores become probabilities, or an error says why they cannot."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.formats import OutputError, ReadOptions, read_payload, read_scores


def scores_of(payload: Any, **options: Any) -> dict[str, float | None]:
    (output,) = read_payload(payload, ReadOptions(**options)).outputs
    return {score.label: score.score for score in output.answer.scores}


def rejection(payload: Any, **options: Any) -> OutputError:
    with pytest.raises(OutputError) as caught:
        read_payload(payload, ReadOptions(**options))
    return caught.value


def test_a_row_that_sums_to_more_than_one_is_refused() -> None:
    error = rejection([[0.9, 0.8]], classes=["a", "b"])
    assert (error.field, error.problem) == ("payload[0]", "probabilities over all classes sum to 1.7, not to 1")
    assert "exclusive: false" in error.fix


def test_a_row_that_sums_to_less_than_one_is_refused() -> None:
    assert "sum to 0.5" in rejection([[0.3, 0.2]], classes=["a", "b"]).problem


@pytest.mark.parametrize(("row", "fits"), [([0.9, 0.119], True), ([0.9, 0.121], False), ([0.9, 0.081], True)])
def test_the_sum_may_be_off_by_two_hundredths(row: list[float], fits: bool) -> None:
    if fits:
        assert scores_of([row], classes=["a", "b"]) == {"a": row[0], "b": row[1]}
    else:
        assert "sum to" in rejection([row], classes=["a", "b"]).problem


def test_labelled_scores_may_sum_to_less_but_not_to_more_than_one() -> None:
    assert scores_of([{"label": "a", "score": 0.4}, {"label": "b", "score": 0.2}]) == {"a": 0.4, "b": 0.2}
    error = rejection([{"label": "a", "score": 0.9}, {"label": "b", "score": 0.8}])
    assert "more than 1" in error.problem


def test_independent_classes_may_sum_to_anything() -> None:
    assert scores_of([[0.9, 0.8]], classes=["a", "b"], exclusive=False) == {"a": 0.9, "b": 0.8}


def test_a_value_out_of_range_suggests_logits() -> None:
    error = rejection([[2.5, -1.0]], classes=["a", "b"])
    assert error.field == "payload[0][0]"
    assert error.fix.startswith("set score_kind: logit")


def test_rounding_just_outside_the_range_is_clipped() -> None:
    assert scores_of([[1.0000001, -1e-9]], classes=["a", "b"]) == {"a": 1.0, "b": 0.0}


def test_softmax_holds_for_huge_logits() -> None:
    assert scores_of([[1e300, 0.0]], classes=["a", "b"], score_kind="logit") == {"a": 1.0, "b": 0.0}
    assert scores_of([[1000.0, 1000.0]], classes=["a", "b"], score_kind="logit") == {"a": 0.5, "b": 0.5}
    assert scores_of([[-1e300, 1e300]], classes=["a", "b"], score_kind="logit", exclusive=False) == {"a": 0, "b": 1}


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=8), st.floats(-20, 20))
def test_softmax_is_a_distribution_that_a_shift_does_not_change(logits: list[float], shift: float) -> None:
    names = [f"c{i}" for i in range(len(logits))]
    scores = scores_of([logits], classes=names, score_kind="logit")
    moved = scores_of([[z + shift for z in logits]], classes=names, score_kind="logit")
    assert math.isclose(sum(score or 0 for score in scores.values()), 1, abs_tol=1e-9)
    assert all(math.isclose(scores[name] or 0, moved[name] or 0, abs_tol=1e-9) for name in names)
    best = logits.index(max(logits))
    assert scores[names[best]] == max(score or 0 for score in scores.values())


def test_logits_of_some_classes_are_not_soft_maxed() -> None:
    row = [{"label": "a", "score": 3.0}, {"label": "b", "score": 1.0}]
    assert "set classes" in rejection(row, score_kind="logit").fix
    assert "2 of 3 classes" in rejection(row, score_kind="logit", classes=["a", "b", "c"]).problem
    assert scores_of(row, score_kind="logit", classes=["a", "b"])["a"] == pytest.approx(1 / (1 + math.exp(-2)))


def test_a_lone_logit_is_refused() -> None:
    item = [{"label": "cat", "score": 3.2, "box": {"xmin": 0, "ymin": 0, "xmax": 5, "ymax": 5}}]
    assert "lone logit" in rejection(item, score_kind="logit", image_size=(10, 10)).problem


def test_raw_scores_of_triton_that_look_like_probabilities_must_be_declared() -> None:
    payload = {"outputs": [{"name": "o", "shape": [1, 2], "datatype": "BYTES", "data": ["0.6:0:a", "0.2:1:b"]}]}
    assert "score_kind" in rejection(payload).fix
    assert scores_of(payload, score_kind="probability") == {"a": 0.6, "b": 0.2}


@pytest.mark.parametrize(
    ("payload", "options", "field", "problem"),
    [
        ({"predictions": [1]}, {}, "payload.predictions[0]", "class index 1 has no name"),
        ({"predictions": [7]}, {"classes": ["a"]}, "payload.predictions[0]", "classes has 1"),
        ({"predictions": [-1]}, {"classes": ["a"]}, "payload.predictions[0]", "class index -1 has no name"),
        ([[0.1, 0.9]], {}, "payload[0][0]", "class index 0 has no name"),
        ([[0.1, 0.9]], {"classes": ["a", "b", "c"]}, "payload[0]", "2 scores for 3 classes"),
        ([[0.1, 0.9]], {"classes": {"0": "a"}}, "payload[0][1]", "class index 1 has no name"),
        ({"predictions": [0.7]}, {"classes": ["a", "b"]}, "payload.predictions[0]", "class index or a probability"),
        ({"predictions": [[[0.1, 0.9]]]}, {"classes": ["a", "b"]}, "payload.predictions[0]", "one dimension too many"),
        ({"predictions": [True]}, {}, "payload.predictions[0]", "true is no prediction"),
        ({"predictions": [["a", "b"]]}, {}, "payload.predictions[0]", "2 labels for one item"),
        ({"predictions": [["a", "a"]]}, {"exclusive": False}, "payload.predictions[0][1]", "appears twice"),
        ({"predictions": [{"x": [1], "y": [2]}]}, {}, "payload.predictions[0]", "several outputs: x, y"),
        ([{"label": "a", "score": 0.2}, {"label": "a", "score": 0.1}], {}, "payload[1].score", "appears twice"),
        ([{"a": 0.5}, {"a": 0.4}], {}, "payload[1].a", "appears twice"),
        ({"outputs": {"s": [[1]], "t": []}}, {}, "payload.outputs", "different length"),
    ],
)
def test_a_row_that_cannot_be_read_names_its_field(
    payload: Any, options: dict[str, Any], field: str, problem: str
) -> None:
    error = rejection(payload, **options)
    assert error.field == field
    assert problem in error.problem


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda x: [[0.1, x]], "payload[0][1]"),
        (lambda x: {"predictions": [{"scores": [x], "classes": ["a"]}]}, "payload.predictions[0].scores[0]"),
        (lambda x: [{"label": "a", "score": x}], "payload[0].score"),
        (lambda x: {"a": x}, "payload.a"),
        (lambda x: {"data": {"ndarray": [[x, 0.1]]}}, "payload.data.ndarray[0][0]"),
        (lambda x: {"JOB": {"categories": [{"name": "A", "confidence": x}]}}, "payload.JOB.categories[0].confidence"),
    ],
)
def test_nan_and_infinity_are_refused_with_their_place(build: Any, field: str, bad: float) -> None:
    error = rejection(build(bad), classes=["a", "b"])
    assert error.field == field
    assert "not a finite number" in error.problem


def test_plain_scores_leave_the_choice_to_the_job() -> None:
    output = read_scores({"RED": 0.61, "BLACK": 0.3}, "COLOUR")
    assert output.job == "COLOUR"
    assert [(s.label, s.score) for s in output.answer.scores] == [("RED", 0.61), ("BLACK", 0.3)]
    assert (output.answer.exclusive, output.answer.complete) == (None, False)


def test_plain_scores_above_one_in_sum_are_independent_classes() -> None:
    assert read_scores({"A": 0.9, "B": 0.8}).answer.exclusive is False
    assert read_scores({"A": 0.9, "B": 0.1}).answer.complete is True


@pytest.mark.parametrize("scores", [{}, {"A": 1.2}, {"A": -0.5}, {"A": math.nan}, {"": 0.5}, {"A": "x"}, {"A": True}])
def test_plain_scores_that_are_no_probabilities_are_refused(scores: Any) -> None:
    with pytest.raises(OutputError) as caught:
        read_scores(scores)
    assert caught.value.field.startswith("scores")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"classes": "abc"}, "classes"),
        ({"classes": []}, "classes"),
        ({"classes": ["a", "a"]}, "classes"),
        ({"classes": ["a", ""]}, "classes"),
        ({"classes": {"0": 3}}, "classes"),
        ({"image_size": (0, 5)}, "image_size"),
        ({"image_size": (5,)}, "image_size"),
        ({"image_size": (5.0, 5)}, "image_size"),
        ({"score_kind": "raw"}, "score_kind"),
        ({"units": "inches"}, "units"),
        ({"box_order": "xxyy"}, "box_order"),
        ({"first_class": 2}, "first_class"),
        ({"outside": "keep"}, "outside"),
        ({"outside_tolerance": 0.9}, "outside_tolerance"),
        ({"on_bad_object": "skip"}, "on_bad_object"),
        ({"image_sizes": [(5, 5), (0, 5)]}, "image_sizes"),
        ({"strings": "words"}, "strings"),
        ({"point_names": []}, "point_names"),
    ],
)
def test_options_without_meaning_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(OutputError) as caught:
        ReadOptions(**options)
    assert caught.value.field == field
