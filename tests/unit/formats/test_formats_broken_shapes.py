"""Payloads that have the keys of a shipped mapping and are broken further in: refused in words, never emptied."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from scripts.reference.formats import shipped_examples
from worker.contract.output import Classification, Detection, Either, Entities, ModelOutput, OutputError, Transcription
from worker.formats import ReadOptions, read_payload
from worker.formats.checks import UnknownFormat
from worker.formats.mappings import shipped
from worker.formats.mappings.examples import options_of
from worker.formats.mappings.mapping import MappingExample

EXAMPLES = [
    pytest.param(name, example, id=f"{name}-{i}")
    for name, examples in shipped_examples().items()
    for i, example in enumerate(examples)
    if not example.refused
]


def read(payload: Any, example: MappingExample) -> tuple[ModelOutput, ...] | None:
    """The outputs; None where the payload is refused."""
    try:
        return read_payload(payload, options_of(example, shipped())).outputs
    except OutputError as error:
        if "mend the mapping" in error.fix:
            pytest.fail(f"the user is told to mend a mapping that is shipped: {error}")
        return None


def is_empty(output: ModelOutput) -> bool:
    answer = output.answer
    answer = answer.answers[0] if isinstance(answer, Either) else answer
    match answer:
        case Detection():
            return not answer.objects
        case Entities():
            return not answer.entities
        case Transcription():
            return not answer.text
        case Classification():
            return not answer.scores
        case _:
            return True


def lists_of_objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all lists that hold objects."""
    if isinstance(value, list):
        if value and all(isinstance(one, dict) for one in value):
            yield path
        for i, one in enumerate(value):
            yield from lists_of_objects(one, (*path, i))
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from lists_of_objects(one, (*path, key))


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all objects."""
    if isinstance(value, dict):
        yield path
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from objects(one, (*path, key))


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_what_lies_one_level_deeper_is_not_passed_over(name: str, example: MappingExample) -> None:
    """A video's labels lie in an object of their own, beside a time; read without them, nothing would be there."""
    told = read(example.payload, example)
    if told is None or all(map(is_empty, told)):
        return
    for path in lists_of_objects(example.payload):
        payload = deepcopy(example.payload)
        items = at(payload, path)
        items[:] = [{"Timestamp": 0, "Inner": one} for one in items]
        found = read(payload, example)
        assert found is None or not all(map(is_empty, found)), f"{name}: {path} is read as empty"


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_a_part_that_is_missing_is_refused_in_words(name: str, example: MappingExample) -> None:
    for path in objects(example.payload):
        for key in at(example.payload, path):
            for value in (None, {}, 7, "x"):
                payload = deepcopy(example.payload)
                at(payload, path)[key] = value
                read(payload, example)


BARE = {
    "a push of Pub/Sub": lambda text: {
        "message": {"data": base64.b64encode(text.encode()).decode(), "messageId": "1"},
        "subscription": "s",
    },
    "a CloudEvent": lambda text: {"specversion": "1.0", "id": "1", "type": "t", "source": "s", "data": text},
    "a CloudEvent in base64": lambda text: {
        "specversion": "1.0",
        "id": "1",
        "type": "t",
        "source": "s",
        "data_base64": base64.b64encode(text.encode()).decode(),
    },
    "a notification of SNS": lambda text: {"Type": "Notification", "MessageId": "1", "TopicArn": "a", "Message": text},
}


@pytest.mark.parametrize("envelope", BARE)
def test_a_bare_class_in_an_envelope_is_read_as_one_outside(envelope: str) -> None:
    options = ReadOptions(strings="label")
    [found] = read_payload(BARE[envelope]("pallet"), options).outputs
    assert found.answer == read_payload("pallet", options).outputs[0].answer


@pytest.mark.parametrize("envelope", BARE)
@pytest.mark.parametrize("text", ["<html>502</html>", "", "{broken", "[1,", "<much wow='xml'/>"])
def test_markup_and_broken_json_in_an_envelope_are_no_text(envelope: str, text: str) -> None:
    with pytest.raises(OutputError):
        read_payload(BARE[envelope](text), ReadOptions(strings="text"))


def test_an_event_that_says_that_its_data_are_xml_is_refused_by_that() -> None:
    event = BARE["a CloudEvent"]("pallet") | {"datacontenttype": "text/xml"}
    with pytest.raises(OutputError, match="text/xml"):
        read_payload(event)


def tensor(data: list[Any], shape: list[int]) -> dict[str, Any]:
    return {"model_name": "m", "outputs": [{"name": "predict", "shape": shape, "datatype": "INT64", "data": data}]}


def test_a_tensor_without_sides_holds_one_value() -> None:
    options = ReadOptions(classes=["cat", "dog"])
    assert read_payload(tensor([1], []), options).outputs == read_payload(tensor([1], [1]), options).outputs
    with pytest.raises(OutputError, match="0 sides"):
        read_payload(tensor([1, 0], []), options)


@pytest.mark.parametrize(
    "payload",
    [
        {"text": "Good.", "sentiment": {"label": "POSITIVE", "score": 0.9}, "device": "cpu"},
        {"text": "My name is X.", "items": [{"operator": "mask", "entity_type": "NAME"}]},
        [{"index": 0, "text": "deep learning"}],
        {"model": "m", "embeddings": [[0.1, 0.2]], "total_duration": 14, "load_duration": 3},
    ],
)
def test_one_common_key_makes_no_format_the_nearest(payload: Any) -> None:
    with pytest.raises(UnknownFormat) as told:
        read_payload(payload)
    assert told.value.nearest is None, json.dumps(payload)


def test_a_page_of_several_is_refused_as_such_whatever_is_on_it() -> None:
    with pytest.raises(OutputError, match="another page"):
        read_payload({"ModerationLabels": [{"Timestamp": 0}], "NextToken": "n"})


@pytest.mark.parametrize("payload", [[{"output": "pallet"}], [{"results": [{"result": []}]}, {"results": []}]])
def test_a_list_is_no_envelope_of_a_mapping(payload: Any) -> None:
    """Its path begins at one object; of a list it would name what is missing there."""
    with pytest.raises(UnknownFormat):
        read_payload(payload)
