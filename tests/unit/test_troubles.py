"""A case fails on what its workers complain of, unless it has announced it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.troubles import TROUBLES, Troubles


def write(folder: Path, *actions: str, worker: str = "worker-1") -> None:
    with (folder / f"{worker}.log").open("a") as log:
        for action in actions:
            log.write(json.dumps({"message": "wave ended: 'wave_failed'", "action": action}) + "\n")
        log.write("\nworker: Warm shutdown (MainProcess)\n")


@pytest.mark.parametrize("action", TROUBLES)
def test_a_complaint_is_found_in_every_log(tmp_path: Path, action: str) -> None:
    troubles = Troubles(tmp_path)
    write(tmp_path, "wave", "started")
    assert troubles.unexplained() == []
    write(tmp_path, "wave", action, worker="worker-2")
    assert [line["action"] for line in troubles.unexplained()] == [action]


def test_what_was_announced_or_said_before_the_case_is_no_complaint(tmp_path: Path) -> None:
    troubles = Troubles(tmp_path)
    write(tmp_path, "thread_failed")
    troubles.begin()
    assert troubles.unexplained() == []
    troubles.expect("wave_ended")
    write(tmp_path, "wave_ended", "wave_failed")
    assert [line["action"] for line in troubles.unexplained()] == ["wave_failed"]
    troubles.begin()
    write(tmp_path, "wave_ended")
    assert [line["action"] for line in troubles.unexplained()] == ["wave_ended"]
