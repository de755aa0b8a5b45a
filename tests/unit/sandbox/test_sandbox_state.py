"""What the sandbox holds: rows, indexes, filters, batches, overwrites, reports."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sandbox.scene import APPEND_ASSETS, APPEND_LABELS, ASSETS, Scene, labels
from worker.sandbox.admin import queue, state
from worker.sandbox.errors import Refuse

ID = "cm0abcde0000wxyz01234567"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def report(scene: Scene, **options: Any) -> dict[str, Any]:
    return state(scene.sandbox.store.tables, project_id=scene.project_id, **{"is_full": False, **options})


def test_duplicate_external_ids_are_allowed_and_counted(scene: Scene) -> None:
    scene.add("a", "b")
    scene.add("a")
    assert scene.find() == ["a", "b", "a"]
    assert scene.find(externalIdStrictlyIn=["a"]) == ["a", "a"]
    counts = report(scene)
    assert (counts["assets"], counts["external_ids"], counts["duplicate_external_ids"]) == (3, 2, 1)


def test_duplicate_inference_labels_are_counted_per_model(scene: Scene) -> None:
    ids = scene.add("a", "b")
    for model in ("m:1", "m:1", "m:2"):
        scene.label(ids[:1], ["RED"], "INFERENCE", model=model)
    counts = report(scene)
    assert counts["labels"] == {"INFERENCE": 3}
    assert counts["models"] == {"m:1": 2, "m:2": 1}
    assert counts["duplicate_inference_labels"] == 1


def test_the_full_report_lists_every_asset_with_its_labels(scene: Scene) -> None:
    (asset_id,) = scene.add("a", jsonMetadataArray=['{"k": 1}'])
    scene.label([asset_id], ["RED"], "INFERENCE", model="m:1")
    (item,) = report(scene, is_full=True)["items"]
    assert (item["id"], item["externalId"], item["jsonMetadata"]) == (asset_id, "a", '{"k": 1}')
    assert [(label["modelName"], label["labelType"]) for label in item["labels"]] == [("m:1", "INFERENCE")]


def test_an_upsert_keeps_place_labels_priority_and_creation(scene: Scene) -> None:
    ids = scene.add("a", "b")
    scene.label(ids[:1], ["RED"])
    before = scene.sandbox.store.tables.assets[ids[0]]
    scene.now += 5
    scene.add("renamed", idArray=ids[:1])
    after = scene.sandbox.store.tables.assets[ids[0]]
    assert scene.find() == ["renamed", "b"]
    assert scene.find(externalIdStrictlyIn=["a"]) == []
    assert (after.created_at, after.step_status) == (before.created_at, "DONE")
    assert after.updated_at > before.updated_at
    assert report(scene)["labels"] == {"DEFAULT": 1}


def test_an_id_of_another_project_is_out_of_reach(scene: Scene) -> None:
    ids = scene.add("a")
    create = 'mutation { createProject(data: {title: "other"}) { id } }'
    other = scene.call(create)["createProject"]["id"]
    data = {"idArray": ids, "externalIDArray": ["a"], "contentArray": [""]}
    assert "[noAccessRights]" in scene.rejection(APPEND_ASSETS, data=data, where={"id": other})


def test_a_refused_resend_names_no_asset() -> None:
    scene = Scene(resent_id="refuse")
    ids = scene.add("a")
    data = {"idArray": ids, "externalIDArray": ["a"], "contentArray": [""]}
    message = scene.rejection(APPEND_ASSETS, data=data, where={"id": scene.project_id})
    assert "Unique constraint" in message
    assert ids[0] not in message


@pytest.mark.parametrize(("batches", "kept"), [("atomic", []), ("partial", ["a", "c"])])
def test_a_bad_asset_leaves_nothing_or_its_neighbours(batches: str, kept: list[str]) -> None:
    scene = Scene(batches=batches)
    columns = {
        "externalIDArray": ["a", "b", "c"],
        "contentArray": [""] * 3,
        "jsonMetadataArray": ["{}", "no json", "{}"],
    }
    message = scene.rejection(APPEND_ASSETS, data=columns, where={"id": scene.project_id})
    assert "jsonMetadata" in message
    assert scene.find() == kept


@pytest.mark.parametrize(("batches", "kept"), [("atomic", 0), ("partial", 2)])
def test_a_bad_label_leaves_nothing_or_its_neighbours(batches: str, kept: int) -> None:
    scene = Scene(batches=batches)
    ids = scene.add("a", "b")
    rows = labels([ids[0], ID, ids[1]], ["RED"] * 3)
    rejection = scene.rejection(APPEND_LABELS, data={"labelType": "DEFAULT", "labelsData": rows}, where={})
    assert "[noAccessRights]" in rejection
    assert sum(report(scene)["labels"].values()) == kept


def test_a_refused_overwrite_keeps_the_old_labels(scene: Scene) -> None:
    ids = scene.add("a", "b")
    scene.label(ids, ["RED", "RED"], "INFERENCE", model="m:1")
    rows = labels(ids, ["GREY", "PINK"], "m:1")
    data = {"labelType": "INFERENCE", "overwrite": True, "labelsData": rows}
    assert "[jsonResponseMalformed]" in scene.rejection(APPEND_LABELS, data=data, where={})
    assert [label.json_response for label in scene.sandbox.store.tables.labels.values()] == [
        row["jsonResponse"] for row in labels(ids, ["RED", "RED"])
    ]


def test_a_partial_overwrite_replaces_the_good_ones_only() -> None:
    scene = Scene(batches="partial")
    ids = scene.add("a", "b")
    old = scene.label(ids, ["RED", "RED"], "INFERENCE", model="m:1")
    data = {"labelType": "INFERENCE", "overwrite": True, "labelsData": labels(ids, ["GREY", "PINK"], "m:1")}
    scene.rejection(APPEND_LABELS, data=data, where={})
    kept = set(scene.sandbox.store.tables.labels)
    assert old[0] not in kept
    assert old[1] in kept
    assert len(kept) == 2


def test_the_good_labels_of_a_partial_batch_are_marked() -> None:
    scene = Scene(batches="partial")
    ids = scene.add("a", "b")
    scene.label(ids, ["RED", "RED"], "INFERENCE", model="m:1")
    data = {"labelType": "DEFAULT", "labelsData": labels(ids, ["GREY", "PINK"])}
    scene.rejection(APPEND_LABELS, data=data, where={})
    marks = [asset.inference_mark for asset in scene.sandbox.store.tables.assets.values()]
    assert marks == [0.5, None]


def test_labels_are_found_by_asset_and_by_id(scene: Scene) -> None:
    ids = scene.add("a", "b")
    made = scene.label(ids, ["RED", "GREY"])
    query = "query ($w: LabelWhere!) { labels(where: $w, first: 100, skip: 0) { id } }"

    def found(**where: Any) -> list[str]:
        return [label["id"] for label in scene.call(query, w=where)["labels"]]

    project = {"project": {"id": scene.project_id}}
    assert found() == made
    assert found(**project, asset={"idIn": ids[::-1]}) == made
    assert found(asset={**project, "externalIdStrictlyIn": ["b"]}) == made[1:]
    assert found(asset={**project, "stepStatusIn": ["TO_DO"]}) == []
    assert found(idIn=made[::-1]) == made
    assert found(id=made[0], idIn=made[1:]) == []


def test_labels_since_a_day_are_those_of_a_search_through_all(scene: Scene) -> None:
    ids = scene.add("a", "b", "c")
    made = []
    for asset in ids:
        made += scene.label([asset], ["RED"]) + scene.label([asset], ["GREY"], "INFERENCE", model="m:1")
        scene.now += 86_400.0
    scene.label(ids[:1], ["BLUE"], "INFERENCE", model="m:1", overwrite=True)  # replaced: it is of another day now
    query = "query ($w: LabelWhere!) { labels(where: $w, first: 100, skip: 0) { id } countLabels(where: $w) }"
    tables = scene.sandbox.store.tables
    for bound in ("2027-01-14", "2027-01-15", "2027-01-16", "2027-01-16T08:00:00.001Z", "2027-01-19"):
        where = {"project": {"id": scene.project_id}, "createdAtGte": bound}
        expected = [one.id for one in tables.labels.values() if one.created_at >= bound]
        found = scene.call(query, w=where)
        assert [one["id"] for one in found["labels"]] == expected, bound
        assert found["countLabels"] == len(expected)
    assert len(tables.labels) == len(made)
    assert made[1] not in tables.labels


def test_two_labels_of_one_asset_in_one_overwrite_are_both_kept(scene: Scene) -> None:
    (asset_id,) = scene.add("a")
    scene.label([asset_id], ["BLUE"], "INFERENCE", model="m:1")
    scene.label([asset_id] * 2, ["RED", "GREY"], "INFERENCE", model="m:1", overwrite=True)
    assert report(scene)["duplicate_inference_labels"] == 1


def test_labels_of_a_wrong_project_are_refused(scene: Scene) -> None:
    ids = scene.add("a")
    create = 'mutation { createProject(data: {title: "other"}) { id } }'
    other = scene.call(create)["createProject"]["id"]
    data = {"labelType": "DEFAULT", "labelsData": labels(ids, ["RED"])}
    assert "[noAccessRights]" in scene.rejection(APPEND_LABELS, data=data, where={"project": {"id": other}})


def test_labels_of_an_unknown_author_are_refused(scene: Scene) -> None:
    ids = scene.add("a")
    rows = [{**labels(ids, ["RED"])[0], "authorID": "nobody"}]
    assert "user" in scene.rejection(APPEND_LABELS, data={"labelType": "DEFAULT", "labelsData": rows}, where={})


@pytest.mark.parametrize(
    "data",
    [
        {"externalIDArray": ["a", "b"], "contentArray": [""]},
        {},
        {"externalIDArray": ["a"], "contentArray": [""], "jsonMetadataArray": ["[]"]},
    ],
)
def test_imports_that_make_no_sense_are_refused(scene: Scene, data: dict[str, Any]) -> None:
    assert "[wrongArguments]" in scene.rejection(APPEND_ASSETS, data=data, where={"id": scene.project_id})


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, ["a", "b", "c"]),
        ({"label": {}, "issue": {}, "id": None}, ["a", "b", "c"]),
        ({"externalIdIn": ["a", "c"]}, ["a", "c"]),
        ({"externalIdStrictlyIn": []}, []),
        ({"metadata": {"n": 2}}, ["b"]),
        ({"metadata": {"n": [1, 2]}}, ["a", "b"]),
        ({"metadata": {"word": ["x", "z"]}}, ["a", "c"]),
        ({"metadata": {"missing": 1}}, []),
        ({"skipped": False}, ["a", "b", "c"]),
        ({"statusIn": ["LABELED"]}, ["a"]),
        ({"stepStatusIn": ["TO_DO"]}, ["b", "c"]),
        ({"stepStatusNotIn": ["TO_DO"]}, ["a"]),
        ({"label": {"typeIn": ["DEFAULT"]}}, ["a"]),
        ({"label": {"typeIn": ["INFERENCE"], "search": "COLOUR.GREY.count > 0"}}, ["b"]),
        ({"label": {"typeIn": ["DEFAULT"], "search": "COLOUR.GREY.count > 0"}}, []),
        ({"label": {"labelerIn": ["Bot 1"]}}, ["a"]),
        ({"label": {"reviewerIn": ["Bot 1"]}}, []),
        ({"inferenceMarkGte": 0.4, "inferenceMarkLte": 0.6}, ["a"]),
        ({"consensusMarkGte": 0}, []),
        ({"createdAtGte": "2027-01-15", "createdAtLte": "2027-01-15"}, ["a", "b", "c"]),
        ({"updatedAtLte": "2027-01-14"}, []),
        ({"createdAtGte": "2027-01-15T08:00:00Z", "createdAtLte": "2027-01-15T08:00:00.000Z"}, ["a", "b", "c"]),
        ({"createdAtGte": "2027-01-15T08:00:00.001Z"}, []),
        ({"createdAtLte": "2027-01-15T09:59:59+02:00"}, []),
        ({"issue": {"status": "OPEN"}}, []),
        ({"groupNameIn": ["g"]}, []),
    ],
)
def test_asset_filters(where: dict[str, Any], expected: list[str]) -> None:
    scene = Scene()
    metadata = ['{"n": 1, "word": "x"}', '{"n": 2, "word": "y"}', '{"n": 3, "word": "z"}']
    ids = scene.add("a", "b", "c", jsonMetadataArray=metadata)
    scene.label(ids[:2], ["RED", "GREY"], "INFERENCE", model="m:1")
    scene.label(ids[:1], ["BLUE"])
    assert scene.find(**where) == expected


def test_a_bound_that_is_no_time_is_refused(scene: Scene) -> None:
    scene.add("a")
    where = {"project": {"id": scene.project_id}, "createdAtGte": "yesterday"}
    assert "'yesterday' is no date" in scene.rejection(ASSETS, where=where, first=1, skip=0)


def test_ids_are_returned_in_the_order_of_creation(scene: Scene) -> None:
    ids = scene.add("a", "b", "c")
    assert scene.find(idIn=[ids[2], ids[0], ID]) == ["a", "c"]
    assert scene.find(id=ids[1]) == ["b"]
    assert scene.find(id=ids[1], idIn=[ids[0]]) == []
    assert scene.find(idNotIn=ids[:2]) == ["c"]


def test_assets_are_found_across_projects_by_id_only(scene: Scene) -> None:
    ids = scene.add("a")
    found = scene.call(ASSETS, where={"id": ids[0]}, first=1, skip=0)["assets"]
    assert found == [{"externalId": "a"}]


@pytest.mark.parametrize("first", [-1, 101, True])
def test_a_page_has_at_most_100_rows(scene: Scene, first: int) -> None:
    assert "PageSize" in scene.rejection(ASSETS, where={}, first=first, skip=0)


def test_an_unknown_project_shows_nothing(scene: Scene) -> None:
    where = {"project": {"id": ID}}
    assert "[noAccessRights]" in scene.rejection(ASSETS, where=where, first=1, skip=0)


def test_the_queue_holds_what_waits_in_kilis_order(scene: Scene) -> None:
    ids = scene.add("a", "b", "c", "d", "e")
    update = "mutation ($w: [AssetWhere!]!, $d: [AssetData!]!) { updatePropertiesInAssets(where: $w, data: $d) { id } }"
    scene.call(update, w=[{"id": key} for key in ids], d=[{"priority": number} for number in (1, 5, 5, 0, 9)])
    scene.label(ids[4:], ["RED"])
    head = queue(scene.sandbox.store.tables, project_id=scene.project_id, first=3)
    assert [asset["externalId"] for asset in head] == ["b", "c", "a"]


def test_a_failing_write_is_reported_asset_by_asset(scene: Scene) -> None:
    ids = scene.add("a", "b")
    query = """
    mutation ($w: AssetWhere!) {
      setAssetsPriority(where: $w, priority: 3) { succeeded { externalId } failed { externalId } }
    }"""
    rejections = [Refuse(external_ids=frozenset({"b"}))]
    outcome = scene.answer(query, rejections, w={"idIn": ids})["data"]["setAssetsPriority"]
    assert outcome == {"succeeded": [{"externalId": "a"}], "failed": [{"externalId": "b"}]}


def test_people_who_disagree_lower_the_consensus(scene: Scene) -> None:
    ids = scene.add("a")
    other = scene.sandbox.set_api_key("other", "2090-01-01T00:00:00.000Z").user_id
    scene.label(ids, ["RED"])
    rows = [{**labels(ids, ["GREY"])[0], "authorID": other}]
    scene.call(APPEND_LABELS, data={"labelType": "DEFAULT", "labelsData": rows}, where={})
    assert scene.sandbox.store.tables.assets[ids[0]].consensus_mark == 0.5


def test_a_renamed_class_changes_what_is_taken(scene: Scene) -> None:
    ids = scene.add("a")
    update = "mutation ($d: ProjectData!, $w: ProjectWhere!) { updatePropertiesInProject(data: $d, where: $w) { id } }"
    interface = '{"jobs": {"COLOUR": {"mlTask": "CLASSIFICATION", "content": {"categories": {"CRIMSON": {}}}}}}'
    scene.call(update, d={"jsonInterface": interface}, w={"id": scene.project_id})
    data = {"labelType": "DEFAULT", "labelsData": labels(ids, ["RED"])}
    assert "has no category 'RED'" in scene.rejection(APPEND_LABELS, data=data, where={})
    scene.label(ids, ["CRIMSON"])
