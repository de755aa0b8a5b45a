"""A model may answer one of several required jobs, where the operator says so."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.faults.house import INTERFACE, House, found_labels, predictions


def two_required_jobs() -> dict[str, Any]:
    interface: dict[str, Any] = deepcopy(INTERFACE)
    interface["jobs"]["WHY"] = {"mlTask": "TRANSCRIPTION", "required": 1, "isChild": False, "content": {"input": None}}
    return interface


def test_required_jobs_stay_open_only_where_the_projects_file_allows_it(tmp_path: Path) -> None:
    path = tmp_path / "projects.toml"
    path.write_text("", "utf-8")
    with House({"WORKER_PROJECTS_FILE": str(path)}, open_jobs="accept") as house:
        house.worker()
        strict, partial = house.project(two_required_jobs()), house.project(two_required_jobs())
        path.write_text(f"[{json.dumps(partial)}]\npartial = true\njob = 'COLOUR'\n", "utf-8")
        house.publish([*predictions(strict, 3), *predictions(partial, 3)])
        house.await_settled()
        assert house.letters.causes() == {"missing_required_job": 3}
        assert {letter.about["field"] for letter in house.letters.letters()} == {"output.WHY"}
        assert {project for project, _, _ in found_labels(house.admin("state?full=1"))} == {partial}
