"""Random projects and random valid outputs: composed, validated, read by the official SDK, compared."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ontology_fixtures import parsed, read_by_sdk
from ontology_strategies import KINDS, TEXT, Asked, asked

from tests.fuzzing import examples
from worker.contract.output import Classification, Detection, Entities, Frames, KiliResponse, ModelOutput, Transcription
from worker.formats import regions_of
from worker.ontology import Interface, agreement, confidence_of, to_json_response, validate
from worker.ontology.agreement_measures import levenshtein

STEADY = settings(max_examples=examples(15), suppress_health_check=[HealthCheck.too_slow])
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def drawn(data: st.DataObject, kind: str) -> tuple[Asked, Interface]:
    question = data.draw(asked(kind))
    return question, parsed(question.json_interface, question.input_type)


def answered(data: st.DataObject, question: Asked, interface: Interface) -> dict[str, Any]:
    return to_json_response(data.draw(question.outputs()), interface, text=TEXT)


def labels(answer: Any, interface: Interface) -> list[str]:
    """Say in plain words what the model answered, element by element, for comparison with what is read."""
    if isinstance(answer, Frames):
        return [line for frame in answer.frames for line in labels(frame.answer, interface)]
    if isinstance(answer, Transcription):
        return [answer.text]
    if isinstance(answer, Detection):
        return [
            f"{plain(item.label)} {percents(item.score)}" for item in answer.objects for _ in regions_of(item.shape)
        ]
    if isinstance(answer, Entities):
        return [f"{plain(item.label)} {percents(item.score)}" for item in answer.entities]
    assert isinstance(answer, Classification)
    scored = {plain(item.label): item.score or 0.0 for item in answer.scores}
    names = list(interface.jobs["ASKED"].categories)
    if interface.jobs["ASKED"].single_choice:
        return [max((f"{name} {percents(scored[name])}" for name in names), key=lambda line: scored[line.split()[0]])]
    return [f"{name} {percents(scored[name])}" for name in names if scored[name] >= 0.5]


def plain(label: str) -> str:
    return label.upper().replace(" ", "_")


def percents(score: float | None) -> str:
    return "unsure" if score is None else str(round(score * 100))


def read(jobs: Any, ml_task: str) -> list[str]:
    """Say in the same words what the SDK reads."""
    if ml_task == "TRANSCRIPTION":
        return [jobs.text]
    items = jobs.categories if ml_task == "CLASSIFICATION" else [item.category for item in jobs.annotations]
    return [f"{item.name} {item.as_dict().get('confidence', 'unsure')}" for item in items]


@EVERY_KIND
@STEADY
@given(data=st.data())
def test_the_sdk_reads_back_what_the_model_said(kind: str, data: st.DataObject) -> None:
    question, interface = drawn(data, kind)
    output = data.draw(question.outputs())
    response = to_json_response(output, interface, text=TEXT)
    label = read_by_sdk(response, question.json_interface, question.input_type)
    assert label.json_response == response
    payload: Any = label.jobs["ASKED"]
    parts = payload.frames if interface.is_video else [payload]
    task = interface.jobs["ASKED"].ml_task
    assert [line for part in parts for line in read(part, task)] == labels(output.answer, interface)


@EVERY_KIND
@STEADY
@given(data=st.data())
def test_what_is_composed_is_valid_and_composed_the_same_again(kind: str, data: st.DataObject) -> None:
    question, interface = drawn(data, kind)
    output = data.draw(question.outputs())
    response = to_json_response(output, interface, text=TEXT)
    validate(response, interface, text=TEXT)
    assert to_json_response(output, interface, text=TEXT) == response
    assert to_json_response(ModelOutput(KiliResponse(response)), interface, text=TEXT) == response
    assert 0.0 <= (confidence_of(response, interface) or 0.0) <= 1.0


@EVERY_KIND
@STEADY
@given(data=st.data())
def test_a_response_agrees_fully_with_itself_whatever_its_order_and_mids(kind: str, data: st.DataObject) -> None:
    question, interface = drawn(data, kind)
    response = answered(data, question, interface)
    assert agreement(response, response, interface).overall == 1.0
    assert agreement(response, shuffled(response, data), interface).overall == pytest.approx(1.0)


@EVERY_KIND
@STEADY
@given(data=st.data())
def test_agreement_is_symmetric_and_within_zero_and_one(kind: str, data: st.DataObject) -> None:
    question, interface = drawn(data, kind)
    a, b = answered(data, question, interface), answered(data, question, interface)
    result = agreement(a, b, interface)
    assert result == agreement(b, a, interface)
    assert all(0.0 <= value <= 1.0 for value in (result.overall, *result.jobs.values()))
    assert all(weight > 0.0 for weight in result.weights.values())


def shuffled(response: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """The same answer with its elements in another order and under other mids."""
    copy = deepcopy(response)
    for holder in (copy, *(value for value in copy.values() if isinstance(value, dict))):
        for payload in holder.values():
            if isinstance(payload, dict) and "annotations" in payload:
                payload["annotations"] = data.draw(st.permutations(payload["annotations"]))
                others: dict[str, str] = {}
                for annotation in payload["annotations"]:
                    annotation["mid"] = others.setdefault(annotation["mid"], f"other-{len(others)}")
    return copy


def slow_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (left != right))
    return row[-1]


@settings(STEADY, max_examples=examples(100))
@given(a=st.text("abc", max_size=20), b=st.text("abc", max_size=20))
def test_the_edit_distance_is_the_textbook_one(a: str, b: str) -> None:
    assert levenshtein(a, b) == slow_distance(a, b)
