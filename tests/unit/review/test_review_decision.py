"""Decisions as the spool keeps them: readable by the release before, and its by this one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.review import ReviewDecision

FULL: dict[str, Any] = {
    "lane": 2,
    "priority": 10_412,
    "reason": "likely wrong",
    "policy": "ranked/1/rule 1",
    "confidence": 0.61,
    "inclusion_probability": 0.033371,
    "upload": False,
    "band": 1,
    "audit": True,
    "uploaded_share": 0.5,
    "job": "JOB",
    "expected_errors": 0.39,
    "error_probability": 0.41,
    "evidence": "best scores",
    "percentile": 0.97,
    "deviation": -1.5,
    "predicted": "é",
    "runner_up": "B",
}
BEFORE = [
    '{"lane":9,"priority":0,"reason":"confident","policy":"threshold/0.8","confidence":1,"source":"stream"}',
    '{"lane":0,"priority":30412,"reason":"r","policy":"p","expected_errors":1e+17,"history":[{"cause":"x"}],"newer":[1]}',
    '{"lane":0,"priority":1,"reason":"r","policy":"p","expected_errors":Infinity,"predicted":"\\ud800"}',
]


def test_every_field_is_kept_under_its_name() -> None:
    raw = ReviewDecision(**FULL).to_bytes([{"cause": "x"}], "http")
    assert json.loads(raw) == {**FULL, "history": [{"cause": "x"}], "source": "http"}
    assert list(json.loads(raw)) == [*FULL, "history", "source"]
    assert ReviewDecision.from_bytes(raw) == ReviewDecision(**FULL)


def test_what_is_as_by_default_is_left_out() -> None:
    found = json.loads(ReviewDecision(9, 0, "confident", "threshold/0.8", None, upload=True, band=0, job="").to_bytes())
    assert found == {"lane": 9, "priority": 0, "reason": "confident", "policy": "threshold/0.8"}


@pytest.mark.parametrize("raw", BEFORE)
def test_what_an_earlier_release_wrote_is_read(raw: str) -> None:
    known = {name: value for name, value in json.loads(raw).items() if name in FULL}
    assert ReviewDecision.from_bytes(raw.encode()) == ReviewDecision(**known)


def test_a_name_that_is_no_text_is_kept_all_the_same() -> None:
    decision = ReviewDecision(1, 2, "r", "p", predicted="\ud800")
    assert ReviewDecision.from_bytes(decision.to_bytes(source="stream")) == decision
