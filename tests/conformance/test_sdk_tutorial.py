"""The tutorial "How to import inference labels", step by step, as a user of Kili runs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.conformance.sdk_cars import COLOURS, colour

if TYPE_CHECKING:
    from kili.client import Kili

CARS = ["black_car.jpg", "grey_car.jpg", "white_car.jpg", "red_car.jpg"]
HUMAN = ["BLACK", "GREY", "WHITE", "RED"]
MODEL = ["WHITE", "GREY", "RED", "BLACK"]


@pytest.fixture(scope="module")
def project_id(kili: Kili) -> Iterator[str]:
    """A project in which model and humans have labeled all cars."""
    project_id = kili.create_project(input_type="IMAGE", json_interface=COLOURS, title="cars")["id"]
    kili.append_many_to_dataset(
        project_id=project_id,
        content_array=[f"https://example.com/{name}" for name in CARS],
        external_id_array=CARS,
    )
    kili.append_labels(
        project_id=project_id,
        asset_external_id_array=CARS,
        json_response_array=[colour(name) for name in MODEL],
        model_name="my_model",
        label_type="INFERENCE",
    )
    kili.append_labels(
        project_id=project_id,
        asset_external_id_array=CARS,
        json_response_array=[colour(name) for name in HUMAN],
        label_type="DEFAULT",
    )
    yield project_id
    kili.delete_project(project_id)


def test_the_assets_are_there_in_the_order_of_their_import(kili: Kili, project_id: str) -> None:
    assets = kili.assets(project_id)
    assert [asset["externalId"] for asset in assets] == CARS
    assert [asset["content"] for asset in assets] == [f"https://example.com/{name}" for name in CARS]
    assert all(len(asset["labels"]) == 2 for asset in assets)


def test_human_labels_carry_the_inference_marks_of_the_tutorial(kili: Kili, project_id: str) -> None:
    labels = kili.labels(project_id, fields=["inferenceMark", "id", "labelOf.id"], type_in=["DEFAULT"])
    assert [label["inferenceMark"] for label in labels] == [0.5, 1, 0.5, 0.5]


def test_three_assets_show_a_disagreement_between_human_and_model(kili: Kili, project_id: str) -> None:
    disagreements = {}
    for label in kili.labels(project_id, fields=["inferenceMark", "id", "labelOf.id"], type_in=["DEFAULT"]):
        if label["inferenceMark"] < 1:
            model = kili.labels(
                project_id,
                asset_id=label["labelOf"]["id"],
                type_in=["INFERENCE"],
                output_format="parsed_label",
            )[0]
            human = kili.labels(project_id, label_id=label["id"], output_format="parsed_label")[0]
            disagreements[human.jobs["CLASSIFICATION_JOB"].category.name] = model.jobs[
                "CLASSIFICATION_JOB"
            ].category.name
    assert disagreements == {"BLACK": "WHITE", "WHITE": "RED", "RED": "BLACK"}


def test_assets_can_be_found_by_their_inference_mark(kili: Kili, project_id: str) -> None:
    low = kili.assets(project_id, inference_mark_gte=0, inference_mark_lte=0.6, fields=["externalId"])
    assert [asset["externalId"] for asset in low] == ["black_car.jpg", "white_car.jpg", "red_car.jpg"]
    high = kili.assets(project_id, inference_mark_gte=0.6, fields=["externalId", "inferenceMark"])
    assert high == [{"externalId": "grey_car.jpg", "inferenceMark": 1.0}]


def test_a_deleted_project_is_gone(kili: Kili) -> None:
    project_id = kili.create_project(input_type="IMAGE", json_interface=COLOURS, title="cars")["id"]
    assert kili.delete_project(project_id) == project_id
    assert kili.count_projects(project_id=project_id) == 0
