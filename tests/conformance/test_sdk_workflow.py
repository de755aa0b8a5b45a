"""Priorities, review, queue, people and projects through the SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance import kili_sdk
from tests.conformance.sdk_cars import COLOURS, Cars
from worker.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from kili.client import Kili


def priorities(cars: Cars) -> list[int]:
    return [asset["priority"] for asset in cars.read("priority")]


def test_many_priorities_are_set_in_one_call(cars: Cars, admin: Callable[..., Any]) -> None:
    admin("reset", {})
    cars.kili.update_properties_in_assets(asset_ids=cars.ids, priorities=[1, 9, 0, 9])
    assert priorities(cars) == [1, 9, 0, 9]
    assert admin("calls")["operations"]["updatePropertiesInAssets"]["count"] == 1


def test_one_priority_is_set_for_many_assets(cars: Cars) -> None:
    outcome = cars.kili.set_assets_priority(priority=7, asset_ids=cars.ids[:2])
    assert [reference["externalId"] for reference in outcome["succeeded"]] == ["a", "b"]
    assert priorities(cars) == [7, 7, 0, 0]


def test_assets_that_do_not_wait_for_work_decline_a_priority(cars: Cars) -> None:
    cars.label(["RED"])
    outcome = cars.kili.set_assets_priority(priority=7, asset_ids=cars.ids[:2])
    assert [reference["externalId"] for reference in outcome["declined"]] == ["a"]
    assert priorities(cars) == [0, 7, 0, 0]


def test_the_domain_api_sets_priorities_too(sandbox: SandboxProcess, cars: Cars) -> None:
    kili = kili_sdk.domain_kili(api_key=sandbox.api_key, api_endpoint=sandbox.endpoint)
    kili.assets.update_priority(asset_ids=cars.ids[:2], priorities=[3, 4])
    assert priorities(cars)[:2] == [3, 4]


def test_the_queue_is_ordered_by_priority_then_creation(cars: Cars, admin: Callable[..., Any]) -> None:
    cars.kili.update_properties_in_assets(asset_ids=cars.ids, priorities=[0, 5, 9, 5])
    queue = admin("queue", project=cars.project_id, first=10)
    assert [asset["externalId"] for asset in queue] == ["c", "b", "d", "a"]


def test_labeled_and_skipped_assets_leave_the_queue(cars: Cars, admin: Callable[..., Any]) -> None:
    cars.label(["RED"])
    cars.kili.skip_or_unskip("skip", cars.ids[1], cars.project_id, "no car")
    assert [asset["externalId"] for asset in admin("queue", project=cars.project_id)] == ["c", "d"]
    assert cars.find(skipped=True) == ["b"]
    cars.kili.skip_or_unskip("unskip", cars.ids[1], cars.project_id)
    assert [asset["externalId"] for asset in admin("queue", project=cars.project_id)] == ["b", "c", "d"]


def test_predictions_do_not_move_an_asset(cars: Cars) -> None:
    cars.label(["RED"], "INFERENCE", model_name="m:1")
    cars.label(["RED"], "PREDICTION", model_name="m:1")
    assert cars.read("currentStep.status", "status")[0] == {
        "currentStep": {"status": "TO_DO"},
        "status": "TODO",
    }


def test_only_labeled_assets_go_to_review(cars: Cars) -> None:
    cars.label(["RED"])
    outcome = cars.kili.add_to_review(asset_ids=cars.ids[:2])
    assert [reference["externalId"] for reference in outcome["succeeded"]] == ["a"]
    assert [reference["externalId"] for reference in outcome["declined"]] == ["b"]
    assert cars.find(status_in=["TO_REVIEW"]) == ["a"]


def test_assets_are_sent_back_to_the_queue(cars: Cars, admin: Callable[..., Any]) -> None:
    cars.label(["RED"])
    outcome = cars.kili.send_back_to_queue(asset_ids=cars.ids[:2])
    assert [reference["externalId"] for reference in outcome["succeeded"]] == ["a"]
    assert [reference["externalId"] for reference in outcome["declined"]] == ["b"]
    assert cars.find(step_status_in=["REWORK"]) == ["a"]
    assert "a" in [asset["externalId"] for asset in admin("queue", project=cars.project_id)]


def test_a_review_finishes_an_asset(cars: Cars) -> None:
    cars.label(["RED"])
    cars.label(["RED"], "REVIEW")
    assert cars.find(status_in=["REVIEWED"]) == ["a"]


def test_a_label_can_be_given_for_a_step(cars: Cars) -> None:
    cars.label(["RED"], project_id=cars.project_id, step_name="Labeling")
    assert cars.find(status_in=["LABELED"]) == ["a"]


def test_assets_are_assigned_and_unassigned(cars: Cars) -> None:
    user = cars.kili.kili_api_gateway.get_current_user(["id", "email"])
    outcome = cars.kili.assign_assets_to_labelers(asset_ids=cars.ids[:2], to_be_labeled_by_array=[[user["id"]], []])
    assert len(outcome["succeeded"]) == 2
    assert [asset["assignees"] for asset in cars.read("assignees.id")[:2]] == [[{"id": user["id"]}], []]


def test_consensus_is_switched_on_while_an_asset_waits(cars: Cars) -> None:
    cars.kili.update_asset_consensus(cars.project_id, is_consensus=True, asset_id=cars.ids[0])
    assert cars.read("isUsedForConsensus")[0] == {"isUsedForConsensus": True}


def test_a_project_comes_back_as_it_was_created(kili: Kili, new_project: Callable[..., str]) -> None:
    project_id = new_project(title="a title")
    project = kili.projects(
        project_id=project_id,
        fields=["id", "title", "inputType", "jsonInterface", "workflowVersion", "steps.name", "steps.type"],
    )[0]
    assert project["jsonInterface"] == COLOURS
    assert project["title"] == "a title"
    assert [step["type"] for step in project["steps"]] == ["DEFAULT", "REVIEW"]
    assert kili.projects(project_id=project_id)[0]["title"] == "a title"


def test_projects_are_found_by_title(kili: Kili, new_project: Callable[..., str]) -> None:
    project_id = new_project(title="needle in the hay")
    assert [project["id"] for project in kili.projects(search_query="%needle%", fields=["id"])] == [project_id]


def test_project_properties_are_updated(kili: Kili, new_project: Callable[..., str]) -> None:
    project_id = new_project()
    kili.update_properties_in_project(project_id=project_id, title="new", review_coverage=42)
    project = kili.projects(project_id=project_id, fields=["title", "reviewCoverage"])[0]
    assert project == {"title": "new", "reviewCoverage": 42}


def test_members_are_added_to_a_project(kili: Kili, new_project: Callable[..., str]) -> None:
    project_id = new_project()
    kili.append_to_roles(project_id=project_id, user_email="eve@example.com", role="LABELER")
    members = kili.project_users(project_id=project_id, email="eve@example.com", fields=["role", "user.email"])
    assert [(member["role"], member["user"]) for member in members] == [("LABELER", {"email": "eve@example.com"})]


def test_project_counts_follow_the_work(cars: Cars) -> None:
    cars.label(["RED"])
    fields = ["numberOfAssets", "numberOfRemainingAssets", "numberOfLatestLabels"]
    project = cars.kili.projects(project_id=cars.project_id, fields=fields)[0]
    assert project == {"numberOfAssets": 4, "numberOfRemainingAssets": 3, "numberOfLatestLabels": 1}


@pytest.mark.parametrize("title", ["unicode \u00fc\u4e2d", "with 'quotes' and \"more\""])
def test_titles_survive_as_they_are(kili: Kili, new_project: Callable[..., str], title: str) -> None:
    assert kili.projects(project_id=new_project(title=title), fields=["title"]) == [{"title": title}]
