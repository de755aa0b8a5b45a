"""Every dependency has a reason, and every reason a dependency."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared() -> set[str]:
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    names = {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0] for line in lines}
    return names - {PROJECT["name"]}


def test_every_dependency_has_a_line_that_says_why() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    reasons = dict(re.findall(r"^- `([^`]+)`: (.+)$", page, flags=re.MULTILINE))

    assert set(reasons) == declared()
    assert all(len(reason) > 10 for reason in reasons.values())


def test_every_extra_that_is_named_anywhere_exists() -> None:
    places = [*(ROOT / "worker").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"]
    named = {
        extra.strip()
        for place in places
        for found in re.findall(r"(?:kili-prediction-worker|['\" ]\.)\[([a-z, -]+)\]", place.read_text("utf-8"))
        for extra in found.split(",")
    }

    assert "demo" in named
    assert named <= set(PROJECT["optional-dependencies"])


def test_every_extra_has_a_section() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()

    assert set(re.findall(r"^## `\[([a-z-]+)\]`$", page, flags=re.MULTILINE)) == set(PROJECT["optional-dependencies"])
