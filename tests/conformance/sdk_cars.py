"""A project to classify cars by colour, and what tests do with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from worker.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from kili.client import Kili

#: One client for all that goes past the SDK: making one takes longer than most calls.
HTTP = httpx.Client(timeout=30)

CREATE_PROJECT = "mutation ($data: CreateProjectData!) { createProject(data: $data) { id } }"
APPEND = """
mutation ($data: AppendManyAssetsData!, $where: ProjectWhere!) {
  appendManyAssets(data: $data, where: $where) { id }
}"""

COLOURS = {
    "jobs": {
        "CLASSIFICATION_JOB": {
            "mlTask": "CLASSIFICATION",
            "content": {
                "categories": {
                    name: {"name": name.title(), "children": []} for name in ("RED", "BLACK", "WHITE", "GREY")
                },
                "input": "radio",
            },
            "required": 0,
            "isChild": False,
            "instruction": "Color",
        }
    }
}


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Ask until the answer is yes; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"


def colour(name: str) -> dict[str, Any]:
    """A json_response of the project of cars."""
    return {"CLASSIFICATION_JOB": {"categories": [{"name": name}]}}


def answer(sandbox: SandboxProcess, query: str, **variables: Any) -> dict[str, Any]:
    """Call the sandbox past the SDK, which allows itself 500 calls a minute: setting a scene need not count."""
    answered: dict[str, Any] = HTTP.post(
        sandbox.endpoint,
        headers={"Authorization": f"X-API-Key: {sandbox.api_key}"},
        json={"query": query, "variables": variables},
    ).json()
    return answered


def call(sandbox: SandboxProcess, query: str, **variables: Any) -> dict[str, Any]:
    """Return the data of a call that must go well."""
    answered = answer(sandbox, query, **variables)
    assert "errors" not in answered, answered
    return answered["data"]


def rejection(sandbox: SandboxProcess, query: str, **variables: Any) -> str:
    """Return the message of a call that must be refused."""
    return str(answer(sandbox, query, **variables)["errors"][0]["message"])


def create_project(
    sandbox: SandboxProcess,
    interface: dict[str, Any] = COLOURS,
    input_type: str = "IMAGE",
    title: str = "cars",
    **options: Any,
) -> str:
    """Create a project, by default one to classify cars by colour."""
    data = {"title": title, "inputType": input_type, "jsonInterface": json.dumps(interface), **options}
    return call(sandbox, CREATE_PROJECT, data=data)["createProject"]["id"]


class Cars:
    """Assets of a project to classify cars by colour; asset n has the metadata {"number": n, "kind": "car"}."""

    def __init__(self, sandbox: SandboxProcess, kili: Kili, project_id: str, names: list[str]) -> None:
        self.sandbox = sandbox
        self.kili = kili
        self.project_id = project_id
        self.names = names
        self.ids = [
            asset["id"]
            for first in range(0, len(names), 100)
            for asset in self._import(sandbox, range(first, min(first + 100, len(names))))
        ]

    def _import(self, sandbox: SandboxProcess, numbers: range) -> list[dict[str, str]]:
        data = {
            "contentArray": [f"https://example.com/{self.names[number]}.jpg" for number in numbers],
            "externalIDArray": [self.names[number] for number in numbers],
            "jsonMetadataArray": [json.dumps({"number": number, "kind": "car"}) for number in numbers],
        }
        return call(sandbox, APPEND, data=data, where={"id": self.project_id})["appendManyAssets"]

    def label(self, colours: list[str], label_type: str = "DEFAULT", **options: Any) -> list[str]:
        """Label the first assets and return the ids of the labels."""
        answers = self.kili.append_labels(
            asset_id_array=self.ids[: len(colours)],
            json_response_array=[colour(name) for name in colours],
            label_type=label_type,
            disable_tqdm=True,
            **options,
        )
        return [answer["id"] for answer in answers]

    def find(self, **filters: Any) -> list[str]:
        """Return the external ids of the assets that pass a filter."""
        assets = self.kili.assets(self.project_id, fields=["id", "externalId"], disable_tqdm=True, **filters)
        return [asset["externalId"] for asset in assets]

    def read(self, *fields: str, **filters: Any) -> list[dict[str, Any]]:
        """Return fields of the assets."""
        return self.kili.assets(self.project_id, fields=list(fields), disable_tqdm=True, **filters)

    def labels(self, *fields: str, **filters: Any) -> list[dict[str, Any]]:
        """Return fields of the labels."""
        return self.kili.labels(self.project_id, fields=list(fields), disable_tqdm=True, **filters)
