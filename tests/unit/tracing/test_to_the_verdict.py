"""The trace in an asset's metadata, and which verdicts are told on it."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from tests.unit.delivery.delivery_doubles import leased
from tests.unit.feedback.kili_in_memory import INTERFACE, START, asset_of, label_of
from worker.contract import read_prediction
from worker.delivery.item import Item, Properties
from worker.feedback.verdicts import evaluations, record_of
from worker.review import ReviewDecision
from worker.tracing import TRACE_KEY

PARENT = f"00-{'4b' * 16}-{'f0' * 8}-01"
MOMENT = "2026-02-20T00:00:00.000000+00:00"


def item(trace: str, found: dict[str, Any] | None = None) -> Item:
    decision = ReviewDecision(3, 1, "doubt", "test")
    entry = replace(leased("a.jpg"), decision=decision.to_bytes((), "kafka", trace))
    prediction = read_prediction(json.loads(entry.payload))
    known = Properties(found, 0) if found is not None else None
    return Item(entry, prediction, decision, "{}", "asset", 2, found=known)


def test_the_asset_keeps_the_parent_of_its_leading_prediction_and_its_moment() -> None:
    metadata = item(f"{PARENT} vendor=secret").metadata()
    assert metadata[TRACE_KEY] == f"{PARENT} {metadata['prediction_at']}"
    assert TRACE_KEY not in item("").metadata()


def test_a_prediction_without_a_trace_takes_that_of_an_earlier_one_away() -> None:
    found = {TRACE_KEY: f"{PARENT} {MOMENT}", "prediction_at": MOMENT, "kept": 1}
    metadata = item("", found).metadata()
    assert TRACE_KEY not in metadata
    assert metadata["kept"] == 1
    assert item(PARENT, found).metadata()[TRACE_KEY] == f"{PARENT} {metadata['prediction_at']}"


def told(moment: str = MOMENT, before: frozenset[str] = frozenset(), **metadata: Any) -> list[tuple[str, str, float]]:
    labels = [
        label_of("m1", "INFERENCE", "CAT", model="m:1"),
        label_of("m2", "INFERENCE", "DOG", model="m:2"),
        label_of("h1", "DEFAULT", "CAT", START + 1),
        label_of("h2", "REVIEW", "COW", START + 2),
    ]
    kept = {"prediction_model": "m:1", "prediction_at": MOMENT, TRACE_KEY: f"{PARENT} {moment}", **metadata}
    asset = asset_of("a", labels, **kept)
    found = list(evaluations("p", [(asset, record_of(asset, INTERFACE))], before))
    assert all((one.context, one.model, one.project) == (PARENT, "m:1", "p") for one in found)
    return [(one.label_id, one.label_type, one.agreement) for one in found]


def test_new_verdicts_on_the_leading_prediction_are_told() -> None:
    assert told() == [("h1", "DEFAULT", 1.0), ("h2", "REVIEW", 0.0)]
    assert told(before=frozenset({"h1"})) == [("h2", "REVIEW", 0.0)]


def test_a_trace_that_an_older_release_left_behind_is_not_taken_for_the_newer_predictions() -> None:
    assert told("2026-02-19T00:00:00.000000+00:00") == []
    for broken in ("", PARENT, 7, f"{PARENT[:-3]} {MOMENT}"):
        assert told(**{TRACE_KEY: broken}) == []
