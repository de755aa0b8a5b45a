"""Whatever JSON arrives, the answer is outputs that keep their promises, or an OutputError."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from format_cases import golden_cases, options_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from worker.contract.output import Classification, Detection, Either, Entities, Several, Transcription
from worker.formats import FAMILIES, ModelOutput, OutputError, Reading, ReadOptions, read_payload

CASES = golden_cases()
QUICK = settings(max_examples=examples(150), suppress_health_check=[HealthCheck.too_slow])


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


WORDS = sorted(set().union(*(_keys(case["payload"]) for case in CASES)))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.floats(),
    st.sampled_from([10**400, -(10**30), 0.5, 1.0, "", " ", "3.3:1:dog", "[1]", '{"label": "x"}', "B-PER", "FP32"]),
    st.text(max_size=6),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), inner, max_size=5),
    ),
    max_leaves=14,
)
OPTIONS = st.builds(
    ReadOptions,
    format=st.sampled_from(["auto", *FAMILIES]),
    classes=st.sampled_from([None, ["a", "b", "c"], {"0": "a", "1": "b", "x": "y"}]),
    image_size=st.sampled_from([None, (100, 50)]),
    score_kind=st.sampled_from([None, "probability", "logit"]),
    text=st.sampled_from([None, "Ada met Bob"]),
    units=st.sampled_from([None, "pixel", "relative", "percent"]),
    exclusive=st.sampled_from([None, True, False]),
    field=st.sampled_from([None, *WORDS[::7]]),
    point_names=st.sampled_from([None, ["NOSE"]]),
    strings=st.sampled_from([None, "label", "text"]),
    frames=st.booleans(),
)


def read_or_refuse(payload: Any, options: ReadOptions) -> None:
    reading = reading_or_error(payload, options)
    if isinstance(reading, OutputError):
        assert reading.field
        assert reading.problem
        return
    assert reading.outputs or reading.by_id
    for output in reading.outputs:
        assert (output.external_id is not None) == reading.by_id
        check(output)


def reading_or_error(payload: Any, options: ReadOptions) -> Reading | OutputError:
    try:
        return read_payload(payload, options)
    except OutputError as error:
        return error


def check(output: ModelOutput) -> None:
    json.dumps(output.evidence, allow_nan=False)
    check_answer(output.answer)


def check_answer(answer: Any) -> None:
    if isinstance(answer, Either | Several):
        for one in answer.answers.values() if isinstance(answer, Several) else answer.answers:
            check_answer(one)
    elif isinstance(answer, Classification):
        assert answer.scores
        assert len({score.label for score in answer.scores}) == len(answer.scores)
        assert all(score.score is None or 0 <= score.score <= 1 for score in answer.scores)
        if answer.complete:
            assert sum(score.score or 0 for score in answer.scores) == pytest.approx(1, abs=0.021)
    elif isinstance(answer, Detection):
        for item in answer.objects:
            assert item.label
            assert item.score is None or 0 <= item.score <= 1
            assert all(0 <= side <= 1 for ring in item.shape.rings for point in ring for side in point)
    elif isinstance(answer, Entities):
        assert all(0 <= entity.begin < entity.end for entity in answer.entities)
    elif isinstance(answer, Transcription):
        assert answer.score is None or 0 <= answer.score <= 1


@given(JSON, OPTIONS)
@settings(QUICK, max_examples=examples(200))
def test_any_json_is_read_or_refused(payload: Any, options: ReadOptions) -> None:
    read_or_refuse(payload, options)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


def replaced(payload: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.deepcopy(payload)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = new
    return changed


@given(st.data())
@settings(QUICK, max_examples=examples(250))
def test_an_official_payload_with_one_broken_part_is_read_or_refused(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(CASES))
    path = data.draw(st.sampled_from(places(case["payload"])))
    payload = replaced(case["payload"], path, data.draw(JSON))
    name = data.draw(st.sampled_from(["auto", case["format"]]))
    read_or_refuse(payload, options_of(case, format=name))


@given(st.data())
@settings(QUICK, max_examples=examples(250))
def test_an_official_payload_read_as_any_format_is_read_or_refused(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(CASES))
    read_or_refuse(case["payload"], options_of(case, format=data.draw(st.sampled_from(list(FAMILIES)))))


def test_deep_nesting_is_refused_by_every_format() -> None:
    deep_list: Any = 0.5
    deep_object: Any = {"label": "a"}
    for _ in range(500):
        deep_list, deep_object = [deep_list], {"data": deep_object, "outputs": [deep_object]}
    for name in FAMILIES:
        for payload in (deep_list, deep_object):
            with pytest.raises(OutputError):
                read_payload(payload, ReadOptions(format=name))
