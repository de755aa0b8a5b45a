"""Assets through the SDK: import, ids, metadata, filters, pages, deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.sdk_cars import Cars, colour, create_project
from worker.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from kili.client import Kili

IDS = [f"cm0abcde{number:04d}wxyz01234567" for number in range(4)]


def test_ids_made_by_the_client_are_kept(kili: Kili, new_project: Callable[..., str]) -> None:
    project_id = new_project()
    answer = kili.append_many_to_dataset(
        project_id=project_id,
        content_array=["https://example.com/x.jpg", "https://example.com/y.jpg"],
        external_id_array=["x", "y"],
        id_array=IDS[:2],
    )
    assert answer["asset_ids"] == IDS[:2]
    assert [asset["id"] for asset in kili.assets(project_id, fields=["id"])] == IDS[:2]


def test_external_ids_that_exist_are_left_out_by_the_sdk(cars: Cars) -> None:
    with pytest.warns(UserWarning, match="already"):
        cars.kili.append_many_to_dataset(
            project_id=cars.project_id,
            content_array=["https://example.com/a.jpg", "https://example.com/e.jpg"],
            external_id_array=["a", "e"],
        )
    assert cars.find() == ["a", "b", "c", "d", "e"]


def test_metadata_goes_in_as_text_and_comes_out_as_an_object(cars: Cars) -> None:
    assert cars.read("jsonMetadata")[1]["jsonMetadata"] == {"number": 1, "kind": "car"}


def test_metadata_is_replaced_as_a_whole(cars: Cars) -> None:
    cars.kili.update_properties_in_assets(asset_ids=cars.ids[:1], json_metadatas=[{"doubt": 0.7}])
    assert cars.read("jsonMetadata")[0]["jsonMetadata"] == {"doubt": 0.7}


def test_properties_can_be_updated_by_external_id(cars: Cars) -> None:
    cars.kili.update_properties_in_assets(
        external_ids=["b"], project_id=cars.project_id, contents=["https://example.com/new.jpg"]
    )
    assert cars.read("content")[1]["content"] == "https://example.com/new.jpg"


def test_a_renamed_asset_is_found_by_its_new_external_id_only(cars: Cars) -> None:
    cars.kili.change_asset_external_ids(new_external_ids=["z"], asset_ids=cars.ids[:1])
    assert cars.find(external_id_strictly_in=["z"]) == ["z"]
    assert cars.find(external_id_strictly_in=["a"]) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"external_id_strictly_in": ["d", "b", "nothing"]}, 2),
        ({"external_id_in": ["a"]}, 1),
        ({"metadata_where": {"kind": ["bus", "car", "van"]}}, 4),
        ({"metadata_where": {"number": [1, 2]}}, 2),
        ({"created_at_lte": "2024-01-01"}, 0),
        ({"updated_at_gte": "2024-01-01", "updated_at_lte": "2099-01-01"}, 4),
        ({"status_in": ["LABELED"]}, 2),
        ({"step_status_in": ["TO_DO"]}, 2),
        ({"step_name_in": ["Labeling"], "step_status_not_in": ["TO_DO"]}, 2),
        ({"label_type_in": ["INFERENCE"]}, 2),
        ({"label_author_in": ["nobody"]}, 0),
        ({"label_created_at_gte": "2024-01-01"}, 3),
        (
            {"label_category_search": "CLASSIFICATION_JOB.RED.count > 0 OR CLASSIFICATION_JOB.GREY.count == 1"},
            3,
        ),
        ({"inference_mark_gte": 0.9}, 1),
        ({"honeypot_mark_gte": 0}, 0),
        ({"issue_status": "OPEN"}, 0),
    ],
)
def test_filters_let_the_right_assets_pass(labeled_cars: Cars, filters: dict[str, Any], expected: int) -> None:
    assert labeled_cars.kili.count_assets(labeled_cars.project_id, **filters) == expected


@pytest.fixture(scope="module")
def labeled_cars(sandbox: SandboxProcess, kili: Kili) -> Cars:
    """Four cars: a and b labeled by a person, b and c by a model; they agree on b."""
    cars = Cars(sandbox, kili, create_project(sandbox), ["a", "b", "c", "d"])
    cars.label(["RED", "RED"])
    kili.append_labels(
        asset_id_array=cars.ids[1:3],
        json_response_array=[colour("RED"), colour("GREY")],
        label_type="INFERENCE",
        model_name="m:1",
    )
    return cars


def test_an_unknown_id_finds_nothing(cars: Cars) -> None:
    assert cars.find(asset_id=IDS[3]) == []
    assert cars.find(asset_id_in=[cars.ids[2], cars.ids[0], IDS[3]]) == ["a", "c"]
    assert cars.find(asset_id_not_in=[cars.ids[0]]) == ["b", "c", "d"]


def test_lists_obey_the_same_filters(labeled_cars: Cars) -> None:
    assert labeled_cars.find(metadata_where={"number": [1, 2]}) == ["b", "c"]


def test_pages_join_without_gap_or_overlap(sandbox: SandboxProcess, kili: Kili) -> None:
    names = [f"asset {number}" for number in range(230)]
    cars = Cars(sandbox, kili, create_project(sandbox), names)
    assert cars.find() == names
    assert cars.find(skip=95, first=110) == names[95:205]


def test_assigned_people_can_be_filtered_by(cars: Cars) -> None:
    user = cars.kili.kili_api_gateway.get_current_user(["id", "email"])
    cars.kili.update_properties_in_assets(asset_ids=cars.ids[:1], to_be_labeled_by_array=[[user["email"]]])
    assert cars.find(assignee_in=[user["id"]]) == ["a"]
    assert cars.find(assignee_not_in=[user["id"]]) == ["b", "c", "d"]


def test_deleted_assets_take_their_labels_with_them(cars: Cars) -> None:
    cars.label(["RED", "GREY"])
    outcome = cars.kili.delete_many_from_dataset(asset_ids=cars.ids[:1])
    assert outcome["succeeded"] == [{"assetId": cars.ids[0], "externalId": "a"}]
    assert cars.find() == ["b", "c", "d"]
    assert cars.kili.count_labels(cars.project_id) == 1


def test_an_asset_deleted_twice_is_still_a_success(cars: Cars) -> None:
    cars.kili.delete_many_from_dataset(asset_ids=cars.ids[:1])
    outcome = cars.kili.delete_many_from_dataset(asset_ids=cars.ids[:1])
    assert [reference["assetId"] for reference in outcome["succeeded"]] == cars.ids[:1]
