"""Messages as producers really send them: wrong, huge, doubled, out of order, oddly named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.house import House, prediction
from worker.spool import Spool

EARLIER, LATER = "2026-11-23T10:15:00.000000Z", "2026-11-23T10:15:00.000001Z"
APPEND = """
mutation ($data: AppendManyAssetsData!, $where: ProjectWhere!) {
  data: appendManyAssets(data: $data, where: $where) { id }
}
"""


@pytest.mark.guarantee(
    "Data",
    fault="unknown class or job, malformed responses, NaN",
    promise="dead letters that name the field",
)
def test_what_no_project_can_take_becomes_a_dead_letter_that_names_the_field(house: House) -> None:
    project = house.project()
    good, bad = prediction(project, "good.jpg"), prediction(project, "bad.jpg")
    refused_at_the_door = {
        "output.scores": json.dumps(prediction(project, "s", output={"scores": {}})),
        "output.scores.RED": json.dumps(prediction(project, "n", output={"scores": {"RED": float("nan")}})),
        "output.json_response.a": json.dumps(prediction(project, "i", output={"json_response": {"a": float("inf")}})),
        "confidence": json.dumps(prediction(project, "c", confidence=1.5)),
        "external_id": json.dumps({**bad, "external_id": " padded "}),
        "model.version": json.dumps({**bad, "model": {"name": "m", "version": ""}}),
        "predicted_at": json.dumps(prediction(project, "p", predicted_at="2999-01-01T00:00:00Z")),
        "project_id": json.dumps({**bad, "project_id": None}),
        "surprise": json.dumps({**bad, "surprise": 1}),
        "metadata.camera": json.dumps({**bad, "metadata": {"camera": {"nested": 1}}}),
        "asset": json.dumps({**bad, "asset": {"url": "https://x", "text": "y"}}),
        "message": '{"cut": ',
    }
    refused_by_the_project = {
        "unknown_class": prediction(project, "u", output={"scores": {"PURPLE": 1.0}}),
        "unknown_job": prediction(project, "j", output={"scores": {"RED": 1.0}, "job": "SHAPE"}),
    }
    malformed = prediction(project, "r", output={"json_response": {"COLOUR": {"categories": "RED"}}})
    wrong = [*refused_at_the_door.values(), json.dumps(malformed)]
    house.publish([good, *(text.encode() for text in wrong)])
    publish_condemned(house, refused_by_the_project.values())
    house.await_settled()
    house.judge()
    letters = [letter.about for letter in house.case_letters()]
    assert set(refused_at_the_door) <= {about["field"] for about in letters}
    assert all(about["problem"] for about in letters)
    by_name = {about["external_id"]: about for about in letters if about["stage"] == "prepare"}
    assert set(by_name) == {"u", "j", "r"}
    assert "categories" in by_name["r"]["field"]
    assert "PURPLE" in by_name["u"]["problem"] + by_name["u"]["field"]
    assert "SHAPE" in by_name["j"]["problem"] + by_name["j"]["field"]


@pytest.mark.guarantee(
    "Data",
    fault="oversized, too deep; 10 MB within the caps",
    promise="dead letters; delivered",
)
def test_messages_too_large_or_too_deep_are_dead_letters_and_large_ones_within_the_caps_are_delivered(
    house: House,
) -> None:
    project = house.project(input_type="TEXT")
    deep: Any = "leaf"
    for _ in range(60):
        deep = [deep]
    too_much = [
        json.dumps(prediction(project, "huge", asset={"text": "x" * 10_000_000})).encode(),
        json.dumps(prediction(project, "deep", output={"json_response": {"COLOUR": deep}})).encode(),
        b"[" * 500_000,
    ]
    house.publish(too_much)
    house.publish(prediction(project, f"large/{n}", asset={"text": "y" * 3_000_000}) for n in range(4))
    house.publish([prediction(project, "large", asset={"text": "z" * 7_500_000})], door="celery")
    house.await_settled()
    state = house.judge()
    causes = Counter(letter.cause for letter in house.case_letters())
    assert causes == {"too_large": 1, "too_deep": 2}
    assert {label["modelName"] for item in items_of(state, project).values() for label in item["labels"]} == {"m:1"}


@pytest.mark.guarantee(
    "Data",
    fault="10,000 duplicates of one asset",
    promise="one asset, one label, few calls",
)
def test_ten_thousand_duplicates_of_one_asset_cost_few_calls(house: House) -> None:
    project = house.project()
    with waves_held_up(house, project):
        house.publish([prediction(project, "same.jpg")] * 10_000)
        house.await_that(lambda: house.ledger().received == house.published.count, "all are admitted")
    house.await_settled()
    house.judge()
    ledger = house.spool.ledger(project)
    assert (ledger.delivered, ledger.superseded) == (1, 9_999)
    assert sum(one["count"] for one in house.calls().values()) <= 6, house.calls()


@contextmanager
def waves_held_up(house: House, project: str) -> Iterator[None]:
    """Hold a project, as a wave under way would, so that what comes in meanwhile waits together."""
    spool = Spool(house.client, prefix="pw:", lease_ms=600_000, remember_ms=60_000)
    token = spool.acquire(project)
    assert token is not None
    yield
    spool.release(project, token)


@pytest.mark.guarantee(
    "Data",
    fault="older after newer, two model versions in either order",
    promise="the newest of each version",
)
@pytest.mark.parametrize("together", [True, False], ids=["at once", "one after the other"])
def test_the_newest_answer_of_each_model_version_wins_in_every_order(house: House, together: bool) -> None:
    project = house.project()
    orders = {"newest last": [EARLIER, LATER], "newest first": [LATER, EARLIER]}
    answers = {EARLIER: "RED", LATER: "BLACK"}
    for step in range(2):
        for name, order in orders.items():
            for version in ("1", "2") if step == 0 else ("2", "1"):
                moment = order[step]
                model = {"name": "m", "version": version}
                message = prediction(project, name, answer=answers[moment], predicted_at=moment, model=model)
                house.publish([message], door="stream" if version == "1" else "celery")
        if not together:
            house.await_settled()
    house.await_settled()
    state = house.judge()
    for item in items_of(state, project).values():
        assert sorted(label["modelName"] for label in item["labels"]) == ["m:1", "m:2"]


NAMES = [
    "with spaces  inside",
    "slashes/and\\back/../slashes",
    "quotes\"and'and`",
    "ünïcödé/日本語/🚗",
    "e\u0301 is not \u00e9",
    "\u00e9",
    "e\u0301",
    "percent%20%2F?query=1#hash",
    "{json: [1]}",
    "null",
    "0",
    "a" * 300,
    "b" * 1024,
]


@pytest.mark.guarantee(
    "Data",
    fault="external ids with spaces, unicode, slashes, 300 characters",
    promise="come back as sent",
)
def test_external_ids_of_every_kind_come_back_as_they_were_sent(house: House) -> None:
    project = house.project()
    for door in ("stream", "celery"):
        house.publish([prediction(project, name, asset={"url": "https://example.com/x"}) for name in NAMES], door=door)
    wrong = ["", " padded", "line\nbreak", "nul\x00", "c" * 1025]
    house.publish([json.dumps(prediction(project, name)).encode() for name in wrong])
    house.await_settled()
    state = house.judge()
    assert set(items_of(state, project)) == set(NAMES)


@pytest.mark.guarantee(
    "Data",
    fault="an asset somebody else created",
    promise="used, metadata kept",
)
def test_an_asset_that_somebody_else_created_is_used_and_keeps_its_metadata(house: House) -> None:
    project = house.project()
    append(house, project, "theirs.jpg", "their-own-asset-id-0000001", {"owner": "them", "camera": "old"})
    camera = {"camera": "3"}
    second = prediction(project, "theirs.jpg", score=0.55, model={"name": "m", "version": "2"}, metadata=camera)
    house.publish([prediction(project, "theirs.jpg", metadata=camera), prediction(project, "ours.jpg")])
    house.publish([second], door="celery")
    house.await_settled()
    items = items_of(house.judge(), project)
    theirs = items["theirs.jpg"]
    metadata = as_object(theirs["jsonMetadata"])
    assert theirs["id"] == "their-own-asset-id-0000001"
    assert theirs["content"] == "https://example.com/theirs.jpg"
    assert (metadata["owner"], metadata["camera"]) == ("them", "3")
    assert metadata["prediction_model"] in ("m:1", "m:2")


@pytest.mark.guarantee(
    "Data",
    fault="metadata beside our keys",
    promise="ours are never overwritten",
)
def test_metadata_lands_beside_our_own_keys_which_nobody_overwrites(house: House) -> None:
    project = house.project()
    own = {"camera": "3", "line": 7, "night": True, "note": None, "prediction_model": "forged"}
    house.publish([prediction(project, "a.jpg", metadata=own)])
    house.await_settled()
    metadata = as_object(items_of(house.judge(), project)["a.jpg"]["jsonMetadata"])
    assert {name: metadata[name] for name in ("camera", "line", "night", "note")} == {
        name: own[name] for name in ("camera", "line", "night", "note")
    }
    assert metadata["prediction_model"] == "m:1"
    assert metadata["review_reason"]


@pytest.mark.guarantee(
    "Data",
    fault="no content: the asset exists, appears later, or never",
    promise="used, waited for, dead letter",
)
def test_a_prediction_without_content_finds_its_asset_waits_for_it_or_says_that_there_is_none(house: House) -> None:
    project = house.project()
    house.workers[-1].kill()
    patient = house.worker(WORKER_DELIVERY__MISSING_ASSET_GRACE_SECONDS="600")
    append(house, project, "there.jpg", "there-0000000000000000001", {})
    house.publish([prediction(project, "there.jpg", asset=None), prediction(project, "soon.jpg", asset=None)])
    house.await_that(lambda: house.spool.ledger(project).delivered == 1, "the asset that is there gets its label")
    house.await_that(lambda: house.client.zcard(f"pw:later:{project}") == 1, "the other is waited for")
    append(house, project, "soon.jpg", "soon-00000000000000000001", {})
    house.await_settled()
    patient.kill()
    house.worker()
    publish_condemned(house, [prediction(project, "never.jpg", asset=None)])
    house.await_settled()
    state = house.judge()
    assert set(items_of(state, project)) == {"there.jpg", "soon.jpg"}
    (letter,) = house.case_letters("asset_missing")
    assert letter.about["external_id"] == "never.jpg"


@pytest.fixture
def files(house: House, tmp_path: Path) -> Iterator[Path]:
    """A folder that a worker of the house may read; the worker leaves with the case."""
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    for worker in house.workers:
        worker.kill()
    worker = house.worker(WORKER_INTAKE__PATH_ROOTS=json.dumps([str(allowed)]))
    yield allowed
    worker.kill()


@pytest.mark.guarantee(
    "Data",
    fault="local files inside and outside the allowed folders, links out of them",
    promise="uploaded; refused",
)
@pytest.mark.guarantee(
    "Security",
    fault="files outside the allowed folders, links that lead there",
    promise="never read",
)
def test_local_files_are_uploaded_from_the_allowed_roots_and_from_nowhere_else(house: House, files: Path) -> None:
    project = house.project()
    (files / "a.png").write_bytes(b"picture a")
    (files / "sub").mkdir()
    (files / "sub" / "b.png").write_bytes(b"picture b")
    (files / "inside").symlink_to(files / "sub")
    secret = files.parent / "secret.txt"
    secret.write_text("secret")
    (files / "escape").symlink_to(secret)
    (files / "way-out").symlink_to(files.parent)
    (files / "loop").symlink_to(files / "loop")
    good = {"a": files / "a.png", "b": files / "inside" / "b.png", "dots": files / "sub" / ".." / "a.png"}
    refused = {
        "absolute": secret,
        "dots out": files / ".." / "secret.txt",
        "link": files / "escape",
        "folder link": files / "way-out" / "secret.txt",
        "relative": "secret.txt",
        "passwords": "/etc/passwd",
        "loop": files / "loop",
        "nul": f"{files}/a.png\x00",
    }
    unreadable = {"gone": files / "gone.png", "folder": files / "sub"}
    house.publish(prediction(project, name, asset={"path": str(path)}) for name, path in good.items())
    publish_condemned(
        house,
        (prediction(project, name, asset={"path": str(path)}) for name, path in {**refused, **unreadable}.items()),
    )
    house.await_settled()
    items = items_of(house.judge(), project)
    causes = {letter.about["external_id"]: letter.cause for letter in house.case_letters()}
    assert set(items) == set(good)
    assert causes == {**dict.fromkeys(refused, "path_refused"), **dict.fromkeys(unreadable, "asset_unreadable")}
    uploaded = {name: httpx.get(item["content"]).content for name, item in items.items()}
    assert uploaded == {"a": b"picture a", "b": b"picture b", "dots": b"picture a"}


@pytest.mark.guarantee(
    "Data",
    fault="texts",
    promise="uploaded as they are",
)
def test_texts_are_uploaded_as_they_are(house: House) -> None:
    project = house.project(input_type="TEXT")
    texts = {"plain": "A red car.", "unicode": "Ein rötliches Auto 🚗\n\tNext line", "long": "word " * 50_000}
    house.publish(prediction(project, name, asset={"text": text}) for name, text in texts.items())
    house.await_settled()
    items = items_of(house.judge(), project)
    assert {name: httpx.get(item["content"]).content.decode() for name, item in items.items()} == texts


def publish_condemned(house: House, messages: Any) -> None:
    """Publish valid messages that no project takes."""
    found = list(messages)
    house.publish(found)
    house.condemn(len(found))


def items_of(state: Mapping[str, Any], project: str) -> dict[str, Any]:
    return {item["externalId"]: item for item in state["items"] if item["projectId"] == project}


def as_object(metadata: Any) -> dict[str, Any]:
    return dict(json.loads(metadata)) if isinstance(metadata, str) else dict(metadata)


def append(house: House, project: str, name: str, asset_id: str, metadata: Mapping[str, Any]) -> None:
    """Create an asset, as somebody else would."""
    data = {
        "contentArray": [f"https://example.com/{name}"],
        "externalIDArray": [name],
        "idArray": [asset_id],
        "isHoneypotArray": [False],
        "jsonContentArray": [""],
        "jsonMetadataArray": [json.dumps(metadata)],
    }
    house.graphql(APPEND, {"data": data, "where": {"id": project}})
