"""The sandbox judges the worker, so it must not share the worker's code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker.sandbox

FOLDER = Path(worker.sandbox.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The modules a file imports, wherever in it, with relative names made whole."""
    package = ["worker", "sandbox", *path.relative_to(FOLDER).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, node.module or ""]).rstrip(".")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_nothing_of_the_worker_is_imported(path: Path) -> None:
    foreign = [name for name in imported(path) if name.split(".")[0] == "worker"]
    assert [name for name in foreign if name != "worker.sandbox" and not name.startswith("worker.sandbox.")] == []


def test_the_search_for_imports_finds_them() -> None:
    names = {name for path in FILES for name in imported(path)}
    assert {"graphql", "worker.sandbox.responses.reading", "worker.sandbox.responses.validation"} <= names
