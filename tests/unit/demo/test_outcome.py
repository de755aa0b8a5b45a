"""The demo's figures are counted right, and a broken promise does not stay hidden."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from outcome_examples import LEDGER, asset, label, letter, small_evidence, small_traffic

from worker.demo.outcome import DeadLetterGroup, dead_letters_of, in_kili_of, outcome_of, published_of, review_of


def test_when_all_is_well_no_promise_is_broken() -> None:
    assert outcome_of(small_traffic(), small_evidence()).broken_promises == []


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


def test_half_the_queue_finds_the_one_error_and_chance_half_of_it() -> None:
    found = review_of(small_traffic(), small_evidence())

    assert (found.reviewed, found.assets) == (2, 4)
    assert (found.errors_found, found.errors, found.errors_by_chance) == (1, 1, 0.5)
    assert found.gain == 2.0


def test_an_error_that_nobody_reviewed_is_not_found() -> None:
    assets = [asset("a", label("DEFAULT", "ONE")), asset("b"), asset("c"), asset("d")]
    found = review_of(small_traffic(), small_evidence(assets=assets, labeled=["a"]))

    assert (found.errors_found, found.errors, found.errors_by_chance) == (0, 1, 0.25)


def test_without_errors_there_is_no_gain() -> None:
    found = review_of(small_traffic(), small_evidence(assets=[asset("a"), asset("b")], labeled=[]))

    assert (found.errors, found.errors_by_chance, found.gain) == (0, 0.0, None)


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
        {"assets": [*FOUR[:3], asset("d", label("INFERENCE", "NINE", "m:1"))]},
        "0 assets and 1 INFERENCE labels",
    ),
    "a label missing": ({"assets": [*FOUR[:3], {**asset("d"), "labels": []}]}, "1 of 4 predictions"),
    "an outdated label": (
        {"assets": [*FOUR[:3], {"externalId": "d", "labels": [label("INFERENCE", "SIX", "m:1")]}]},
        "1 INFERENCE labels do not say",
    ),
    "an asset of a bad message": ({"assets": [*FOUR, {"externalId": "x", "labels": []}]}, "1 assets are there"),
    "a letter missing": ({"letters": [letter("not_json", "message")]}, "the dead letters are 1 not_json"),
    "a letter without a field": (
        {"letters": [letter("not_json", ""), letter("invalid_message", "model")]},
        "1 dead letters name no field",
    ),
    "the sum is off": ({"ledger": {**LEDGER, "balance": -1}}, "off by -1"),
    "not all received": ({"ledger": {**LEDGER, "received": 6}}, "7 messages were published, 6 received"),
    "a good message dead": (
        {"ledger": {**LEDGER, "delivered": 3, "dead": 3}},
        "of 5 good messages 3 were delivered and 1 superseded",
    ),
    "a review that Kili does not show": ({"labeled": ["c", "a", "b"]}, "labeled 3 assets, Kili shows 2"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_promise_is_named(what: str) -> None:
    changed, words = BROKEN[what]

    broken = outcome_of(small_traffic(), small_evidence(**changed)).broken_promises

    assert any(words in one for one in broken), broken
