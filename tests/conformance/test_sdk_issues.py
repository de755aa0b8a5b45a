"""Issues, questions and webhooks through the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance import kili_sdk
from tests.conformance.sdk_cars import Cars
from worker.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from kili.client import Kili


def test_an_issue_belongs_to_its_label_and_asset(cars: Cars) -> None:
    [label_id, _] = cars.label(["RED", "GREY"])
    [issue] = cars.kili.create_issues(cars.project_id, [label_id], object_mid_array=["m"], text_array=["too dark"])
    fields = ["id", "type", "status", "assetId", "objectMid", "author.email", "comments.text", "issueNumber"]
    [found] = cars.kili.issues(cars.project_id, fields=fields, disable_tqdm=True)
    assert found["id"] == issue["id"]
    assert (found["type"], found["status"], found["assetId"], found["objectMid"]) == ("ISSUE", "OPEN", cars.ids[0], "m")
    assert found["comments"] == [{"text": "too dark"}]
    assert found["issueNumber"] == 1


@pytest.mark.filterwarnings("ignore:Client domain api")
def test_issues_and_questions_are_found_by_asset_type_and_status(sandbox: SandboxProcess, cars: Cars) -> None:
    labels = cars.label(["RED", "GREY"])
    issues = cars.kili.create_issues(cars.project_id, labels)
    domain = kili_sdk.domain_kili(api_key=sandbox.api_key, api_endpoint=sandbox.endpoint, disable_tqdm=True)
    domain.questions.create(project_id=cars.project_id, asset_id=cars.ids[2], text="which colour?")
    cars.kili.update_issue_status(issues[0]["id"], "SOLVED")
    count = cars.kili.count_issues
    assert count(cars.project_id) == 3
    assert count(cars.project_id, issue_type="QUESTION") == 1
    assert count(cars.project_id, status="OPEN") == 2
    assert count(cars.project_id, asset_id=cars.ids[1]) == 1
    assert count(cars.project_id, asset_id_in=cars.ids[1:3]) == 2
    assert cars.find(issue_type="ISSUE", issue_status="SOLVED") == ["a"]
    assert cars.find(issue_type="QUESTION") == ["c"]
    project = cars.kili.projects(project_id=cars.project_id, fields=["numberOfOpenIssues", "numberOfSolvedIssues"])[0]
    assert project == {"numberOfOpenIssues": 1, "numberOfSolvedIssues": 1}


def test_an_issue_goes_with_its_asset(cars: Cars) -> None:
    cars.kili.create_issues(cars.project_id, cars.label(["RED"]))
    assert [asset["issues"] for asset in cars.read("issues.type")] == [[{"type": "ISSUE"}], [], [], []]
    cars.kili.delete_many_from_dataset(asset_ids=cars.ids[:1])
    assert cars.kili.count_issues(cars.project_id) == 0


def test_an_issue_with_an_unknown_label_is_refused(cars: Cars) -> None:
    with pytest.raises(kili_sdk.GraphQLError, match="noAccessRights"):
        cars.kili.create_issues(cars.project_id, ["nobody's label"])


def test_a_webhook_lives_from_creation_to_deletion(kili: Kili, cars: Cars) -> None:
    kili.create_webhook(webhook_url="https://example.com/hook", plugin_name="hook", header="secret")
    with pytest.raises(kili_sdk.GraphQLError, match="an entity Plugin already exists"):
        kili.create_webhook(webhook_url="https://example.com/hook", plugin_name="hook")
    kili.activate_plugin_on_project(plugin_name="hook", project_id=cars.project_id)
    assert [(hook["name"], hook["projectIds"]) for hook in kili.list_plugins()] == [("hook", [cars.project_id])]
    kili.update_webhook("https://example.com/other", "hook", event_matcher=["labels.created.submit"])
    kili.deactivate_plugin_on_project(plugin_name="hook", project_id=cars.project_id)
    assert kili.list_plugins()[0]["projectIds"] == []
    kili.delete_plugin(plugin_name="hook")
    assert kili.list_plugins() == []


def test_the_last_label_of_each_step_says_so(cars: Cars) -> None:
    for colour, label_type in [("RED", "DEFAULT"), ("GREY", "DEFAULT"), ("RED", "REVIEW"), ("RED", "INFERENCE")]:
        cars.label([colour], label_type, model_name="m:1")
    labels = cars.labels("labelType", "isLastForStep")
    assert [label["isLastForStep"] for label in labels] == [False, True, True, False]


def test_consensus_is_read_back(cars: Cars) -> None:
    cars.kili.update_asset_consensus(project_id=cars.project_id, asset_id=cars.ids[0], is_consensus=True)
    assert [asset["isConsensus"] for asset in cars.read("isConsensus")] == [True, False, False, False]


def test_a_map_can_be_labeled_in_pixels(kili: Kili) -> None:
    interface = {"jobs": {}}
    made = kili.create_project(input_type="GEOSPATIAL", json_interface=interface, title="p", pixel_labeling=True)
    plain = kili.create_project(input_type="GEOSPATIAL", json_interface=interface, title="d")
    for project, expected in ((made, {"labelingCRSCode": "PIXEL"}), (plain, None)):
        found = kili.projects(project_id=project["id"], fields=["geospatialSettings"])[0]
        assert found == {"geospatialSettings": expected}


def test_there_are_no_demo_projects_to_copy(kili: Kili) -> None:
    with pytest.raises(kili_sdk.GraphQLError, match="no demo projects"):
        kili.create_project(
            input_type="IMAGE",
            json_interface={"jobs": {}},
            title="d",
            from_demo_project="DEMO_COMPUTER_VISION_TUTORIAL",
        )
