"""Every row of docs/guarantees.md names tests that exist, where it says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?!fault \|)(?!---)(?P<fault>.+?) \| (?P<promise>.+?) \| (?P<tests>.+?) \|$", re.MULTILINE)
FOLDER = re.compile(r"`(tests/[\w/]+)`: ")
CASE = re.compile(r"^def (test_\w+)\(", re.MULTILINE)


def rows() -> list[tuple[str, str, set[str]]]:
    """Each fault, the folder of its tests, their names."""
    text = (ROOT / "docs/guarantees.md").read_text("utf-8")
    return [
        (row["fault"], (FOLDER.findall(row["tests"]) or ["tests/faults"])[0], set(re.findall(r"`(test_\w+)`", row[0])))
        for row in ROW.finditer(text)
    ]


def cases_of(folder: str) -> set[str]:
    written = [path.read_text("utf-8") for path in (ROOT / folder).rglob("test_*.py")]
    return {name for text in written for name in CASE.findall(text)}


def test_every_promise_is_proved_by_a_test_of_the_suite() -> None:
    known = {folder: cases_of(folder) for _, folder, _ in rows()}
    assert len(rows()) > 40
    assert [fault for fault, folder, tests in rows() if not tests or not tests <= known[folder]] == []
