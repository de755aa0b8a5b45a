"""A payload whose meaning is unchanged is read the same or refused; of one that says more, no class is sent.

Driven by the golden cases, of which every format must have some: a new reader is held to this by itself.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from format_cases import golden_cases, mapping_cases, options_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import SAME, means_another, parts_of, said, with_fewer_objects, with_geometry, with_more_objects

from worker.contract.output import Classification, Either
from worker.formats import FAMILIES, OutputError, Reading, read_payload
from worker.formats.mappings import shipped

CASES = golden_cases() + mapping_cases()
QUICK = settings(derandomize=True, deadline=None, max_examples=8)
CHANCE = st.integers(0, 2**32).map(random.Random)
KNOWN = sorted({*FAMILIES, *shipped().mappings} & {case["family"] for case in CASES})
EVERY_FORMAT = pytest.mark.parametrize("family", KNOWN)
PASSED_ON = "kili"
"""Kili's own responses are passed on as they are, whatever is in them."""


def of(family: str) -> list[dict[str, Any]]:
    return [case for case in CASES if case["family"] == family]


def read(case: dict[str, Any], payload: Any) -> Reading | None:
    """The reading, or None for a refusal."""
    try:
        return read_payload(payload, options_of(case))
    except OutputError:
        return None


@EVERY_FORMAT
@given(data=st.data(), chance=CHANCE)
@QUICK
def test_what_means_the_same_is_read_the_same_or_refused(
    family: str, data: st.DataObject, chance: random.Random
) -> None:
    case = data.draw(st.sampled_from(of(family)))
    payload = case["payload"]
    for name in data.draw(st.lists(st.sampled_from(sorted(SAME)), min_size=1, max_size=3)):
        keeps = not means_another(case, name) and (family != PASSED_ON or name in ("permuted", "as_json_text"))
        changed = SAME[name](payload, chance) if keeps else None
        payload = payload if changed is None else changed
    reading = read(case, payload)
    assert reading is None or said(reading.outputs) == said(read_payload(case["payload"], options_of(case)).outputs)


@EVERY_FORMAT
@given(data=st.data(), chance=CHANCE)
@QUICK
def test_an_object_with_geometry_is_no_class_of_the_whole(
    family: str, data: st.DataObject, chance: random.Random
) -> None:
    case = data.draw(st.sampled_from(of(family)))
    payload = with_geometry(case["payload"], chance)
    reading = read(case, payload) if payload is not None else None
    for output in reading.outputs if reading else ():
        first = output.answer.answers[0] if isinstance(output.answer, Either) else output.answer
        assert not isinstance(first, Classification), payload


@pytest.mark.parametrize("family", sorted(set(KNOWN) - {PASSED_ON, "rekognition-labels"}))
@given(data=st.data(), chance=CHANCE)
@QUICK
def test_fewer_or_more_objects_invent_nothing(family: str, data: st.DataObject, chance: random.Random) -> None:
    """Rekognition's labels are left out: without the instance of one they are classes, not objects."""
    case = data.draw(st.sampled_from(of(family)))
    before = read_payload(case["payload"], options_of(case)).outputs
    whole = set().union(*(parts_of(output.answer) for output in before))
    for change in (with_fewer_objects, with_more_objects):
        payload = change(case["payload"], chance)
        reading = read(case, payload) if payload is not None else None
        found = set().union(*(parts_of(output.answer) for output in reading.outputs)) if reading else set()
        assert kept(found) <= kept(whole), payload


def kept(parts: set[str]) -> set[str]:
    """Parts without scores that depend on others (soft-maxed ones), and without the best of several texts."""
    cut = {"['class'": 2, "['entity'": 2}
    found = {",".join(part.split(",")[: cut.get(part.split(",")[0], 99)]) for part in parts}
    return {part for part in found if not part.startswith("['text'")}
