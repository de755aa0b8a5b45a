"""What Kili's reads do not show yet is followed all the same: by other waves, other workers, other models."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from delivery_doubles import PROJECT, Bench, MemoryKili, leased, waiting
from hypothesis import given
from hypothesis import strategies as st

from worker.contract import read_stored
from worker.delivery.item import KEPT_SECONDS, MOST_BYTES, Item, Properties, WrittenLately, json_text, moment_of
from worker.kili import AssetUpdate, FoundAsset, TimedOut, derived_asset_id
from worker.review import ReviewDecision

ASSET = derived_asset_id(PROJECT, "a")


class SlowToShow(MemoryKili):
    """Keeps priorities and metadata, and shows an asset as it was first, or not at all."""

    def __init__(self, *, shows: bool) -> None:
        super().__init__()
        self.shows = shows
        self.metadata: dict[str, Any] = {}

    def append_assets(self, project: str, assets: Any) -> list[str]:
        made = super().append_assets(project, assets)
        self.metadata |= {asset.id: json.loads(asset.metadata) for asset in assets}
        if not self.shows:
            self.lag |= set(made)
        return made

    def update_assets(self, project: str, updates: Any) -> None:
        super().update_assets(project, updates)
        for update in updates:
            self.note(update)

    def note(self, update: AssetUpdate) -> None:
        if update.metadata is not None:
            self.metadata[update.asset_id] = json.loads(update.metadata)


def later(stamp: int, *, priority: int, **changes: Any) -> Any:
    moment = f"2026-11-23T10:{15 + stamp}:00Z"
    return waiting("a", stamp=stamp, priority=priority, predicted_at=moment, **changes)


@pytest.mark.guarantee(
    "Kili",
    fault="a newer prediction while reads do not show what the older one wrote",
    promise="priority and metadata are the newer ones",
)
@pytest.mark.parametrize("one_document", [False, True])
@pytest.mark.parametrize("shows", [True, False])
def test_a_newer_confident_prediction_takes_back_the_priority_in_another_worker_too(
    client: redis.Redis, *, shows: bool, one_document: bool
) -> None:
    kili = SlowToShow(shows=shows)
    for stamp, priority in ((1, 900), (2, 0)):
        bench = Bench(client, kili, one_document=one_document)
        bench.admit(later(stamp, priority=priority, metadata={f"key{stamp}": stamp}))
        bench.deliver()
    assert bench.spool.ledger().delivered == 2
    assert kili.priorities == {ASSET: 0}
    kept = kili.metadata[ASSET]
    assert (kept["key1"], kept["key2"], kept["prediction_at"][:16]) == (1, 2, "2026-11-23T10:17")


@pytest.mark.parametrize("shows", [True, False])
def test_an_older_answer_of_another_model_changes_nothing_that_is_not_shown_yet(
    client: redis.Redis, *, shows: bool
) -> None:
    kili = SlowToShow(shows=shows)
    bench = Bench(client, kili)
    for stamp, priority, version in ((3, 900, "1"), (5, 0, "1"), (4, 700, "2")):
        bench.admit(later(stamp, priority=priority, model={"name": "m", "version": version}))
        bench.deliver()
    assert (bench.spool.ledger().delivered, kili.priorities) == (3, {ASSET: 0})


def test_a_newer_prediction_in_the_wave_that_has_the_older_ones_priority_still_to_set(client: redis.Redis) -> None:
    kili = SlowToShow(shows=True)
    bench = Bench(client, kili, batch_items=1)
    bench.admit(later(1, priority=0))
    bench.deliver()
    bench.admit(later(2, priority=900, model={"name": "m", "version": "2"}), later(3, priority=0))
    bench.deliver()
    assert (bench.spool.ledger().delivered, kili.priorities) == (3, {ASSET: 0})


def test_an_asset_that_turns_out_to_be_there_gets_the_properties_of_the_newer_prediction(client: redis.Redis) -> None:
    kili = SlowToShow(shows=True)
    bench = Bench(client, kili)
    bench.admit(later(1, priority=900))
    bench.deliver()
    client.delete("t:made", f"t:written:{ASSET}")
    kili.lag = {ASSET}

    def there_after_all(step: str, ids: Any) -> TimedOut | None:
        if step != "append_assets":
            return None
        kili.lag = set()
        return TimedOut("504")

    kili.rule = there_after_all
    bench.admit(later(2, priority=0))
    bench.deliver()
    assert (bench.spool.ledger().delivered, kili.priorities) == (2, {ASSET: 0})
    assert kili.metadata[ASSET]["prediction_at"].startswith("2026-11-23T10:17")


def test_an_asset_made_by_a_worker_that_kept_no_properties_is_looked_up_until_it_is_shown(client: redis.Redis) -> None:
    kili = SlowToShow(shows=False)
    bench = Bench(client, kili)
    bench.admit(later(1, priority=900))
    bench.deliver()
    client.delete(f"t:written:{ASSET}")
    bench.admit(later(2, priority=0))
    bench.deliver()
    assert (bench.spool.ledger().delivered, bench.spool.ledger().waiting) == (1, 1)
    kili.lag = set()
    client.zadd(f"t:later:{PROJECT}", {client.zrange(f"t:later:{PROJECT}", 0, 0)[0]: 0})
    bench.deliver()
    assert (bench.spool.ledger().delivered, kili.priorities) == (2, {ASSET: 0})


def test_what_was_read_before_it_was_written_is_overlaid_and_nothing_else() -> None:
    written = Properties({"prediction_at": "2", "ours": 1}, 0)
    assert written.over(FoundAsset("a", "a", {"prediction_at": "1", "theirs": 1}, 900)) == Properties(
        {"prediction_at": "2", "ours": 1, "theirs": 1}, 0
    )
    assert written.over(FoundAsset("a", "a", {"prediction_at": "2", "theirs": 1}, 500)).priority == 500


def test_properties_are_kept_for_a_minute_and_long_ones_are_not(client: redis.Redis) -> None:
    lately = WrittenLately(client, "t:")
    lately.note({"a": Properties({"k": 1}, 5), "b": Properties({"k": "x" * MOST_BYTES}, 5)}, made=["a", "b"])
    assert lately.properties(["a", "b"]) == {"a": Properties({"k": 1}, 5)}
    assert lately.made(["a", "b", "c"]) == {"a", "b"}
    assert 0 < client.ttl("t:written:a") <= KEPT_SECONDS


@pytest.mark.parametrize("value", [1, 0.1, "é", None, True], ids=repr)
def test_what_a_prediction_wrote_is_remembered_as_it_was_written(client: redis.Redis, value: object) -> None:
    lately, entry = WrittenLately(client, "t:"), leased("a", metadata={"key": value})
    item = Item(entry, read_stored(entry.payload), ReviewDecision(3, 7, "", "p"), "{}", "a", 2)
    lately.note({"a": item.properties(5)})
    assert lately.properties(["a"]) == {"a": Properties(item.metadata(), 5)}
    assert json.loads(item.metadata_text()) == item.metadata()


def test_half_a_surrogate_is_remembered_too(client: redis.Redis) -> None:
    lately, metadata = WrittenLately(client, "t:"), {"key": "\ud800"}
    lately.note({"a": Properties(metadata, 5, json_text(metadata))})
    assert lately.properties(["a"]) == {"a": Properties(metadata, 5)}


@given(st.datetimes(timezones=st.timezones()).filter(lambda at: 1 < at.year < 9999))
def test_moments_are_written_in_utc_with_six_digits_of_a_second(at: datetime) -> None:
    assert moment_of(at) == at.astimezone(UTC).isoformat(timespec="microseconds")
