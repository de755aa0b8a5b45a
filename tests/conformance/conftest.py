"""A sandbox in its own process and the official SDK, unmodified, on top of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from kili.client import Kili

from worker.sandbox.process import SandboxProcess

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


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the SDK's schema cache out of the real home directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("KILI_API_KEY", "KILI_API_ENDPOINT", "KILI_SDK_SKIP_CHECKS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(import_delay=0) as process:
        yield process


@pytest.fixture(scope="module")
def kili(sandbox: SandboxProcess) -> Kili:
    return Kili(api_key=sandbox.api_key, api_endpoint=sandbox.endpoint, disable_tqdm=True)


@pytest.fixture(autouse=True)
def _calm(sandbox: SandboxProcess) -> Iterator[None]:
    """Take faults and switches back after each test."""
    before = httpx.get(f"{sandbox.admin_url}/config").json()
    yield
    httpx.delete(f"{sandbox.admin_url}/faults")
    httpx.post(f"{sandbox.admin_url}/config", json=before)


@pytest.fixture
def admin(sandbox: SandboxProcess) -> Callable[..., Any]:
    """Call the admin surface: admin("state", project=...) or admin("faults", content)."""

    def call(path: str, content: Any = None, **params: Any) -> Any:
        method = "GET" if content is None else "POST"
        url = f"{sandbox.admin_url}/{path}"
        answer = httpx.request(method, url, params=params, json=content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return call


@pytest.fixture
def new_project(kili: Kili) -> Callable[..., str]:
    """Create a project, by default one to classify cars by colour."""

    def create(interface: dict[str, Any] = COLOURS, input_type: str = "IMAGE", title: str = "cars") -> str:
        return kili.create_project(input_type=input_type, json_interface=interface, title=title)["id"]

    return create


def colour(name: str) -> dict[str, Any]:
    """A json_response of the project of cars."""
    return {"CLASSIFICATION_JOB": {"categories": [{"name": name}]}}


class Cars:
    """A project with a few assets."""

    def __init__(self, kili: Kili, project_id: str, names: list[str]) -> None:
        self.kili = kili
        self.project_id = project_id
        self.names = names
        self.ids: list[str] = kili.append_many_to_dataset(
            project_id=project_id,
            content_array=[f"https://example.com/{name}.jpg" for name in names],
            external_id_array=names,
            json_metadata_array=[{"number": index, "kind": "car"} for index, _ in enumerate(names)],
            disable_tqdm=True,
        )["asset_ids"]

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


@pytest.fixture
def cars(kili: Kili, new_project: Callable[..., str]) -> Cars:
    return Cars(kili, new_project(), ["a", "b", "c", "d"])
