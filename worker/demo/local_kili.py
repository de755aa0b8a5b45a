"""What the demo asks of the sandbox: a project through Kili's own API, and what exists through the admin surface."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import httpx

from worker.demo.digits import CLASS_NAMES
from worker.demo.traffic import JOB

CREATE_PROJECT = "mutation ($data: CreateProjectData!) { data: createProject(data: $data) { id } }"
LIMIT_SECONDS = 30.0


def interface() -> dict[str, Any]:
    """The project's jsonInterface: one radio question with ten categories."""
    categories = {name: {"name": name.title(), "children": [], "id": f"category-{name}"} for name in CLASS_NAMES}
    job = {
        "mlTask": "CLASSIFICATION",
        "instruction": "Which digit is it?",
        "required": 1,
        "isChild": False,
        "content": {"categories": categories, "input": "radio"},
    }
    return {"jobs": {JOB: job}}


class LocalKili:
    """A client of one sandbox.

    Args:
        endpoint: GraphQL URL.
        admin_url: of the sandbox's own surface.
        api_key: accepted by the sandbox.
    """

    def __init__(self, endpoint: str, admin_url: str, api_key: str) -> None:
        self._endpoint = endpoint
        self._admin_url = admin_url
        self._client = httpx.Client(headers={"Authorization": f"X-API-Key: {api_key}"}, timeout=LIMIT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def create_project(self, title: str) -> str:
        """Create the project; its id. Raises RuntimeError with the server's words when it is refused."""
        data = {"title": title, "inputType": "IMAGE", "jsonInterface": json.dumps(interface())}
        body = {"query": CREATE_PROJECT, "variables": {"data": data}}
        answer = self._client.post(self._endpoint, json=body).raise_for_status().json()
        if "errors" in answer:
            raise RuntimeError(f"the sandbox creates no project: {answer['errors'][0]['message']}")
        return str(answer["data"]["data"]["id"])

    def forget_calls(self) -> None:
        """Count calls from now on."""
        self._client.post(f"{self._admin_url}/reset").raise_for_status()

    def calls(self) -> dict[str, int]:
        """GraphQL calls by operation since they were forgotten."""
        operations = self._get("calls")["operations"]
        return {name: int(one["count"]) for name, one in operations.items()}

    def assets(self, project_id: str) -> list[dict[str, Any]]:
        """Every asset of the project with its labels."""
        found: list[dict[str, Any]] = self._get("state", project=project_id, full="1")["items"]
        return found

    def _get(self, path: str, **params: str) -> Any:
        return self._client.get(f"{self._admin_url}/{path}", params=params).raise_for_status().json()
