"""Every family reads the payloads of its official documents, recognised by structure and by name."""

from __future__ import annotations

from typing import Any

import pytest
from format_cases import golden_cases, options_of, plain, same

from worker.formats import FAMILIES, ReadOptions, read_payload

CASES = golden_cases()


def _id(case: dict[str, Any]) -> str:
    return f"{case['family']}: {case['name']}"


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_official_payload_is_recognised_and_read(case: dict[str, Any]) -> None:
    reading = read_payload(case["payload"], options_of(case))
    assert reading.format == case["format"]
    outputs = [plain(output) for output in reading.outputs]
    assert same(outputs, case["expected"]), outputs


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_naming_the_format_changes_nothing(case: dict[str, Any]) -> None:
    recognised = read_payload(case["payload"], options_of(case))
    named = read_payload(case["payload"], options_of(case, format=case["format"]))
    assert (named.format, named.outputs) == (recognised.format, recognised.outputs)


@pytest.mark.parametrize("case", [case for case in CASES if not isinstance(case["payload"], str)], ids=_id)
def test_exactly_one_family_recognises_an_official_payload(case: dict[str, Any]) -> None:
    matching = [name for name, family in FAMILIES.items() if family.detect(case["payload"])]
    assert matching == [case["family"]]


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_the_job_is_passed_on(case: dict[str, Any]) -> None:
    outputs = read_payload(case["payload"], options_of(case, job="JOB_0")).outputs
    assert {output.job for output in outputs} == ({None} if case["family"] == "kili" else {"JOB_0"})


def test_every_family_has_golden_cases() -> None:
    assert {case["family"] for case in CASES} == set(FAMILIES)


def test_the_order_of_the_rows_is_kept() -> None:
    payload = {"predictions": ["c", "a", "b", "a"]}
    labels = [output.answer.scores[0].label for output in read_payload(payload, ReadOptions(strings="label")).outputs]
    assert labels == ["c", "a", "b", "a"]
