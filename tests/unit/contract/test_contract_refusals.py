"""Every refusal in its words, and one message whichever way it is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from tests.fuzzing import examples
from tests.unit.contract.fuzz_contract import both, disagreements
from tests.unit.contract.refusals import MESSAGES, Case, golden
from worker.contract import ReadingLimits, read_json, read_message, read_raw
from worker.contract.message import any_moment, moment_of
from worker.contract.parts import PRINTABLE, UNPADDED, check_identifier, check_names


@pytest.mark.parametrize("name", MESSAGES)
def test_what_the_cases_change_is_not_refused_itself(name: str) -> None:
    raw, limits = Case(name, ["schema"], "").raw, ReadingLimits()
    assert read_raw(raw, limits) == read_message(read_json(raw, limits))


@pytest.mark.parametrize(("case", "words"), golden())
def test_the_words_of_a_refusal_are_the_same_as_ever_whichever_way_it_is_read(case: Case, words: list[str]) -> None:
    assert both(case.raw) == (tuple(words), tuple(words))


def test_both_ways_of_reading_agree_on_messages_changed_at_random() -> None:
    found, accepted = disagreements(examples(3_000), seed=1)
    assert not found
    assert accepted > examples(100)


@pytest.mark.parametrize("name", [name for name in MESSAGES if name != "batch"])
def test_a_single_prediction_is_not_read_the_way_with_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.contract.parsing.read_message", None)
    assert read_raw(Case(name, ["schema"], "").raw, ReadingLimits())


@pytest.mark.parametrize(
    ("pattern", "check"), [(PRINTABLE, lambda text: check_names([text])), (UNPADDED, check_identifier)]
)
def test_a_check_of_names_is_its_pattern_for_every_character(pattern: str, check: Callable[[str], None]) -> None:
    adapter = TypeAdapter(Annotated[str, Field(pattern=pattern)])
    for character in map(chr, (*range(0x3100), *range(0x3100, 0xD800, 97), *range(0xE000, 0x110000, 97))):
        for text in (character, f"{character}a", f"a{character}", f"a{character}a"):
            worded = _accepts(adapter.validate_python, text)
            assert _accepts(check, text) == worded, text


def _accepts(check: Callable[[str], object], text: str) -> bool:
    try:
        check(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("depth", range(12))
def test_the_cap_on_nesting_is_the_same_for_both_at_every_depth(name: str, depth: int) -> None:
    limits = ReadingLimits(max_depth=depth)
    quick, worded = both(Case(name, ["schema"], "").raw, limits)
    assert quick == worded


@pytest.mark.parametrize("levels", [10, 12, 13, 14, 15, 16, 17, 30])
@pytest.mark.parametrize("text", ['{"masks": [%s]}', '{"jobs": {"J": {"masks": [%s]}}}'])
def test_run_lengths_may_hold_anything_and_are_not_nested_deeper_either(text: str, levels: int) -> None:
    mask = '{"label": "A", "rle": {"size": [2, 2], "counts": ' + "[" * levels + "]" * levels + "}}"
    quick, worded = both(Case("masks", ["output"], text % ", ".join([mask] * 3)).raw)
    assert quick == worded
    assert (levels < 13) <= isinstance(quick, str) <= (levels < 17)


DIGITS = st.sampled_from("0123456789")
SHAPES = st.sampled_from(
    [
        "####-##-##T##:##:##Z",
        "2026-0#-1#T1#:2#:3#Z",
        "2026-0#-1#T1#:2#:3#.######Z",
        "2026-1#-3#T2#:5#:5#.###Z",
        "2026-W0#-#T1#:2#:3#.######Z",
        "2024-02-2#T2#:59:6#Z",
        "19##-12-3#T1#:00:00.#Z",
        "2026-0#-1#T1#:2#:3#.#######Z",
        "2026-0#-1#T1#:2#:3#+0#:00",
        "2026-0#-1# 1#:2#:3#z",
        "####-##-##T######.########Z",
    ]
)


@given(SHAPES, st.lists(DIGITS, min_size=20, max_size=20))
@example("2026-11-23T24:00:00Z", [])
@example("2026-11-23T10:15:00,250000Z", [])
@example("2026-11-23T10:15:0\u0660Z", [])
@example("2026-11-23T10:15:00Z\n", [])
def test_a_moment_is_the_same_whichever_way_it_is_read(shape: str, digits: list[str]) -> None:
    text = "".join(digits.pop() if character == "#" else character for character in shape)
    found = [_moment(read, text) for read in (moment_of, any_moment)]
    assert repr(found[0]) == repr(found[1])


def _moment(read: Callable[[str], datetime], text: str) -> datetime | None:
    try:
        return read(text)
    except ValueError:
        return None
