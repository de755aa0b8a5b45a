"""What a producer may send, and what it is told when it sends something else."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from worker.contract import (
    MessageError,
    Prediction,
    ReadingLimits,
    asyncapi_document,
    json_schema,
    read_json,
    read_prediction,
    read_raw,
)
from worker.contract.schemas import EXAMPLE

LIMITS = ReadingLimits(max_bytes=10_000, max_depth=20)
REMOVED = object()


def read(raw: bytes | str) -> Prediction:
    return read_prediction(read_json(raw, LIMITS))


def changed(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**EXAMPLE, **changes}.items() if value is not REMOVED}


def rejection(message: Any) -> MessageError:
    return refusal_of(json.dumps(message).encode())


def refusal_of(raw: bytes, limits: ReadingLimits = LIMITS) -> MessageError:
    """The same by both ways of reading."""
    with pytest.raises(MessageError) as caught:
        read_prediction(read_json(raw, limits))
    with pytest.raises(MessageError) as shorter:
        read_raw(raw, limits)
    assert (shorter.value.cause, str(shorter.value)) == (caught.value.cause, str(caught.value))
    return caught.value


def test_the_example_is_a_prediction() -> None:
    prediction = read(json.dumps(EXAMPLE))
    assert prediction.external_id == "cam-3/000123.jpg"
    assert prediction.model.label == "car-colour:2026-11-01"
    assert prediction.output.scores == {"RED": 0.61, "BLACK": 0.30, "GREY": 0.09}


def test_schema_project_confidence_metadata_and_message_id_are_optional() -> None:
    prediction = read(json.dumps(changed(schema=REMOVED, project_id=REMOVED, metadata=REMOVED, asset=REMOVED)))
    assert (prediction.schema_, prediction.project_id, prediction.metadata) == ("prediction/v1", None, {})


def test_the_stamp_is_exact_to_the_microsecond_whatever_the_zone() -> None:
    here = read(json.dumps(changed(predicted_at="2026-11-23T11:15:00.000001+01:00")))
    there = read(json.dumps(changed(predicted_at="2026-11-23T10:15:00.000001Z")))
    assert here.stamp == there.stamp == 1795428900000001


WRONG = [
    (changed(external_idd="x"), "external_idd", "did you mean external_id"),
    (changed(output={"scoers": {"A": 0.5}}), "output.scoers", "did you mean scores"),
    (changed(external_id=REMOVED), "external_id", "is missing"),
    (changed(external_id=""), "external_id", ""),
    (changed(external_id=" x"), "external_id", "white space"),
    (changed(external_id="x\u00a0"), "external_id", "white space"),
    (changed(external_id="a\nb"), "external_id", "control characters"),
    (changed(model={"name": "m", "version": "1\x7f"}), "model.version", "control characters"),
    (changed(external_id=12), "external_id", "valid string"),
    (changed(model="m"), "model", ""),
    (changed(model={"name": "m"}), "model.version", "is missing"),
    (changed(output={}), "output", "found none"),
    (changed(output={"scores": {"A": 0.5}, "json_response": {}}), "output", "json_response and scores"),
    (changed(output={"scores": {}}), "output.scores", ""),
    (changed(output={"scores": {"A": 1.2}}), "output.scores.A", "less than or equal to 1"),
    (changed(output={"scores": {"A": "high"}}), "output.scores.A", "number"),
    (changed(output={"scores": {"A": float("nan")}}), "output.scores.A", "finite"),
    (changed(output={"scores": {"A": 0.5}, "format": "auto"}), "output", "format only goes with payload"),
    (changed(asset={"url": "u", "text": "t"}), "asset", "url and text"),
    (changed(asset={}), "asset", "found none"),
    (changed(predicted_at="yesterday"), "predicted_at", "2026-11-23T10:15:00Z"),
    (changed(predicted_at="2026-11-23T10:15:00"), "predicted_at", "timezone"),
    (changed(predicted_at=1795428900), "predicted_at", "ISO 8601"),
    (changed(embedding=[]), "embedding", "at least 1"),
    (changed(embedding=[0.1, "x"]), "embedding[1]", "number"),
    (changed(embedding=[0.1, float("nan")]), "embedding[1]", "finite"),
    (
        changed(output={"scores": {"A": 0.5}, "evidence": {"token_score": [1]}}),
        "output.evidence.token_score",
        "token_scores?",
    ),
    (
        changed(output={"scores": {"A": 0.5}, "evidence": {"token_scores": [2]}}),
        "output.evidence.token_scores[0]",
        "equal to 1",
    ),
    (changed(confidence=7), "confidence", "less than or equal to 1"),
    (changed(confidence=float("inf")), "confidence", "finite"),
    (changed(schema="prediction/v9"), "schema", "prediction/v1"),
    (changed(metadata={"a": {"b": 1}}), "metadata.a", ""),
    ([EXAMPLE], "message", "one JSON object"),
    ("text", "message", "one JSON object"),
    (None, "message", "one JSON object"),
]


@pytest.mark.parametrize(("message", "field", "words"), WRONG)
def test_a_wrong_message_is_refused_with_its_field_and_the_fix(message: Any, field: str, words: str) -> None:
    error = rejection(message)
    assert error.field == field
    assert words in str(error)
    assert error.fix


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"a": "\\ud800"}', b"nul"])
def test_what_is_not_json_is_said_to_be_so(raw: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        read(raw)
    assert caught.value.cause == "not_json"


def test_size_and_depth_are_capped() -> None:
    with pytest.raises(MessageError, match="more than 10,000"):
        read(json.dumps(changed(metadata={"a": "x" * 10_000})))
    nested: Any = 1
    for _ in range(30):
        nested = [nested]
    assert rejection(changed(output={"json_response": {"J": nested}})).cause == "too_deep"
    with pytest.raises(MessageError, match="nested"):
        read("[" * 5000)


def test_nesting_up_to_the_cap_is_read_and_a_number_out_of_range_is_found_at_any_depth() -> None:
    def nested(levels: int, leaf: str) -> str:
        return "[" * levels + leaf + "]" * levels

    assert read_json(nested(21, "1.5"), LIMITS)
    with pytest.raises(MessageError, match="deeper than 20"):
        read_json(nested(22, "1.5"), LIMITS)
    for number in ("NaN", "-Infinity", "1e999"):
        with pytest.raises(MessageError) as caught:
            read_json(nested(19, f"[0.5, {number}]"), LIMITS)
        assert caught.value.field.endswith("[1]")
        assert caught.value.cause == "not_json"


@pytest.mark.parametrize("name", ["a", "a b", "\u200bx", "\ud55c \uae00", "x" * 1024])
def test_a_name_may_hold_anything_but_control_characters_and_padding(name: str) -> None:
    assert read(json.dumps(changed(external_id=name))).external_id == name


ANYTHING = ['"payload": %s', '"payload": [{"a": %s}]', '"json_response": {"J": [%s]}', '"answer": {"a": %s}']


@pytest.mark.parametrize("output", ANYTHING)
@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity"])
def test_a_number_that_cannot_be_stored_is_refused_wherever_anything_may_stand(output: str, number: str) -> None:
    start = json.dumps(changed(output=REMOVED))[:-1]
    error = refusal_of(f'{start}, "output": {{{output % number}}}}}'.encode())
    assert (error.cause, error.problem) == ("not_json", "is not a finite number")
    assert error.field.startswith("output.")
    error = refusal_of(f'{start}, "output": {{{output % 1}}}, "metadata": {{"a": {number}}}}}'.encode())
    assert (error.cause, error.field) == ("not_json", "metadata.a")
    content = f'"asset": {{"json_content": [{number}]}}'
    assert refusal_of(f'{start}, "output": {{{output % 1}}}, {content}}}'.encode()).field == "asset.json_content[0]"


@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("levels", range(1, 7))
def test_the_cap_on_nesting_counts_the_levels_of_the_message_too(depth: int, levels: int) -> None:
    payload = "[" * levels + "]" * levels
    raw = f'{json.dumps(changed(output=REMOVED))[:-1]}, "output": {{"payload": {payload}}}}}'.encode()
    limits = ReadingLimits(max_depth=depth)
    if levels + 2 > depth + 1:
        assert refusal_of(raw, limits).cause == "too_deep"
    else:
        assert read_raw(raw, limits) == read_prediction(read_json(raw, limits))


def test_the_last_of_two_equal_keys_counts() -> None:
    raw = (json.dumps(EXAMPLE)[:-1] + ', "external_id": "second", "output": {"scores": {"A": 0.1, "A": 0.9}}}').encode()
    found = read_raw(raw, LIMITS)
    assert found == read(raw)
    assert isinstance(found, Prediction)
    assert (found.external_id, found.output.scores) == ("second", {"A": 0.9})


def test_the_json_schema_accepts_what_the_models_accept_and_refuses_what_they_refuse() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    validator.validate(EXAMPLE)
    for message, field, _ in WRONG:
        if field.startswith(
            ("external_idd", "model", "confidence", "schema", "metadata", "output.evidence")
        ) and message != [EXAMPLE]:
            assert not validator.is_valid(message), field


def test_the_asyncapi_document_names_every_queue_and_its_references_resolve() -> None:
    document = asyncapi_document(version="1.2.3", queue="predictions", inbox="predictions:inbox")
    assert document["asyncapi"].startswith("3.")
    addresses = {name: channel["address"] for name, channel in document["channels"].items()}
    own = dict.fromkeys(("kafka", "rabbitmq", "sqs"))
    assert addresses == {"celery": "predictions", "stream": "predictions:inbox", **own}
    for reference in references(document):
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [reference for value in node.values() for reference in references(value)]
    return [reference for item in node for reference in references(item)] if isinstance(node, list) else []
