"""Looking up which formats a payload may have finds the same as trying all of them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from format_cases import golden_cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import SAME, places, with_fewer_objects, with_geometry, with_more_objects

from tests.fuzzing import examples
from worker.formats.families.rows import OBJECT_FAMILIES
from worker.formats.mappings import shipped
from worker.formats.recognise import FormatIndex
from worker.formats.registry import answers, envelopes

EXAMPLES = [test.payload for one in shipped().mappings.values() for test in one.tests]
PAYLOADS = [case["payload"] for case in golden_cases()] + EXAMPLES
PARTS = [part for payload in PAYLOADS for _, part in places(payload)]
CHANGES = [*SAME.values(), with_geometry, with_fewer_objects, with_more_objects]
KNOWN = {"answers": answers(), "envelopes": envelopes(), "objects": OBJECT_FAMILIES}
EVERY = pytest.mark.parametrize("formats", KNOWN.values(), ids=KNOWN)
VALUES: list[Any] = ["x", "LABEL_0", 0, 1, 0.5, True, None, [], {}, [0.1, 0.9], [[0.1, 0.9]], [{}], {"a": 1}]
VALUE = st.sampled_from([*VALUES, *PARTS])


def tried(formats: FormatIndex[Any], payload: Any) -> list[str]:
    return [one.name for one in formats.formats if one.detect(payload)]


def looked_up(formats: FormatIndex[Any], payload: Any) -> list[str]:
    return [one.name for one in formats.candidates(payload) if one.detect(payload)]


@EVERY
def test_every_part_of_the_known_payloads_is_recognised_as_before(formats: FormatIndex[Any]) -> None:
    for part in PARTS:
        assert looked_up(formats, part) == tried(formats, part), part
        assert looked_up(formats, [part]) == tried(formats, [part]), part


@EVERY
@given(data=st.data(), chance=st.integers(0, 2**32).map(random.Random))
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
def test_changed_payloads_are_recognised_as_before(
    formats: FormatIndex[Any], data: st.DataObject, chance: random.Random
) -> None:
    payload = data.draw(st.sampled_from(PAYLOADS))
    for change in data.draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3)):
        changed = change(payload, chance)
        payload = payload if changed is None else changed
    assert looked_up(formats, payload) == tried(formats, payload)


@EVERY
@given(data=st.data())
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
def test_keys_of_several_formats_are_recognised_as_before(formats: FormatIndex[Any], data: st.DataObject) -> None:
    keys = sorted({key for one in formats.formats for needed in one.needs for key in needed} | {"ce-id", "ce-type"})
    objects = st.dictionaries(st.sampled_from(keys), VALUE, max_size=6)
    payload = data.draw(st.one_of(objects, st.lists(objects, max_size=3), st.lists(st.lists(objects, max_size=2))))
    assert looked_up(formats, payload) == tried(formats, payload)


def test_a_usual_payload_is_tried_on_few_formats() -> None:
    for payload in ([{"label": "a", "score": 0.9}], {"predictions": [[0.1, 0.9]]}, [{"name": "a", "class": 1}]):
        assert len(answers().candidates(payload)) + len(envelopes().candidates(payload)) <= 8, payload
