"""A payload whose meaning is unchanged is read the same or refused; of one that says more, no class is sent.

Driven by the golden cases, of which every format must have some: a new reader is held to this by itself. Each example
is a chance with which one case of every format is changed, so that none is left out.
"""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from format_cases import golden_cases, mapping_cases, options_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import SAME, means_another, parts_of, said, with_fewer_objects, with_geometry, with_more_objects

from tests.fuzzing import examples
from worker.contract.output import Classification, Either
from worker.formats import FAMILIES, OutputError, Reading, read_payload
from worker.formats.mappings import shipped

CASES = golden_cases() + mapping_cases()
QUICK = settings(max_examples=examples(8), suppress_health_check=[HealthCheck.too_slow])
CHANCE = st.integers(0, 2**32).map(random.Random)
KNOWN = sorted({*FAMILIES, *shipped().mappings} & {case["family"] for case in CASES})
PASSED_ON = "kili"
"""Kili's own responses are passed on as they are, whatever is in them."""


@cache
def of(family: str) -> list[dict[str, Any]]:
    return [case for case in CASES if case["family"] == family]


def read(case: dict[str, Any], payload: Any) -> Reading | None:
    """The reading, or None for a refusal."""
    try:
        return read_payload(payload, options_of(case))
    except OutputError:
        return None


@QUICK
@given(chance=CHANCE)
def test_what_means_the_same_is_read_the_same_or_refused(chance: random.Random) -> None:
    for family in KNOWN:
        case = chance.choice(of(family))
        payload = case["payload"]
        names = [chance.choice(sorted(SAME)) for _ in range(chance.randint(1, 3))]
        for name in names:
            keeps = not means_another(case, name) and (family != PASSED_ON or name in ("permuted", "as_json_text"))
            changed = SAME[name](payload, chance) if keeps else None
            payload = payload if changed is None else changed
        reading = read(case, payload)
        if reading is not None:
            plain = read_payload(case["payload"], options_of(case))
            assert said(reading.outputs) == said(plain.outputs), (family, names, payload)


@QUICK
@given(chance=CHANCE)
def test_an_object_with_geometry_is_no_class_of_the_whole(chance: random.Random) -> None:
    for family in KNOWN:
        case = chance.choice(of(family))
        payload = with_geometry(case["payload"], chance)
        reading = read(case, payload) if payload is not None else None
        for output in reading.outputs if reading else ():
            first = output.answer.answers[0] if isinstance(output.answer, Either) else output.answer
            assert not isinstance(first, Classification), (family, payload)


@QUICK
@given(chance=CHANCE)
def test_fewer_or_more_objects_invent_nothing(chance: random.Random) -> None:
    """Rekognition's labels are left out: without the instance of one they are classes, not objects."""
    for family in sorted({*KNOWN} - {PASSED_ON, "rekognition-labels"}):
        case = chance.choice(of(family))
        changed = [change(case["payload"], chance) for change in (with_fewer_objects, with_more_objects)]
        found = [reading for payload in changed if payload is not None and (reading := read(case, payload))]
        whole = parts_said(read_payload(case["payload"], options_of(case))) if found else set()
        for reading in found:
            assert kept(parts_said(reading)) <= kept(whole), (family, changed)


def parts_said(reading: Reading) -> set[str]:
    return set().union(*(parts_of(output.answer) for output in reading.outputs))


def kept(parts: set[str]) -> set[str]:
    """Parts without scores that depend on others (soft-maxed ones), and without the best of several texts."""
    cut = {"['class'": 2, "['entity'": 2}
    found = {",".join(part.split(",")[: cut.get(part.split(",")[0], 99)]) for part in parts}
    return {part for part in found if not part.startswith("['text'")}
