"""A few seeds, each in a process of its own: with a fixed order of sets a trace is the same wherever it is made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.run import plan_of

ROOT = Path(__file__).parents[2]
SMALL = ("--days", "0.003", "--messages", "40000", "--no-shrink")


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """The command, as ``make simulate`` runs it."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_newer_answers_without_content_hold_all_that_is_promised() -> None:
    found = run("--seeds", "3", *SMALL, "--bare")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "seed 3: ok" in found.stdout


def test_the_same_seed_makes_the_same_trace_byte_for_byte(tmp_path: Path) -> None:
    traces = []
    for number in range(2):
        trace = tmp_path / str(number)
        found = run("--seeds", "3", *SMALL, "--trace", str(trace))
        assert found.returncode == 0, found.stdout + found.stderr
        assert "seed 3: ok" in found.stdout
        traces.append(trace.read_bytes())
    assert traces[0] == traces[1]
    assert len(traces[0].splitlines()) > 100


@pytest.mark.slow
def test_a_planted_fault_is_found_and_replayed_by_the_line_that_is_printed() -> None:
    found = run("--seeds", "3", *SMALL, "--plant")
    assert found.returncode == 1, found.stdout + found.stderr
    line = re.search(r"python -m tests\.simulation (.*?)  # .*\(trace (\w+)\)", found.stdout)
    assert line is not None, found.stdout
    again = run(*line.group(1).split())
    assert again.returncode == 1
    assert line.group(2) in again.stdout


@pytest.mark.slow
def test_a_failing_seed_is_made_smaller_and_the_smaller_one_replays() -> None:
    tiny = ("--days", "0.0008", "--messages", "80000")
    plan = plan_of(3, 0.0008, 80_000, forgets=True)
    few = ["0"] * (len(plan.episodes) - 2)  # leaving out all faults but two, so that it takes seconds
    found = run("--seeds", "3", *tiny, "--plant", "--without", ",".join(few))
    assert found.returncode == 1, found.stdout + found.stderr
    line = re.search(r"python -m tests\.simulation (.*?--without (\S+).*?)  # .*\(trace (\w+)\)", found.stdout)
    assert line is not None, found.stdout
    left_out = line.group(2).split(",")
    assert left_out[: len(few)] == few
    assert len(left_out) >= len(few) + 2, "neither the faults nor the harm done to workers are needed to forget labels"
    again = run(*line.group(1).split())
    assert again.returncode == 1
    assert line.group(3) in again.stdout


@pytest.mark.slow
def test_a_fault_is_found_when_its_mending_is_taken_back() -> None:
    found = run("--seeds", "3", *SMALL, "--bare", "--revert", "carrier")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "not delivered although nothing is in the way" in found.stdout
