"""A key that holds null says nothing: it must not make a payload one of another format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from format_cases import mapping_cases, options_of
from mutations import places, put, said

from worker.formats import OutputError, ReadOptions, read_payload
from worker.formats.mappings import shipped

NAMES = (
    *("class", "class_name", "className", "labelName", "prediction", "predicted_class", "predicted_label", "category"),
    *("top_class", "probability", "prob", "confidence", "probabilities", "confidences"),
)


def _answer(payload: Any) -> Any:
    try:
        reading = read_payload(payload, ReadOptions())
    except OutputError:
        return None
    return [output.answer for output in reading.outputs]


@pytest.mark.parametrize("score", [0.99, "0.99"])
@pytest.mark.parametrize("name", NAMES)
def test_a_key_with_null_gives_the_same_answer_or_a_refusal(name: str, score: Any) -> None:
    plain = _answer({"label": "POSITIVE", "score": 0.99})
    assert plain is not None
    assert _answer({name: None, "label": "POSITIVE", "score": score}) in (plain, None)


CASES = mapping_cases()
ANYWHERE = ("class", "label", "bbox", "text", "score")
HOLDERS = {0, "predictions", "images", "results", "outputs", "objects", "detections", "entities", "annotations", "data"}


def _with_nulls(case: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The payload with null for each key that its mapping knows, in the outermost and in the first inner object."""
    mapping, payload = shipped().mappings[case["family"]], case["payload"]
    known = dict.fromkeys((*ANYWHERE, *re.findall(r"\.([A-Za-z_]\w+)", mapping.when + mapping.read)))
    inside = [(path, part) for path, part in places(payload) if isinstance(part, dict) and part and {*path} <= HOLDERS]
    for path, part in inside[:2]:
        for key in known:
            if key not in part:
                yield key, put(payload, path, {key: None, **part})


@pytest.mark.parametrize("case", CASES, ids=[f"{case['family']}-{number}" for number, case in enumerate(CASES)])
def test_no_null_of_another_form_changes_what_a_mapping_reads(case: dict[str, Any]) -> None:
    options = options_of(case)
    plain = said(read_payload(case["payload"], options).outputs)
    wrong = []
    for key, payload in _with_nulls(case):
        try:
            found = said(read_payload(payload, options).outputs)
        except OutputError:
            continue
        if found != plain:
            wrong.append((key, found))
    assert wrong == []
