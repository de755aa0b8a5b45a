"""Contents that go through Kili's bucket or are imported in the background, with everything that may go wrong there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Keeper
from tests.faults.house import House, prediction
from worker.kili import derived_asset_id

REFUSED = (400, 401, 403, 404, 405, 409, 410, 411, 412, 414, 415, 416, 418, 422, 423, 424, 431, 451)
FAILING = (408, 413, 425, 429, 500, 503)
VIDEO_ANSWER = {"0": {"COLOUR": {"categories": [{"name": "RED"}], "isKeyFrame": True}}}


@pytest.fixture(scope="module")
def bucket_keeper() -> Iterator[Keeper]:
    """A house whose patience is short."""
    keeper = Keeper(WORKER_DELIVERY__UPLOAD_GRACE_SECONDS="4", WORKER_DELIVERY__IMPORT_SECONDS="4")
    yield keeper
    keeper.close_all()


@pytest.fixture
def bucket_house(bucket_keeper: Keeper, redis_binary: Path | None) -> Iterator[House]:
    house = bucket_keeper.open(redis_binary)
    house.switch(imports="strict", import_delay=0.2)
    yield house
    house.switch(imports="lenient", import_delay=0.2)
    if not house.is_sound:
        bucket_keeper.close(redis_binary)


def texts(project: str, count: int) -> list[dict[str, Any]]:
    return [prediction(project, f"t/{number}", asset={"text": f"text {number}"}) for number in range(count)]


def refusing(project: str, name: str, status: int, **rule: Any) -> dict[str, Any]:
    action = {"kind": "status", "status": status, "body": f"the bucket says {status}"}
    return {"operation": "upload", "asset_id": derived_asset_id(project, name), "action": action, **rule}


def video(project: str, name: str, **changes: Any) -> dict[str, Any]:
    asset = {"url": f"https://example.com/{name}.mp4"}
    return prediction(project, name, **{"asset": asset, "output": {"json_response": VIDEO_ANSWER}, **changes})


@pytest.mark.guarantee(
    "Data",
    fault="Kili's bucket refuses one upload, with any status",
    promise="a dead letter with its words; its neighbours are delivered",
)
def test_an_upload_that_the_bucket_refuses_is_a_dead_letter_and_all_others_are_delivered(bucket_house: House) -> None:
    house, project = bucket_house, bucket_house.project(input_type="TEXT")
    refused = {f"t/{11 * number}": status for number, status in enumerate(REFUSED)}
    house.harm(*(refusing(project, name, status) for name, status in refused.items()))
    house.publish(texts(project, 200))
    house.condemn(len(REFUSED))
    house.await_settled()
    house.judge()
    letters = {letter.about["external_id"]: letter for letter in house.case_letters("upload_refused")}
    assert {name: letter.about["words"] for name, letter in letters.items()} == {
        name: f"the bucket says {status}" for name, status in refused.items()
    }
    assert house.pauses() == {}


def test_uploads_that_fail_for_ever_are_dead_letters_in_the_end_and_all_others_are_delivered(
    bucket_house: House,
) -> None:
    house, project = bucket_house, bucket_house.project(input_type="TEXT")
    house.harm(*(refusing(project, f"t/{15 * number}", status) for number, status in enumerate(FAILING)))
    house.publish(texts(project, 100))
    house.condemn(len(FAILING))
    house.await_that(
        lambda: house.spool.ledger(project).delivered == 100 - len(FAILING), "their neighbours are delivered"
    )
    house.await_settled()
    house.judge()
    letters = house.case_letters()
    assert {letter.about["external_id"] for letter in letters} == {f"t/{15 * number}" for number in range(len(FAILING))}
    assert {letter.cause for letter in letters} <= {"upload_refused", "upload_unavailable"}


@pytest.mark.guarantee(
    "Kili",
    fault="the bucket refuses every upload for a while, or a signed URL has expired",
    promise="asked with a new URL; nobody is condemned, the others go on",
)
def test_a_bucket_that_takes_nobody_for_a_while_condemns_nobody(bucket_house: House) -> None:
    house, project = bucket_house, bucket_house.project(input_type="TEXT")
    rule = {"operation": "upload", "project": project}
    actions = [{"kind": "status", "status": 403}, {"kind": "status", "status": 503}]
    house.harm({**rule, "times": 4, "action": actions[0]}, {**rule, "action": actions[1]})
    links = [prediction(project, f"link/{number}") for number in range(20)]
    house.publish([*texts(project, 100), *links])
    house.await_that(lambda: house.spool.ledger(project).delivered == 20, "what needs no bucket is delivered")
    house.await_that(lambda: house.struck()[1] >= 3, "the bucket is asked again")
    house.heal()
    house.await_settled()
    house.judge()


@pytest.mark.guarantee(
    "Processes",
    fault="`kill -9` between an import in the background and its notification",
    promise="one asset, labelled when it is there",
)
@pytest.mark.parametrize("call", ["lost", "delay"])
def test_a_worker_killed_while_kili_imports_a_video_loses_and_doubles_nothing(bucket_house: House, call: str) -> None:
    house, project = bucket_house, bucket_house.project(input_type="VIDEO")
    action = {"kind": "lost"} if call == "lost" else {"kind": "delay", "seconds": 3, "after": True}
    house.switch(import_delay=1.0)
    house.harm({"operation": "appendManyAssetsAsynchronously", "project": project, "times": 1, "action": action})
    house.publish([video(project, f"v/{number}") for number in range(5)])
    house.await_that(lambda: house.struck() == [1], "the import is sent")
    house.workers[-1].kill()
    house.heal()
    house.worker()
    house.await_settled()
    house.judge()
    assert house.calls_with("appendManyAssetsAsynchronously") <= (2 if call == "lost" else 1)


@pytest.mark.guarantee(
    "Data",
    fault="a video that Kili cannot import, alone or among others",
    promise="a dead letter with Kili's words; the others are labelled",
)
def test_videos_that_kili_cannot_import_are_dead_letters_and_others_are_labelled(bucket_house: House) -> None:
    house, project = bucket_house, bucket_house.project(input_type="VIDEO")
    action = {"kind": "fail_import", "external_ids": ["v/3", "v/7"], "message": "codec not supported"}
    house.harm({"operation": "appendManyAssetsAsynchronously", "project": project, "action": action})
    house.publish([video(project, f"v/{number}") for number in range(10)])
    house.publish(
        [video(project, "frames", asset={"json_content": ["https://example.com/0", "https://example.com/1"]})]
    )
    house.condemn(2)
    house.await_settled()
    state = house.judge()
    letters = house.case_letters("import_failed")
    assert sorted(letter.about["external_id"] for letter in letters) == ["v/3", "v/7"]
    assert {letter.about["words"] for letter in letters} == {"codec not supported"}
    assert len([item for item in state["items"] if item["projectId"] == project]) == 9


def test_an_import_that_never_ends_is_a_dead_letter_and_others_go_on(bucket_house: House) -> None:
    house, project = bucket_house, bucket_house.project(input_type="VIDEO")
    house.switch(import_delay=600)
    house.publish([video(project, "v/slow")])
    house.publish([video(project, "frames", asset={"json_content": {"0": "https://example.com/0"}})])
    house.condemn(1)
    house.await_that(lambda: house.spool.ledger(project).delivered == 1, "the frames are labelled")
    house.await_settled()
    house.judge()
    (letter,) = house.case_letters("import_timed_out")
    assert letter.about["external_id"] == "v/slow"


@pytest.mark.guarantee(
    "Data",
    fault="two assets in Kili under one external id",
    promise="a dead letter that names them; neither is labelled",
)
def test_two_assets_under_one_external_id_are_told(house: House) -> None:
    project = house.project()
    text = (
        "mutation ($data: AppendManyAssetsData!, $where: ProjectWhere!) { data: appendManyAssets(data: $data, where: "
        "$where) { id } }"
    )
    ids = [f"twin{number}-000000000000000000" for number in range(2)]
    data = {"idArray": ids, "externalIDArray": ["twin.jpg"] * 2, "contentArray": ["https://example.com/twin"] * 2}
    house.graphql(text, {"data": data, "where": {"id": project}})
    house.publish([prediction(project, "other.jpg")])
    house.await_settled()
    house.publish([prediction(project, "twin.jpg")])
    house.condemn(1)
    house.await_settled()
    (letter,) = house.case_letters("asset_ambiguous")
    assert all(asset_id in letter.about["problem"] for asset_id in ids)
    items = [item for item in house.admin("state?full=1")["items"] if item["externalId"] == "twin.jpg"]
    assert [item["labels"] for item in items] == [[], []]
    deletion = "mutation ($where: AssetWhere!) { data: deleteAssets(where: $where) { succeeded { assetId } } }"
    house.graphql(deletion, {"where": {"idIn": ids[1:], "project": {"id": project}}})
    house.replay([letter.id])
    house.published.wrong -= 1
    house.await_settled()
    house.judge()
