"""Every row of docs/guarantees.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?!fault \|)(?!---)(?P<fault>.+?) \| (?P<promise>.+?) \| (?P<tests>.+?) \|$", re.MULTILINE)


def rows() -> list[tuple[str, list[str]]]:
    text = (ROOT / "docs/guarantees.md").read_text("utf-8")
    return [(row["fault"], re.findall(r"`(test_\w+)`", row["tests"])) for row in ROW.finditer(text)]


def test_every_promise_is_proved_by_a_test_of_the_suite() -> None:
    written = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    known = set(re.findall(r"^def (test_\w+)\(", written, re.MULTILINE))
    assert len(rows()) > 40
    assert [fault for fault, tests in rows() if not tests or not set(tests) <= known] == []
