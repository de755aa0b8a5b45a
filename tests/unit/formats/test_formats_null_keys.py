"""A key that holds null says nothing: it must not make a payload one of another format."""

from __future__ import annotations

from typing import Any

import pytest

from worker.formats import OutputError, ReadOptions, read_payload

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
