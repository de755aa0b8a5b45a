"""Videos and other imports in the background: sent once, waited for, labelled when the asset is there, or buried."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from delivery_doubles import INTERFACE, PROJECT, Bench, BucketKili, clients, waiting

from worker.delivery.content import ASKED, Imports
from worker.delivery.failure_policy import DOUBT_SECONDS, SHOWN_SECONDS
from worker.delivery.failures import ASSET_NOT_SHOWN, NOT_IMPORTED, FailureDecision
from worker.kili import ConnectFailed, KiliError, Notification, RefusedItems, UnknownOutcome, derived_asset_id
from worker.spool.dead_letters import Cause, DeadLetters

RESPONSE = {"0": {"COLOUR": {"categories": [{"name": "RED"}], "isKeyFrame": True}}}


def video(name: str, **changes: Any) -> Any:
    asset = {"url": f"https://example.com/{name}.mp4"}
    return waiting(name, **{"output": {"json_response": RESPONSE}, "asset": asset, **changes})


def video_kili(**changes: Any) -> BucketKili:
    return BucketKili(**{"input_type": "VIDEO", "interface": INTERFACE, **changes})


def own(name: str) -> str:
    return derived_asset_id(PROJECT, name)


class Place:
    """A bench whose put-off entries are due at once."""

    def __init__(self, client: redis.Redis, kili: BucketKili, **rules: Any) -> None:
        self.client = client
        self.kili = kili
        self.bench = Bench(client, kili, **rules)
        self.letters = DeadLetters(client, "t:")

    def deliver(self) -> None:
        key = f"t:later:{PROJECT}"
        for member in self.client.zrange(key, 0, -1):
            self.client.zadd(key, {member: 0})
        self.client.delete("t:notbefore")
        self.bench.deliver()

    @property
    def ledger(self) -> tuple[int, int, int]:
        found = self.bench.spool.ledger()
        return found.delivered, found.dead, found.waiting

    def record(self, name: str) -> dict[str, Any]:
        return json.loads(self.client.get(f"t:import:{own(name)}") or b"{}")

    def age_looks(self, cause: str, seconds: float) -> None:
        """As if everything that waits had been looked for so much longer, at every moment that was due."""
        for member, known in self.client.hgetall(f"t:tries:{PROJECT}").items():
            rows = json.loads(known)
            rows[cause]["for"] += int(seconds * 1000)
            self.client.hset(f"t:tries:{PROJECT}", member, json.dumps(rows))

    def outage(self, seconds: float) -> None:
        """As if nobody had looked for so long: every moment that is kept is put back."""
        for member, known in self.client.hgetall(f"t:tries:{PROJECT}").items():
            rows = json.loads(known)
            for row in rows.values():
                row["first"], row["last"] = row["first"] - int(seconds * 1000), row["last"] - int(seconds * 1000)
            self.client.hset(f"t:tries:{PROJECT}", member, json.dumps(rows))

    def age(self, name: str, **back: float) -> None:
        """Put moments of a record back."""
        record = self.record(name)
        self.client.set(f"t:import:{own(name)}", json.dumps({**record, **{k: record[k] - v for k, v in back.items()}}))


@pytest.fixture
def place(client: redis.Redis) -> Place:
    return Place(client, video_kili())


def test_a_video_is_imported_in_the_background_and_labelled_when_it_is_there(place: Place) -> None:
    place.bench.admit(video("v"))
    for _ in range(3):
        place.deliver()
    assert place.kili.counts["import_assets"] == 1
    assert place.kili.counts["append_assets"] == place.kili.counts["append_labels"] == 0
    assert place.ledger == (0, 0, 1)
    place.kili.finish("n0")
    place.deliver()
    assert place.ledger == (1, 0, 0)
    assert json.loads(place.kili.labels[own("v"), "m:1"]) == RESPONSE
    assert place.record("v") == {}


def test_a_video_gets_the_metadata_key_that_kilis_sdk_gives_it(place: Place) -> None:
    place.bench.admit(video("v"))
    place.deliver()
    assert json.loads(place.kili.imports["n0"][0].metadata)["processingParameters"] == {}


def test_others_go_on_while_a_video_is_imported(place: Place) -> None:
    place.bench.admit(video("v"), video("frames", asset={"json_content": ["https://x/0", "https://x/1"]}))
    place.deliver()
    assert place.ledger == (1, 0, 1)


@pytest.mark.parametrize("frames", [["https://x/0", "https://x/1"], {"0": "https://x/0", "1": "https://x/1"}])
def test_frames_go_through_the_bucket_as_a_map_from_index_to_link(place: Place, frames: Any) -> None:
    place.bench.admit(video("v", asset={"json_content": frames}))
    place.deliver()
    asset = place.kili.assets[own("v")]
    assert asset.content == ""
    assert f"/{own('v')}/jsonContent?" in f"/{asset.json_content.removeprefix('https://bucket/')}"
    assert json.loads(place.kili.bucket[asset.json_content]) == {"0": "https://x/0", "1": "https://x/1"}


@pytest.mark.parametrize("frames", [[], {}, ["https://x/0", 3], {"1": "https://x/1"}, {"a": "https://x"}, [[]]])
def test_frames_that_are_none_are_told_and_their_neighbours_go_on(place: Place, frames: Any) -> None:
    place.bench.admit(video("bad", asset={"json_content": frames}), video("v", asset={"json_content": ["https://x"]}))
    place.deliver()
    assert place.ledger == (1, 1, 0)
    assert place.letters.causes() == {"frames_unreadable": 1}


def test_rich_text_goes_through_the_bucket(client: redis.Redis) -> None:
    place = Place(client, video_kili(input_type="TEXT"))
    place.bench.admit(waiting("t", asset={"json_content": [{"children": [{"id": "1", "text": "é"}]}]}))
    place.deliver()
    asset = place.kili.assets[own("t")]
    assert json.loads(place.kili.bucket[asset.json_content])[0]["children"][0]["text"] == "é"


def test_json_content_of_other_projects_stays_inline(client: redis.Redis) -> None:
    place = Place(client, video_kili(input_type="IMAGE"))
    place.bench.admit(waiting("layers", asset={"json_content": [{"tileLayerUrl": "https://x"}]}))
    place.deliver()
    assert json.loads(place.kili.assets[own("layers")].json_content) == [{"tileLayerUrl": "https://x"}]
    assert place.kili.uploads == []


@pytest.mark.parametrize(
    ("input_type", "name", "upload_type"),
    [("IMAGE", "a.tiff", "TILED_IMAGE"), ("GEOSPATIAL", "a.tif", "GEO_SATELLITE")],
)
def test_pictures_that_kili_has_to_tile_are_imported_in_the_background(
    client: redis.Redis, tmp_path: Path, input_type: str, name: str, upload_type: str
) -> None:
    (tmp_path / name).write_bytes(b"II*\x00")
    found: list[str] = []

    class Kili(BucketKili):
        def import_assets(self, project: str, assets: Sequence[Any], upload_type: str) -> str:
            found.append(upload_type)
            return super().import_assets(project, assets, upload_type)

    place = Place(client, Kili(input_type=input_type), path_roots=(tmp_path,))
    place.bench.admit(waiting("t", asset={"path": str(tmp_path / name)}))
    place.deliver()
    assert found == [upload_type]
    assert place.ledger == (0, 0, 1)


def test_an_import_that_fails_is_a_dead_letter_with_kilis_words(place: Place) -> None:
    place.bench.admit(video("v"))
    place.deliver()
    place.kili.finish("n0", but=["v"], message="codec hevc is not supported")
    place.deliver()
    [letter] = place.letters.letters()
    assert (letter.cause, letter.about["words"]) == ("import_failed", "codec hevc is not supported")
    assert "codec hevc" in letter.about["problem"]


def test_of_an_import_that_fails_each_is_sent_alone_and_only_the_culprit_dies(place: Place) -> None:
    place.bench.admit(*(video(name) for name in ("a", "bad", "b", "c")))
    place.deliver()
    place.kili.finish("n0", but=["a", "bad", "b"], message="bad cannot be read")
    place.deliver()
    sent = {name: [asset.external_id for asset in assets] for name, assets in place.kili.imports.items()}
    assert sorted(map(len, sent.values())) == [1, 1, 1, 4]
    for name, names in sent.items():
        if len(names) == 1:
            place.kili.finish(name, but=[one for one in names if one == "bad"], message="bad cannot be read")
    place.deliver()
    assert place.ledger == (3, 1, 0)
    assert [letter.about["external_id"] for letter in place.letters.letters()] == ["bad"]


def test_an_import_that_takes_longer_than_the_limit_is_a_dead_letter_and_a_replay_begins_anew(place: Place) -> None:
    place.bench.admit(video("v"))
    place.deliver()
    place.age_looks(NOT_IMPORTED, 3601)
    place.deliver()
    assert place.letters.causes() == {"import_timed_out": 1}
    assert place.record("v") == {}


def survives_an_outage(place: Place, seconds: float, *moments: str) -> None:
    """Nobody looks for so long after these moments of the record; then the import goes on."""
    place.age("v", **dict.fromkeys(moments, seconds))
    place.outage(seconds)
    place.deliver()
    assert place.ledger == (0, 0, 1)
    place.kili.finish("n0")
    place.deliver()
    assert place.ledger == (1, 0, 0)


def test_an_outage_in_which_nobody_could_look_uses_up_nothing_of_an_imports_limit(place: Place) -> None:
    place.bench.admit(video("v"))
    place.deliver()
    survives_an_outage(place, 7200, "since", "sent")


def test_an_outage_between_kilis_word_and_the_next_look_loses_no_import(place: Place) -> None:
    place.bench.admit(video("v"))
    place.deliver()
    place.kili.told["n0"] = Notification("SUCCESS")
    place.deliver()
    survives_an_outage(place, 7200, "ended")


def test_an_import_that_succeeded_without_an_asset_is_a_dead_letter_after_a_while(place: Place) -> None:
    place.bench.admit(video("v"))
    place.deliver()
    place.kili.told["n0"] = Notification("SUCCESS")
    place.deliver()
    assert place.ledger == (0, 0, 1)
    place.age_looks(ASSET_NOT_SHOWN, SHOWN_SECONDS)
    place.deliver()
    assert place.letters.causes() == {"import_lost": 1}


def test_after_a_crash_before_the_notification_was_noted_the_asset_is_looked_for_and_only_then_sent_again(
    place: Place,
) -> None:
    place.bench.admit(video("v"))
    place.deliver()
    place.client.set(f"t:import:{own('v')}", json.dumps({**place.record("v"), "notification": ""}))
    place.deliver()
    assert place.kili.counts["import_assets"] == 1
    place.age("v", sent=DOUBT_SECONDS)
    place.deliver()
    assert place.kili.counts["import_assets"] == 2
    place.kili.finish("n0")
    place.deliver()
    assert place.ledger == (1, 0, 0)


def test_an_import_with_an_unknown_outcome_is_not_sent_again_at_once(client: redis.Redis) -> None:
    answers = iter([UnknownOutcome("504"), UnknownOutcome("504"), UnknownOutcome("504")])
    place = Place(client, video_kili(rule=lambda step, ids: next(answers, None) if step == "import_assets" else None))
    place.bench.admit(video("v"))
    place.deliver()
    tried = place.kili.counts["import_assets"]
    client.hset("t:pauses", f"project:{PROJECT}", client.hget("t:pauses", f"project:{PROJECT}"))
    client.delete("t:pauses")
    place.deliver()
    assert place.kili.counts["import_assets"] == tried


def test_an_import_that_was_certainly_not_applied_leaves_no_record(client: redis.Redis) -> None:
    place = Place(client, video_kili(rule=lambda step, ids: ConnectFailed("x") if step == "import_assets" else None))
    place.bench.admit(video("v"))
    place.deliver()
    assert place.record("v") == {}
    assert place.ledger == (0, 0, 1)


def test_one_video_that_kili_refuses_does_not_keep_the_others(client: redis.Redis) -> None:
    def rule(step: str, ids: Sequence[str]) -> KiliError | None:
        return RefusedItems("no link") if step == "import_assets" and own("bad") in ids else None

    place = Place(client, video_kili(rule=rule))
    place.bench.admit(video("a"), video("bad"), video("b"))
    place.deliver()
    assert place.ledger == (0, 1, 2)
    assert place.record("bad") == {}


def test_two_models_of_one_video_wait_for_one_import(place: Place) -> None:
    other = {"name": "n", "version": "2"}
    place.bench.admit(video("v"), video("v", model=other))
    place.deliver()
    assert (place.kili.counts["import_assets"], place.ledger) == (1, (0, 0, 2))
    place.kili.finish("n0")
    place.deliver()
    assert place.ledger == (2, 0, 0)


@pytest.mark.parametrize("error", [UnknownOutcome("500"), RefusedItems("no"), ConnectFailed("x")])
def test_a_notification_that_cannot_be_read_blocks_nobody(client: redis.Redis, error: KiliError) -> None:
    place = Place(client, video_kili(rule=lambda step, ids: error if step == "notification" else None))
    place.bench.admit(video("v"))
    place.deliver()
    place.deliver()
    assert place.ledger == (0, 0, 1)
    assert not client.exists("t:pauses")


def test_notifications_are_asked_less_often_the_longer_an_import_takes(client: redis.Redis) -> None:
    now = [1000.0]
    imports = Imports(client, "t:", clients(video_kili(), imports=600.0), clock=lambda: now[0])
    imports.begin(["x"])
    imports.sent(["x"], "n0")
    steps: list[FailureDecision | Cause] = []
    for now[0] in (1001.0, 1020.0, 1300.0):
        steps += imports.look(PROJECT, ["x"], lambda asset_id, cause: now[0] - 1000).values()
    assert [step.delay for step in steps if isinstance(step, FailureDecision)] == [1.0, 5.0, 30.0]


def test_many_imports_cost_few_calls_of_a_wave(place: Place) -> None:
    place.bench.admit(*(video(f"v{number}") for number in range(30)))
    place.deliver()
    for number in range(30):
        place.client.set(
            f"t:import:{own(f'v{number}')}", json.dumps({**place.record(f"v{number}"), "notification": f"n{number}"})
        )
    before = place.kili.counts["notification"]
    place.deliver()
    assert place.kili.counts["notification"] - before == ASKED
    assert place.ledger == (0, 0, 30)
