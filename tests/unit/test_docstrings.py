"""The arguments that a docstring explains are those that the function has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKER = Path(__file__).parents[2] / "worker"
SECTION = re.compile(r"^Args:\n((?:    .*\n?)+)", re.MULTILINE)
NAME = re.compile(r"^    (\w+):", re.MULTILINE)

Signature = tuple[str, set[str], set[str]]


def signatures(source: str) -> Iterator[Signature]:
    """Name, explained and real arguments of each function, and of each class that explains its ``__init__``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, explained(node), arguments(node)
        if isinstance(node, ast.ClassDef):
            for one in node.body:
                if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                    yield node.name, explained(node), arguments(one)


def explained(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    section = SECTION.search(ast.get_docstring(node) or "")
    return set(NAME.findall(section[1])) if section else set()


def arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    every = node.args
    more = [one for one in (every.vararg, every.kwarg) if one is not None]
    return {one.arg for one in [*every.posonlyargs, *every.args, *every.kwonlyargs, *more]}


def test_a_docstring_explains_only_arguments_that_exist() -> None:
    unknown = {
        f"{path.relative_to(WORKER)}: {name}": sorted(named - real)
        for path in sorted(WORKER.rglob("*.py"))
        for name, named, real in signatures(path.read_text("utf-8"))
        if named - real
    }
    assert unknown == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('def f(a, *, b):\n    """Do.\n\n    Args:\n        a: one.\n        c: two.\n    """\n', {"c"}),
        ('class C:\n    """Do.\n\n    Args:\n        a: one.\n    """\n    def __init__(self, b): ...\n', {"a"}),
        ('def f(a, **more):\n    """Do.\n\n    Args:\n        a: one, or\n            two: three.\n    """\n', set()),
    ],
)
def test_an_argument_that_does_not_exist_is_found(source: str, expected: set[str]) -> None:
    assert set().union(*(named - real for _, named, real in signatures(source))) == expected
