"""A sandbox in its own process and the official SDK, unmodified, on top of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.sdk_cars import HTTP, Cars, create_project
from tests.nursery import spawn
from worker.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from kili.client import Kili


def pytest_configure(config: pytest.Config) -> None:
    """Keep the SDK's own deprecations quiet: some of what is deprecated is what is tested."""
    for source in (r"kili\..*", r"pyparsing\..*"):
        config.addinivalue_line("filterwarnings", f"ignore::DeprecationWarning:{source}")


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
    with SandboxProcess(spawn=spawn, import_delay=0) as process:
        yield process


@pytest.fixture(scope="module")
def kili(sandbox: SandboxProcess) -> Kili:
    """The SDK, imported here: it takes seconds, and the process that only hands out the tests needs none of it."""
    from kili.client import Kili

    return Kili(api_key=sandbox.api_key, api_endpoint=sandbox.endpoint, disable_tqdm=True)


@pytest.fixture(autouse=True)
def _calm(sandbox: SandboxProcess) -> Iterator[None]:
    """Take faults and switches back after each test."""
    before = HTTP.get(f"{sandbox.admin_url}/config").json()
    yield
    HTTP.delete(f"{sandbox.admin_url}/faults")
    HTTP.post(f"{sandbox.admin_url}/config", json=before)


@pytest.fixture
def admin(sandbox: SandboxProcess) -> Callable[..., Any]:
    """Call the admin surface: admin("state", project=...) or admin("faults", content)."""

    def call(path: str, content: Any = None, **params: Any) -> Any:
        method = "GET" if content is None else "POST"
        url = f"{sandbox.admin_url}/{path}"
        answer = HTTP.request(method, url, params=params, json=content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return call


@pytest.fixture
def new_project(sandbox: SandboxProcess) -> Callable[..., str]:
    """Create a project, by default one to classify cars by colour."""
    return partial(create_project, sandbox)


@pytest.fixture
def cars(sandbox: SandboxProcess, kili: Kili) -> Cars:
    """Four cars without labels."""
    return Cars(sandbox, kili, create_project(sandbox), ["a", "b", "c", "d"])
