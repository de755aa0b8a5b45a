"""Videos and rich text as the SDK sends them, against a sandbox that takes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance import kili_sdk
from tests.conformance.sdk_cars import APPEND, HTTP, rejection
from worker.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from kili.client import Kili

FILM = "https://example.com/film.mp4"
FRAMES = ["https://example.com/0.jpg", "https://example.com/1.jpg"]


@pytest.fixture(autouse=True)
def _strict(admin: Callable[..., Any]) -> None:
    admin("config", {"imports": "strict"})


def operations(admin: Callable[..., Any]) -> set[str]:
    return set(admin("calls")["operations"])


def test_a_hosted_video_goes_in_the_background_and_is_waited_for(
    kili: Kili, new_project: Callable[..., str], admin: Callable[..., Any]
) -> None:
    project_id = new_project(input_type="VIDEO")
    admin("reset", {})
    answer = kili.append_many_to_dataset(
        project_id=project_id, content_array=[FILM], external_id_array=["film"], disable_tqdm=True
    )
    assert answer["asset_ids"] == []
    assert kili.assets(project_id, fields=["content", "externalId"]) == [{"content": FILM, "externalId": "film"}]
    assert {"appendManyAssetsAsynchronously", "notifications"} <= operations(admin)
    assert "appendManyAssets" not in operations(admin)


def test_a_video_to_be_cut_into_frames_goes_in_the_background_too(kili: Kili, new_project: Callable[..., str]) -> None:
    project_id = new_project(input_type="VIDEO")
    kili.append_many_to_dataset(
        project_id=project_id,
        content_array=[FILM],
        external_id_array=["film"],
        json_metadata_array=[{"processingParameters": {"shouldUseNativeVideo": False, "framesPlayedPerSecond": 5}}],
    )
    assert kili.count_assets(project_id) == 1


@pytest.mark.parametrize("hosted", [True, False])
def test_frames_go_as_an_index_map_in_the_bucket(
    kili: Kili, new_project: Callable[..., str], tmp_path: Path, hosted: bool
) -> None:
    project_id = new_project(input_type="VIDEO")
    frames = FRAMES
    if not hosted:
        frames = [str(tmp_path / "0.jpg"), str(tmp_path / "1.jpg")]
        for frame in frames:
            Path(frame).write_bytes(b"not looked at")
    kili.append_many_to_dataset(project_id=project_id, json_content_array=[frames], external_id_array=["film"])
    asset = kili.assets(project_id, fields=["content", "jsonContent"])[0]
    assert asset["content"] == ""
    content = asset["jsonContent"]
    if isinstance(content, str):
        content = HTTP.get(content).json()
    assert list(content) == ["0", "1"]
    assert not hosted or list(content.values()) == FRAMES


def test_rich_text_goes_as_a_file_in_the_bucket(kili: Kili, new_project: Callable[..., str]) -> None:
    project_id = new_project(input_type="TEXT")
    text = [{"children": [{"id": "p", "text": "Salt and glass."}]}]
    kili.append_many_to_dataset(project_id=project_id, json_content_array=[text], external_id_array=["t"])
    assert kili.count_assets(project_id) == 1


@pytest.mark.parametrize(
    ("input_type", "content", "json_content", "words"),
    [
        ("VIDEO", FILM, "", "appendManyAssetsAsynchronously"),
        ("VIDEO", "", '{"0": "https://example.com/0.jpg"}', "file in the bucket"),
        ("TEXT", "", '[{"children": []}]', "file in the bucket"),
    ],
)
def test_what_the_sdk_never_sends_is_refused(
    sandbox: SandboxProcess,
    new_project: Callable[..., str],
    input_type: str,
    content: str,
    json_content: str,
    words: str,
) -> None:
    project_id = new_project(input_type=input_type)
    data = {"contentArray": [content], "jsonContentArray": [json_content], "externalIDArray": ["a"]}
    assert words in rejection(sandbox, APPEND, data=data, where={"id": project_id})


def test_an_import_that_fails_says_so_and_imports_the_rest(
    kili: Kili, new_project: Callable[..., str], admin: Callable[..., Any]
) -> None:
    project_id = new_project(input_type="VIDEO")
    admin("faults", [{"action": {"kind": "fail_import", "external_ids": ["broken"]}}])
    with pytest.raises(kili_sdk.BatchImportError):
        kili.append_many_to_dataset(
            project_id=project_id, content_array=[FILM, FILM], external_id_array=["broken", "whole"]
        )
    assert kili.assets(project_id, fields=["externalId"]) == [{"externalId": "whole"}]
