"""Local files, texts and imports in the background through the SDK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.conformance.sdk_cars import HTTP
from tests.nursery import spawn
from worker.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from kili.client import Kili

PDF = b"%PDF-1.4 not looked at"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document.pdf"
    path.write_bytes(PDF)
    return path


def test_local_files_are_uploaded_and_can_be_fetched(
    kili: Kili, new_project: Callable[..., str], document: Path
) -> None:
    project_id = new_project(input_type="PDF")
    kili.append_many_to_dataset(
        project_id=project_id,
        content_array=[str(document)],
        external_id_array=["local"],
        json_metadata_array=[{"camera": 3}],
    )
    asset = kili.assets(project_id, fields=["id", "content", "jsonMetadata"])[0]
    assert HTTP.get(asset["content"]).content == PDF
    assert asset["jsonMetadata"] == {"camera": 3}
    assert f"projects/{project_id}/assets/{asset['id']}/content" in asset["content"]


def test_texts_are_uploaded_and_can_be_fetched(kili: Kili, new_project: Callable[..., str]) -> None:
    project_id = new_project(input_type="TEXT")
    text = "Gr\u00fc\u00dfe \u4e16\u754c"
    kili.append_many_to_dataset(project_id=project_id, content_array=[text], external_id_array=["t"])
    answer = HTTP.get(kili.assets(project_id, fields=["content"])[0]["content"])
    assert answer.text == text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_bucket_needs_its_signature(
    sandbox: SandboxProcess, kili: Kili, new_project: Callable[..., str], document: Path
) -> None:
    project_id = new_project(input_type="PDF")
    kili.append_many_to_dataset(project_id=project_id, content_array=[str(document)])
    url = httpx.URL(kili.assets(project_id, fields=["content"])[0]["content"])
    assert HTTP.get(url.copy_set_param("signature", "wrong")).status_code == 403
    assert HTTP.put(url.copy_set_param("signature", "wrong"), content=b"x").status_code == 403


@pytest.mark.parametrize(("name", "input_type"), [("large.tiff", "IMAGE"), ("film.mp4", "VIDEO")])
def test_large_files_are_imported_in_the_background(
    kili: Kili, new_project: Callable[..., str], tmp_path: Path, name: str, input_type: str
) -> None:
    project_id = new_project(input_type=input_type)
    path = tmp_path / name
    path.write_bytes(b"not looked at")
    answer = kili.append_many_to_dataset(project_id=project_id, content_array=[str(path)], external_id_array=["big"])
    assert answer["asset_ids"] == []
    assert kili.assets(project_id, fields=["externalId"]) == [{"externalId": "big"}]


def test_an_import_takes_its_time(
    kili: Kili, new_project: Callable[..., str], admin: Callable[..., Any], tmp_path: Path
) -> None:
    admin("config", {"import_delay": 0.5})
    project_id = new_project(input_type="VIDEO")
    path = tmp_path / "film.mp4"
    path.write_bytes(b"not looked at")
    kili.append_many_to_dataset(
        project_id=project_id,
        content_array=[str(path)],
        external_id_array=["later"],
        wait_until_availability=False,
    )
    assert admin("state", project=project_id)["assets"] == 0
    kili.append_many_to_dataset(project_id=project_id, content_array=[str(path)], external_id_array=["waited for"])
    assert admin("state", project=project_id)["assets"] == 2


def test_hosted_videos_take_frame_by_frame_labels(kili: Kili, new_project: Callable[..., str]) -> None:
    project_id = new_project(input_type="VIDEO")
    kili.append_many_to_dataset(
        project_id=project_id,
        content_array=["https://example.com/film.mp4"],
        external_id_array=["film"],
    )
    frames = {
        str(frame): {"CLASSIFICATION_JOB": {"categories": [{"name": "RED"}], "isKeyFrame": frame == 0}}
        for frame in range(3)
    }
    kili.append_labels(
        project_id=project_id,
        asset_external_id_array=["film"],
        json_response_array=[frames],
        label_type="INFERENCE",
        model_name="m:1",
    )
    assert kili.labels(project_id, fields=["jsonResponse"])[0]["jsonResponse"] == frames


def test_files_of_a_directory_are_served(document: Path) -> None:
    with SandboxProcess(spawn=spawn, files=str(document.parent)) as sandbox:
        assert HTTP.get(f"{sandbox.base_url}/files/{document.name}").content == PDF
        assert HTTP.get(f"{sandbox.base_url}/files/../conftest.py").status_code == 404


def test_large_bodies_arrive_compressed(kili: Kili, new_project: Callable[..., str]) -> None:
    project_id = new_project({"jobs": {"NOTE": {"mlTask": "TRANSCRIPTION", "content": {"input": None}}}})
    kili.append_many_to_dataset(
        project_id=project_id, content_array=["https://example.com/a.jpg"], external_id_array=["a"]
    )
    long = {"NOTE": {"text": "x" * 1_500_000}}
    kili.append_labels(
        project_id=project_id,
        asset_external_id_array=["a"],
        json_response_array=[long],
        label_type="INFERENCE",
    )
    assert kili.labels(project_id, fields=["jsonResponse"])[0]["jsonResponse"] == long
