"""Several mutations in one document: executed in order, failing one by one, and refused where a switch says so."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.unit.sandbox.scene import KEY, Scene, labels
from worker.sandbox.server import ENDPOINT, app_of

TOGETHER = """
mutation ($assets: AppendManyAssetsData!, $project: ProjectWhere!, $labels: AppendManyLabelsData!) {
  first: appendManyAssets(data: $assets, where: $project) { id }
  second: appendManyLabels(data: $labels, where: {}) { id }
}"""


class Server:
    """A sandbox behind HTTP."""

    def __init__(self, **options: Any) -> None:
        self.scene = Scene(**options)
        self._transport = httpx.ASGITransport(app_of(self.scene.sandbox))

    def harm(self, **rule: Any) -> None:
        self.scene.sandbox.script.add([rule])

    def together(self, *names: str) -> tuple[int, dict[str, Any]]:
        """Create assets and label them in one document."""
        rows = labels(list(names), ["RED"] * len(names), "m:1")
        variables = {
            "assets": {"idArray": list(names), "externalIDArray": list(names), "contentArray": [""] * len(names)},
            "project": {"id": self.scene.project_id},
            "labels": {"labelType": "INFERENCE", "labelsData": rows},
        }
        return asyncio.run(self._post({"query": TOGETHER, "variables": variables}))

    async def _post(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"X-API-Key: {KEY}"}
        async with httpx.AsyncClient(transport=self._transport, base_url="http://sandbox", headers=headers) as http:
            answer = await http.post(ENDPOINT, json=body)
        return answer.status_code, answer.json()

    def labelled(self) -> int:
        return len(self.scene.sandbox.store.tables.labels)


def test_a_later_mutation_sees_what_an_earlier_one_did() -> None:
    server = Server()
    status, answer = server.together("a", "b")
    assert (status, set(answer), len(answer["data"]["second"])) == (200, {"data"}, 2)


def test_a_fault_of_one_mutation_leaves_the_others_alone() -> None:
    server = Server()
    server.harm(operation="appendManyLabels", times=1, action={"kind": "errors", "message": "no"})
    _, answer = server.together("a", "b")
    assert answer["data"]["second"] is None
    assert len(answer["data"]["first"]) == 2
    assert [(error["message"], error["path"]) for error in answer["errors"]] == [("no", ["second"])]
    assert server.labelled() == 0


def test_a_mutation_may_be_applied_and_fail_all_the_same() -> None:
    server = Server()
    server.harm(operation="appendManyLabels", action={"kind": "errors", "after": True})
    _, answer = server.together("a", "b")
    assert answer["data"]["second"] is None
    assert server.labelled() == 2


def test_items_are_refused_in_the_mutation_that_the_rule_names() -> None:
    server = Server()
    server.harm(operation="appendManyLabels", action={"kind": "refuse", "external_ids": ["a"]})
    _, answer = server.together("a", "b")
    assert len(answer["data"]["first"]) == 2
    assert [error["path"] for error in answer["errors"]] == [["second"]]


@pytest.mark.parametrize("operation", ["appendManyLabels", "*"])
def test_a_fault_below_graphql_hits_the_document(operation: str) -> None:
    server = Server()
    server.harm(operation=operation, action={"kind": "errors", "status": 500})
    status, answer = server.together("a", "b")
    assert (status, answer["data"]) == (500, None)
    assert server.scene.find() == []


def test_a_server_may_take_one_mutation_a_document_only() -> None:
    server = Server(mutations="one")
    status, answer = server.together("a", "b")
    assert (status, answer["errors"][0]["extensions"]["code"]) == (400, "GRAPHQL_VALIDATION_FAILED")
    assert server.scene.add("a")
