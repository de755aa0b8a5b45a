"""The metrics, read by Prometheus' own parser."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from worker.feedback.drift import State
from worker.monitoring.exposition import sample
from worker.monitoring.status import prometheus_text

AWKWARD = ['say "cheese"', "back\\slash", "two\nlines", 'all\\"\n\\n', "tab\tand\rreturn", "日本 ü", "}{,=# ", "\\"]


def read(text: str) -> list[tuple[str, dict[str, str], float]]:
    families = text_string_to_metric_families(text)
    return [(one.name, one.labels, one.value) for family in families for one in family.samples]


@pytest.mark.parametrize("name", AWKWARD)
def test_a_label_holds_any_text(name: str) -> None:
    line = sample("agreement_ratio", 0.5, project=name, model="m:1")
    assert line.count("\n") == 0
    assert read(line + "\n") == [("prediction_worker_agreement_ratio", {"project": name, "model": "m:1"}, 0.5)]


@settings(derandomize=True, max_examples=100, deadline=None, database=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_a_label_holds_is_read_back(name: str) -> None:
    assert read(sample("paused", 1, project=name) + "\n") == [("prediction_worker_paused", {"project": name}, 1.0)]


def test_half_of_a_surrogate_pair_can_be_written() -> None:
    assert sample("paused", 1, project="\ud800").encode() == b'prediction_worker_paused{project="?"} 1'


def found(name: str) -> dict[str, Any]:
    """What ``status`` collects where every name is awkward."""
    ledger = dict.fromkeys(("received", "delivered", "superseded", "sampled_out", "dead", "dropped"), 3)
    model = dict.fromkeys(("value", "low", "high", "verdicts", "audits", "overdue_audits"), 0.25)
    return {
        "at_the_doors": 1,
        "sources": {name: 1},
        "source_lags": {name: 1},
        "pairs": {name: 1},
        "ledger": {**ledger, "waiting": 0, "leased": 0, "balance": 0},
        "dead_letters": {name: 2},
        "dead_letters_expired": 0,
        "dead_letters_notice": None,
        "pauses": [],
        "replaced": None,
        "calls": [{"operation": name, "outcome": name, "calls": 5, "repeats": 1}],
        "feedback": {name: {"at": 0.0, "models": {name: {**model, "drift": {"mean": State.RAISED}}}}},
    }


@pytest.mark.parametrize("name", AWKWARD)
def test_every_metric_of_the_status_can_be_read(name: str) -> None:
    samples = read(prometheus_text(found(name)))
    labels = {text for _, told, _ in samples for text in told.values()}
    assert name in labels
    assert ("prediction_worker_dead_letters", {"cause": name}, 2.0) in samples
    assert ("prediction_worker_calls_total", {"operation": name, "outcome": name}, 5.0) in samples
    assert ("prediction_worker_drift_alarm", {"project": name, "model": name, "detector": "mean"}, 1.0) in samples
