"""The demo's figures are counted right, and a broken promise does not stay hidden."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from outcome_examples import (
    LEDGER,
    MODEL,
    asset,
    label,
    letter,
    small_evidence,
    small_figures,
    small_outcome,
    small_plan,
    small_traffic,
)

from worker.demo.outcome import errors_by_confidence, review_of
from worker.demo.plan import Plan
from worker.demo.traffic import DeadLetterGroup, dead_letters_of, in_kili_of, published_of


def test_when_all_is_well_no_promise_is_broken() -> None:
    assert small_outcome().broken_promises == []


def test_messages_are_counted_by_kind_and_door() -> None:
    assert asdict(published_of(small_traffic())) == {
        "messages": 7,
        "celery": 5,
        "stream": 2,
        "predictions": 4,
        "duplicates": 1,
        "outdated": 0,
        "bad": 2,
    }


def test_assets_labels_and_calls_are_counted_in_the_sandbox() -> None:
    found = in_kili_of(small_traffic(), small_evidence())

    assert (found.assets, found.inference_labels) == (4, 4)
    assert (found.duplicate_assets, found.duplicate_labels, found.missing, found.wrong_labels) == (0, 0, 0, 0)
    assert (found.calls, found.calls_per_100_predictions) == (3, 75.0)


def test_our_order_is_held_against_confidence_and_chance() -> None:
    found = review_of(small_plan(), {"a", "c"}, [1, 1])

    assert (found.reviewed, found.assets, found.errors) == (2, 4, 1)
    assert (found.errors_found, found.errors_by_confidence, found.errors_by_chance) == (1, 0, 0.5)
    assert found.gain is None


def test_by_confidence_what_was_left_over_waits_in_the_same_queue() -> None:
    """The least confident are a (0.6), then b (0.9) of the first round, then d (0.95), and last the error c (0.99)."""
    found = [errors_by_confidence(small_plan(), counts) for counts in ([1, 1], [1, 2], [1, 3], [2, 2])]

    assert found == [0, 0, 1, 1]


def test_an_error_that_nobody_reviewed_is_not_found() -> None:
    found = review_of(small_plan(), {"a"}, [2, 2])

    assert (found.errors_found, found.errors_by_confidence, found.errors_by_chance) == (0, 1, 0.2)
    assert found.gain == 0.0


def test_without_predictions_there_is_nothing_to_gain() -> None:
    found = review_of(Plan([], 0), set(), [])

    assert (found.errors, found.errors_by_chance, found.gain) == (0, 0.0, None)


def test_the_truth_is_what_the_same_people_would_have_said_of_everything() -> None:
    (honest,) = small_outcome().agreement
    (mistaken,) = small_outcome(mistakes=1.0).agreement

    assert (honest.truth, honest.covered) == (0.75, True)
    assert mistaken.truth <= 0.25
    assert mistaken.covered is False


def test_without_an_estimate_nothing_is_covered() -> None:
    (row,) = small_outcome(report_data=small_figures(value=None)).agreement

    assert row.covered is None


def test_a_drift_is_named_by_an_alarm_about_its_version_and_class() -> None:
    right, wrong = small_outcome().drift, small_outcome(report_data=small_figures(fallen="NINE")).drift

    assert (right.injected_model, right.injected_class, right.injected_at) == (MODEL, "TWO", 90.0)
    assert right.alarms[0].lost == ["TWO"]
    assert "wrong more often" in right.alarms[0].headline
    assert right.named
    assert not wrong.named


def test_dead_letters_are_grouped_by_cause_the_most_frequent_first() -> None:
    letters = [letter("z", "two"), letter("a", "x"), letter("z", "one"), letter("z", "one"), letter("b", "y")]

    assert dead_letters_of(letters) == [
        DeadLetterGroup("z", 3, ["one", "two"]),
        DeadLetterGroup("a", 1, ["x"]),
        DeadLetterGroup("b", 1, ["y"]),
    ]


FOUR = small_evidence().assets
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "an asset twice": ({"assets": [*FOUR, {**asset("d"), "labels": []}]}, "1 assets and 0 INFERENCE labels"),
    "a label twice": (
        {"assets": [*FOUR[:3], asset("d", label("INFERENCE", "NINE", MODEL))]},
        "0 assets and 1 INFERENCE labels",
    ),
    "a label missing": ({"assets": [*FOUR[:3], {**asset("d"), "labels": []}]}, "1 of 4 predictions"),
    "an outdated label": (
        {"assets": [*FOUR[:3], {"externalId": "d", "labels": [label("INFERENCE", "SIX", MODEL)]}]},
        "1 INFERENCE labels do not say",
    ),
    "an asset of a bad message": ({"assets": [*FOUR, {"externalId": "x", "labels": []}]}, "1 assets are there"),
    "a letter missing": ({"letters": [letter("not_json", "message")]}, "the dead letters are 1 not_json"),
    "a letter without a field": (
        {"letters": [letter("not_json", ""), letter("bad", "model")]},
        "1 dead letters name no field",
    ),
    "the sum is off": ({"ledger": {**LEDGER, "balance": -1}}, "off by -1"),
    "not all received": ({"ledger": {**LEDGER, "received": 6}}, "7 messages were published, 6 received"),
    "a good message dead": (
        {"ledger": {**LEDGER, "delivered": 3, "dead": 3}},
        "of 5 good messages 3 were delivered and 1 superseded",
    ),
    "labels that the worker does not know": ({"unread_labels": 1}, "1 of 2 human labels were not read"),
    "a review that Kili does not show": ({"labeled": [["a"], ["c", "b"]]}, "labeled 3 assets, Kili shows 2"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_promise_is_named(what: str) -> None:
    changed, caption = BROKEN[what]

    broken = small_outcome(**changed).broken_promises

    assert any(caption in one for one in broken), broken
