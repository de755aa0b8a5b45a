"""Copies of projects through the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.sdk_cars import COLOURS, Cars, colour

if TYPE_CHECKING:
    from kili.client import Kili

FIELDS = ["labelOf.externalId", "labelType", "modelName", "jsonResponse", "author.email"]


def labels(kili: Kili, project_id: str) -> list[Any]:
    return sorted(kili.labels(project_id, fields=FIELDS, disable_tqdm=True), key=str)


def test_a_copy_has_the_assets_and_labels_of_its_source(cars: Cars) -> None:
    kili = cars.kili
    cars.label(["RED", "GREY"], "INFERENCE", model_name="m:1")
    cars.label(["RED"])
    copy = kili.copy_project(cars.project_id, copy_assets=True, copy_labels=True, disable_tqdm=True)
    assert copy != cars.project_id
    [project] = kili.projects(project_id=copy, fields=["title", "jsonInterface"])
    assert project == {"title": "cars (copy)", "jsonInterface": COLOURS}
    assert labels(kili, copy) == labels(kili, cars.project_id)
    statuses = kili.assets(copy, fields=["externalId", "status"], disable_tqdm=True)
    assert [asset["externalId"] for asset in statuses if asset["status"] == "LABELED"] == ["a"]


def test_a_copy_without_assets_is_empty_and_stands_alone(cars: Cars) -> None:
    kili = cars.kili
    copy = kili.copy_project(cars.project_id, title="another", copy_members=False, disable_tqdm=True)
    assert kili.count_assets(copy) == 0
    kili.append_many_to_dataset(copy, content_array=["https://example.com/z.jpg"], external_id_array=["z"])
    kili.append_labels(
        project_id=copy, asset_external_id_array=["z"], json_response_array=[colour("RED")], label_type="DEFAULT"
    )
    assert cars.find() == ["a", "b", "c", "d"]
