"""A sandbox in this process, with a clock that tests turn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from worker.sandbox.core import Sandbox
from worker.sandbox.envelope import run
from worker.sandbox.errors import Refuse
from worker.sandbox.process import SandboxConfig

KEY = "key"
INTERFACE = {
    "jobs": {
        "COLOUR": {
            "mlTask": "CLASSIFICATION",
            "content": {"categories": {"RED": {}, "GREY": {}, "BLUE": {}}, "input": "radio"},
            "isChild": False,
        }
    }
}
APPEND_ASSETS = """
mutation ($data: AppendManyAssetsData!, $where: ProjectWhere!) {
  appendManyAssets(data: $data, where: $where) { id }
}"""
APPEND_LABELS = """
mutation ($data: AppendManyLabelsData!, $where: AssetWhere!) {
  appendManyLabels(data: $data, where: $where) { id }
}"""
ASSETS = """
query ($where: AssetWhere!, $first: PageSize!, $skip: Int!) {
  assets(where: $where, first: $first, skip: $skip) { externalId }
}"""


def colour(name: str) -> str:
    """A json_response to the interface above."""
    return json.dumps({"COLOUR": {"categories": [{"name": name}]}})


class Scene:
    """A sandbox with one project; `now` is its clock in seconds."""

    def __init__(self, **options: Any) -> None:
        self.now = 1_800_000_000.0
        self.sandbox = Sandbox(SandboxConfig(api_keys=(KEY,), **options), clock=lambda: self.now)
        data = {"title": "t", "jsonInterface": json.dumps(INTERFACE)}
        create = "mutation ($data: CreateProjectData!) { createProject(data: $data) { id } }"
        self.project_id = self.call(create, data=data)["createProject"]["id"]

    def answer(self, query: str, rejections: Sequence[Refuse] = (), **variables: Any) -> dict[str, Any]:
        """Return the whole answer of a call."""
        prepared = self.sandbox.documents.prepare(query, None)
        user = self.sandbox.user_of(KEY)
        assert user is not None
        return run(self.sandbox, prepared, variables, user=user, base_url="http://sandbox", rejections=rejections)

    def call(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the data of a call that must go well."""
        answer = self.answer(query, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    def rejection(self, query: str, **variables: Any) -> str:
        """Return the message of a call that must be refused."""
        return self.answer(query, **variables)["errors"][0]["message"]

    def add(self, *external_ids: str, **columns: list[Any]) -> list[str]:
        """Import assets and return their ids."""
        data = {"externalIDArray": list(external_ids), "contentArray": [""] * len(external_ids), **columns}
        where = {"id": self.project_id}
        return [row["id"] for row in self.call(APPEND_ASSETS, data=data, where=where)["appendManyAssets"]]

    def label(self, asset_ids: list[str], colours: list[str], label_type: str = "DEFAULT", **data: Any) -> list[str]:
        """Label assets and return the ids of the labels."""
        rows = labels(asset_ids, colours, data.pop("model", None))
        data = {"labelType": label_type, "labelsData": rows, **data}
        return [row["id"] for row in self.call(APPEND_LABELS, data=data, where={})["appendManyLabels"]]

    def find(self, **where: Any) -> list[str]:
        """Return the external ids of the assets of the project that pass a where-object."""
        where = {"project": {"id": self.project_id}, **where}
        assets = self.call(ASSETS, where=where, first=100, skip=0)["assets"]
        return [asset["externalId"] for asset in assets]


def labels(asset_ids: list[str], colours: list[str], model: str | None = None) -> list[dict[str, Any]]:
    """Compose labelsData."""
    return [
        {"assetID": asset_id, "jsonResponse": colour(name), "modelName": model}
        for asset_id, name in zip(asset_ids, colours, strict=True)
    ]
