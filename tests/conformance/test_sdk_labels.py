"""Labels through the SDK: append, overwrite, read back, filter, delete."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

from tests.conformance.sdk_cars import Cars, colour


def test_labels_are_appended_not_replaced(cars: Cars) -> None:
    cars.label(["RED"], "INFERENCE", model_name="m:1")
    cars.label(["GREY"], "INFERENCE", model_name="m:1")
    assert [label["jsonResponse"] for label in cars.labels("jsonResponse")] == [colour("RED"), colour("GREY")]


def test_overwrite_replaces_labels_of_the_same_type_and_model_on_these_assets(cars: Cars) -> None:
    old = cars.label(["RED", "RED"], "INFERENCE", model_name="m:1")
    other_model = cars.label(["RED"], "INFERENCE", model_name="m:2")
    other_type = cars.label(["RED"], "PREDICTION", model_name="m:1")
    new = cars.label(["GREY"], "INFERENCE", model_name="m:1", overwrite=True)
    assert {label["id"] for label in cars.labels("id")} == {old[1], *other_model, *other_type, *new}


def test_labels_know_their_model_and_asset(cars: Cars) -> None:
    cars.label(["RED"], "INFERENCE", model_name="m:1")
    label = cars.labels("modelName", "labelOf.externalId", "labelType", "assetId", "projectId")[0]
    assert label == {
        "modelName": "m:1",
        "labelOf": {"externalId": "a"},
        "labelType": "INFERENCE",
        "assetId": cars.ids[0],
        "projectId": cars.project_id,
    }


def test_times_have_milliseconds_and_a_z(cars: Cars) -> None:
    cars.label(["RED"])
    created = cars.labels("createdAt")[0]["createdAt"]
    assert len(created) == len("2026-11-01T10:00:00.000Z")
    assert created.endswith("Z")


def test_labels_can_be_filtered(cars: Cars) -> None:
    human = cars.label(["RED", "GREY"], seconds_to_label_array=[3, 4])
    model = cars.label(["RED"], "INFERENCE", model_name="m:1")
    me = cars.kili.kili_api_gateway.get_current_user(["id", "email"])

    def count(**filters: object) -> int:
        return cars.kili.count_labels(cars.project_id, **filters)

    assert [label["id"] for label in cars.labels("id")] == [*human, *model]
    assert [label["id"] for label in cars.labels("id", type_in=["INFERENCE"])] == model
    assert count(type_in=["DEFAULT"], asset_id=cars.ids[1]) == 1
    assert count(label_id=human[0]) == 1
    assert count(asset_external_id_strictly_in=["a"]) == 2
    assert count(created_at_gte="2024-01-01", created_at_lte="2099-01-01") == 3
    assert count(created_at_lte="2024-01-01") == 0
    assert count(author_in=["nobody"]) == 0
    assert count(user_id=me["id"]) == 3
    assert count(category_search="CLASSIFICATION_JOB.GREY.count > 0") == 1


def test_inferences_and_predictions_are_listed_apart(cars: Cars) -> None:
    cars.label(["RED"], "INFERENCE", model_name="m:1")
    cars.kili.create_predictions(
        project_id=cars.project_id,
        external_id_array=["b"],
        json_response_array=[colour("GREY")],
        model_name="m:2",
    )
    inferences = cars.kili.inferences(cars.project_id, fields=["modelName", "labelOf.externalId"])
    predictions = cars.kili.predictions(cars.project_id, fields=["modelName", "labelOf.externalId"])
    assert inferences == [{"modelName": "m:1", "labelOf": {"externalId": "a"}}]
    assert predictions == [{"modelName": "m:2", "labelOf": {"externalId": "b"}}]


def test_the_latest_label_of_a_user_is_marked_as_such(cars: Cars) -> None:
    cars.label(["RED"])
    cars.label(["GREY"])
    labels = cars.labels("isLatestLabelForUser", "isLatestDefaultLabelForUser")
    assert [label["isLatestLabelForUser"] for label in labels] == [False, True]
    assert [label["isLatestDefaultLabelForUser"] for label in labels] == [False, True]


def test_labels_can_be_deleted(cars: Cars) -> None:
    labels = cars.label(["RED", "GREY"])
    assert cars.kili.delete_labels(ids=labels[:1]) == labels[:1]
    assert [label["id"] for label in cars.labels("id")] == labels[1:]


def test_a_single_label_can_be_appended_the_old_way(cars: Cars) -> None:
    answer = cars.kili.append_to_labels(json_response=colour("GREY"), label_asset_id=cars.ids[0])
    label = cars.labels("id", "labelType")[0]
    assert label == {"id": answer["id"], "labelType": "DEFAULT"}


def test_a_honeypot_marks_the_labels_of_people(cars: Cars) -> None:
    cars.kili.create_honeypot(json_response=colour("RED"), asset_id=cars.ids[0])
    cars.label(["GREY"])
    assert cars.read("isHoneypot", "honeypotMark")[0] == {"isHoneypot": True, "honeypotMark": 0.5}


def test_a_prediction_that_comes_after_the_human_is_compared_too(cars: Cars) -> None:
    cars.label(["RED"])
    assert cars.labels("inferenceMark")[0]["inferenceMark"] is None
    cars.label(["RED"], "INFERENCE", model_name="m:1")
    assert [label["inferenceMark"] for label in cars.labels("inferenceMark")] == [1.0, None]


def test_the_newest_prediction_counts(cars: Cars) -> None:
    cars.label(["GREY"], "INFERENCE", model_name="m:1")
    cars.label(["RED"])
    cars.label(["RED"], "INFERENCE", model_name="m:2")
    assert cars.read("inferenceMark")[0]["inferenceMark"] == 1.0


def test_assets_and_their_labels_can_be_exported(cars: Cars, tmp_path: Path) -> None:
    cars.label(["RED", "GREY"], "INFERENCE", model_name="m:1")
    cars.label(["BLACK"])
    archive = tmp_path / "cars.zip"
    cars.kili.export_labels(cars.project_id, filename=str(archive), fmt="kili", with_assets=False)
    with ZipFile(archive) as found:
        latest = json.loads(found.read("labels/a.json"))["latestLabel"]
    assert (latest["labelType"], latest["jsonResponse"]) == ("DEFAULT", colour("BLACK"))
