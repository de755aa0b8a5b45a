"""A few seeds, each in a process of its own: with a fixed order of sets a trace is the same wherever it is made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_a_seed_holds_all_that_is_promised_and_makes_the_same_trace_byte_for_byte(tmp_path: Path) -> None:
    traces = []
    for number in range(2):
        trace = tmp_path / str(number)
        found = run("--seeds", "3", *SMALL, "--trace", str(trace))
        assert found.returncode == 0, found.stdout + found.stderr
        assert "seed 3: ok" in found.stdout
        traces.append(trace.read_bytes())
    assert traces[0] == traces[1]
    assert len(traces[0].splitlines()) > 100


def test_a_planted_fault_is_found_and_replayed_by_the_line_that_is_printed() -> None:
    found = run("--seeds", "3", *SMALL, "--plant")
    assert found.returncode == 1, found.stdout + found.stderr
    line = re.search(r"python -m tests\.simulation (.*?)  # .*\(trace (\w+)\)", found.stdout)
    assert line is not None, found.stdout
    again = run(*line.group(1).split())
    assert again.returncode == 1
    assert line.group(2) in again.stdout
