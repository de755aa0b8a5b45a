"""What changes with time: lag, delays, limits, ids."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.sandbox.scene import KEY, Scene
from worker.sandbox.core import CallLog, Peak, SlidingMinute, count_items
from worker.sandbox.store import Mint, base36, iso

EXISTING = "query ($p: ID!, $x: [String!]!) { filterExistingAssets(projectID: $p, externalIDs: $x) }"
MARKS = """
query ($where: LabelWhere!) { labels(where: $where, first: 100, skip: 0) { inferenceMark } }"""


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def lagging_scene(lag: float) -> Scene:
    """A scene whose project readers see already and whose reads lag from now on."""
    scene = Scene()
    scene.sandbox.switch({"read_lag": lag})
    return scene


def test_readers_see_the_state_of_so_many_seconds_ago() -> None:
    scene = lagging_scene(2)
    scene.add("a")
    scene.now += 1
    scene.add("b")
    assert scene.find() == []
    scene.now += 1
    assert scene.find() == ["a"]
    scene.now += 1
    assert scene.find() == ["a", "b"]


def test_existence_checks_lag_too() -> None:
    scene = lagging_scene(2)
    scene.add("a")
    existing = {"p": scene.project_id, "x": ["a", "b"]}
    assert scene.call(EXISTING, **existing)["filterExistingAssets"] == []
    scene.now += 2
    assert scene.call(EXISTING, **existing)["filterExistingAssets"] == ["a"]


def test_writers_see_the_present_state() -> None:
    scene = lagging_scene(60)
    (asset_id,) = scene.add("a")
    scene.label([asset_id], ["RED"])
    assert len(scene.sandbox.store.tables.labels) == 1


def test_deletions_lag_as_well() -> None:
    scene = Scene()
    (asset_id,) = scene.add("a")
    scene.sandbox.switch({"read_lag": 2})
    scene.call(
        "mutation ($w: AssetWhere!) { deleteAssets(where: $w) { succeeded { assetId } } }",
        w={"idIn": [asset_id]},
    )
    assert scene.find() == ["a"]
    scene.now += 2
    assert scene.find() == []


def test_lag_from_the_start_does_not_hide_the_accounts() -> None:
    scene = Scene(read_lag=5)
    data = scene.call(
        "query ($w: ApiKeyWhere!) { apiKeys(where: $w, first: 1, skip: 0) { expiryDate } }", w={"key": KEY}
    )
    assert data["apiKeys"] == [{"expiryDate": "2099-01-01T00:00:00.000Z"}]


def test_switching_the_lag_off_shows_everything() -> None:
    scene = lagging_scene(60)
    scene.add("a")
    scene.sandbox.switch({"read_lag": 0})
    assert scene.find() == ["a"]


def marks(scene: Scene) -> list[float | None]:
    where = {"project": {"id": scene.project_id}, "typeIn": ["DEFAULT"]}
    return [label["inferenceMark"] for label in scene.call(MARKS, where=where)["labels"]]


def test_marks_come_after_their_delay() -> None:
    scene = Scene(mark_delay=3)
    ids = scene.add("a", "b")
    scene.label(ids, ["RED", "GREY"], "INFERENCE", model="m:1")
    scene.label(ids, ["RED", "RED"])
    scene.now += 2.9
    assert marks(scene) == [None, None]
    scene.now += 0.2
    assert marks(scene) == [1.0, 0.5]


def test_a_mark_of_a_deleted_asset_is_not_missed() -> None:
    scene = Scene(mark_delay=3)
    ids = scene.add("a", "b")
    scene.label(ids, ["RED", "GREY"], "INFERENCE", model="m:1")
    scene.label(ids, ["RED", "RED"])
    scene.call("mutation ($w: AssetWhere!) { deleteAssets(where: $w) { failed { details } } }", w={"idIn": ids[:1]})
    scene.now += 4
    assert marks(scene) == [0.5]


def test_a_background_import_ends_after_its_delay() -> None:
    scene = Scene(import_delay=5)
    start = """
    mutation ($d: AppendManyAssetsAsynchronouslyData!, $w: ProjectWhere!) {
      appendManyAssetsAsynchronously(data: $d, where: $w) { id status }
    }"""
    data = {"contentArray": ["https://h/x.mp4"], "externalIDArray": ["film"], "uploadType": "NATIVE_VIDEO"}
    notification = scene.call(start, d=data, w={"id": scene.project_id})["appendManyAssetsAsynchronously"]
    assert notification["status"] == "PENDING"
    assert scene.find() == []
    scene.now += 5
    ask = "query ($w: NotificationWhere!) { notifications(where: $w, first: 1, skip: 0) { status } }"
    assert scene.call(ask, w={"id": notification["id"]})["notifications"] == [{"status": "SUCCESS"}]
    assert scene.find() == ["film"]


def test_a_background_import_of_nothing_fails() -> None:
    scene = Scene(import_delay=0)
    urls = "query ($p: [String!]) { createUploadBucketSignedUrls(filePaths: $p) }"
    (url,) = scene.call(urls, p=["projects/p/assets/a/content"])["createUploadBucketSignedUrls"]
    start = """
    mutation ($d: AppendManyAssetsAsynchronouslyData!, $w: ProjectWhere!) {
      appendManyAssetsAsynchronously(data: $d, where: $w) { id }
    }"""
    data = {"contentArray": [url], "externalIDArray": ["film"], "uploadType": "NATIVE_VIDEO"}
    scene.call(start, d=data, w={"id": scene.project_id})
    ask = "query ($w: NotificationWhere!) { notifications(where: $w, first: 1, skip: 0) { status message } }"
    (notification,) = scene.call(ask, w={})["notifications"]
    assert notification["status"] == "FAILURE"
    assert "film" in notification["message"]
    assert scene.find() == []


def test_a_key_makes_so_many_calls_in_any_minute() -> None:
    clock = Clock()
    limiter = SlidingMinute(clock)
    answers = []
    for _ in range(5):
        answers.append(limiter.take("k", 3))
        clock.now += 10
    assert answers == [None, None, None, 30, 20]
    clock.now += 10.5
    assert limiter.take("k", 3) is None
    assert limiter.take("k", 3) == 10


def test_keys_have_their_own_limits_and_zero_is_none() -> None:
    limiter = SlidingMinute(Clock())
    assert limiter.take("k", 1) is None
    assert limiter.take("other", 1) is None
    assert limiter.take("k", 1) == 60
    assert limiter.take("k", 0) is None


def test_a_lowered_limit_counts_the_calls_before_it() -> None:
    clock = Clock()
    limiter = SlidingMinute(clock)
    for _ in range(4):
        assert limiter.take("k", 10) is None
        clock.now += 1
    assert limiter.take("k", 2) == 58


def test_a_peak_is_the_densest_minute() -> None:
    peak = Peak()
    for time in (0, 2, 1, 70, 71, 200):
        peak.add(time)
    assert peak.highest == 3


def test_ids_have_the_form_of_cuids_and_carry_their_time() -> None:
    clock = Clock()
    mint = Mint(clock, seed=1)
    ids = [mint() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(re.fullmatch(r"c[0-9a-z]{24}", made) for made in ids)
    assert {int(made[1:9], 36) for made in ids} == {int(clock.now * 1000)}
    clock.now += 1
    assert int(mint()[1:9], 36) == int(clock.now * 1000)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_795_453_163.1989, "2026-11-23T16:59:23.198Z")],
)
def test_times_are_written_with_milliseconds(seconds: float, text: str) -> None:
    assert iso(seconds) == text


def test_base_36_keeps_the_lowest_digits() -> None:
    assert base36(36**4 + 35, 4) == "000z"


def test_calls_are_counted_by_operation() -> None:
    clock = Clock(0)
    log = CallLog(clock)
    for status, ending in ((200, "ok"), (200, "errors"), (429, "refused"), (0, "aborted")):
        log.add("assets", started=clock.now, status=status, ending=ending, items=5)
        clock.now += 30
    counted = log.to_json()
    assert counted["operations"]["assets"] == {
        "count": 3,
        "items": 15,
        "errors": 2,
        "first": "1970-01-01T00:00:00.000Z",
        "last": "1970-01-01T00:01:30.000Z",
        "peak_per_minute": 2,
    }
    assert (counted["total"], counted["refused_429"]) == (3, 1)
    assert [call["ending"] for call in counted["last"]] == ["ok", "errors", "refused", "aborted"]
    log.reset()
    assert log.to_json()["total"] == 0


@pytest.mark.parametrize(
    ("variables", "items"),
    [({}, 0), ({"a": [1], "b": {"c": [{"d": [1, 2, 3]}] * 2}}, 2), ({"where": {"idIn": []}}, 0)],
)
def test_the_longest_list_is_the_number_of_items(variables: dict[str, Any], items: int) -> None:
    assert count_items(variables) == items
