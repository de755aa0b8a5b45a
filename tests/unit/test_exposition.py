"""The metrics, read by Prometheus' own parser."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.fuzzing import examples
from worker.feedback.drift import State
from worker.monitoring import metrics
from worker.monitoring.exporter import prometheus_text
from worker.monitoring.series import family_of, plain_text

AWKWARD = ['say "cheese"', "back\\slash", "two\nlines", 'all\\"\n\\n', "tab\tand\rreturn", "日本 ü", "}{,=# ", "\\"]


def read(text: str) -> list[tuple[str, dict[str, str], float]]:
    families = text_string_to_metric_families(text)
    return [(one.name, one.labels, one.value) for family in families for one in family.samples]


def one_cause(name: str) -> str:
    return plain_text([family_of(metrics.DEAD, {(name,): 1.0})])


@pytest.mark.parametrize("name", AWKWARD)
def test_a_label_holds_any_text(name: str) -> None:
    assert read(one_cause(name)) == [("prediction_worker_dead_letters", {"cause": name}, 1.0)]


@settings(max_examples=examples(100))
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_a_label_holds_is_read_back(name: str) -> None:
    assert read(one_cause(name)) == [("prediction_worker_dead_letters", {"cause": name}, 1.0)]


def test_half_of_a_surrogate_pair_can_be_written_and_two_names_that_look_alike_are_one_series() -> None:
    text = plain_text([family_of(metrics.DEAD, {("\ud800a",): 1.0, ("?a",): 2.0})])
    assert read(text) == [("prediction_worker_dead_letters", {"cause": "?a"}, 3.0)]


def found(name: str) -> dict[str, Any]:
    """What ``status`` collects where every name is awkward."""
    ledger = dict.fromkeys(("received", "delivered", "superseded", "sampled_out", "dead", "dropped"), 3)
    model = dict.fromkeys(("value", "low", "high", "verdicts", "audits", "overdue_audits"), 0.25)
    lanes = {"lanes": [3] + [0] * 9, "lanes_leased": [1] + [0] * 9, "lanes_oldest_seconds": [7.5] + [0.0] * 9}
    return {
        "in_the_inbox": 1,
        "at_the_doors": 1,
        "backlogs": {"inbox": 1, "celery": 0},
        "inbox_oldest_seconds": 2.5,
        "intake_paused": False,
        "doors_closed": False,
        "sources": {name: 1},
        "source_lags": {name: 1},
        "pairs": {name: 1},
        "ledger": {**ledger, "waiting": 0, "leased": 0, "balance": 0},
        "projects": {name: {**ledger, "waiting": 2, "leased": 1, "balance": 0, **lanes}},
        "dead_letters": {name: 2},
        "dead_letters_oldest_seconds": {name: 60.0},
        "dead_letters_expired": 0,
        "dead_letters_notice": None,
        "pauses": [{"scope": f"project:{name}", "kind": "RefusedProject", "seconds": 9.0}],
        "replaced": None,
        "budget": {"used": 3.0, "limit": 500, "penalised_for": 0.0, "next_in": 0.0},
        "memory": {"used": 50, "limit": 200},
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
    assert ("prediction_worker_waiting", {"project": name, "lane": "0"}, 2.0) in samples
    assert ("prediction_worker_redis_memory_ratio", {}, 0.25) in samples


NAMES_OF_BEFORE = {
    "received_total",
    "predictions",
    "conservation_error",
    "redis_replaced",
    "at_the_doors",
    "dead_letters",
    "dead_letters_expired_total",
    "dead_letters_ending",
    "paused",
    "calls_total",
    "repeated_calls_total",
    "agreement_ratio",
    "agreement_ratio_low",
    "agreement_ratio_high",
    "verdicts",
    "audits",
    "overdue_audits",
    "drift_alarm",
    "label_files_unread",
    "figures_age_seconds",
}


def test_the_command_keeps_the_names_that_it_has_always_had() -> None:
    exposed = {name.removeprefix("prediction_worker_") for name, _, _ in read(prometheus_text(found("p")))}
    assert exposed >= NAMES_OF_BEFORE
