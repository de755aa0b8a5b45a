"""The pages of docs/reference say what the code does, and the architecture page names what is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from scripts.reference import cli, exit_codes, log_actions, settings
from scripts.write_reference import FOLDER, PAGES
from worker.cli import COMMANDS, main
from worker.cli.local import INTERRUPTED, TERMINATED
from worker.settings.tree import environment_names, explain

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    written = (FOLDER / name).read_text("utf-8")
    assert written == PAGES[name]().rstrip("\n") + "\n", "write it anew: python -m scripts.write_reference"


def test_every_command_and_every_option_has_a_place_and_a_meaning() -> None:
    page = cli.page()
    for name, command in cli.commands():
        assert re.search(rf"^##+ {name}$", page, re.MULTILINE)
        assert command.help, name
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{name} {option.name}"
                assert f"`{option.opts[0]}`" in page


def test_every_setting_has_a_row_with_a_meaning_and_every_number_a_unit() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", settings.page(), re.MULTILINE)
    assert [name for name, _ in rows] == [name for name, _, _ in explain()]
    assert {name for name, _ in rows} <= environment_names()
    assert all(len(meaning) > 3 for _, meaning in rows)
    assert [one for one in settings.numbers() if not settings.unit_of(*one)] == []


def test_every_log_action_has_a_level_and_a_meaning() -> None:
    found = log_actions.found()
    assert set(found) == set(log_actions.ACTIONS), "scripts/reference/log_actions.py says what each means"
    assert [action for action, use in found.items() if not use.levels] == []
    assert len(found) > 50


def test_no_action_is_overlooked() -> None:
    """Every dictionary with an ``action``, also where the page's reading of the code would see no call of a logger."""
    texts = set()
    for path in (ROOT / "worker").rglob("*.py"):
        if path.relative_to(ROOT / "worker").parts[0] not in ("sandbox", "demo"):
            text = path.read_text("utf-8")
            texts |= set(_actions(ast.parse(text))) if "action" in text else set()
    asyncapi, of_libraries = "receive", "log"
    assert texts - set(log_actions.found()) == {asyncapi, of_libraries}


def _actions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
            if isinstance(key, ast.Constant) and key.value == "action" and isinstance(value, ast.Constant):
                yield value.value


def test_every_command_says_what_1_means_and_every_code_is_listed() -> None:
    assert set(exit_codes.FAILURES) == set(COMMANDS)
    assert {0, 1, 2, INTERRUPTED, TERMINATED} == set(exit_codes.CODES)
    known = {"1", "TERMINATED", "0 if keep else INTERRUPTED", "worker.exitcode or 0"}
    assert {expression for _, expression in exit_codes.written_exits()} == known


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["schema"], 0),
        (["health", "--file", "there/is/none"], 1),
        (["explain", "-"], 1),
        (["schema", "--no-such-option"], 2),
        (["no-such-command"], 2),
        (["evaluate", "-"], 2),
    ],
)
def test_a_command_exits_with_what_the_page_says(arguments: list[str], code: int) -> None:
    assert CliRunner().invoke(main, arguments, input="{}").exit_code == code


NAMED = re.compile(r"((?:\w+/)*\w+\.py): ((?:\w+\.)?\w+)")


def named_functions() -> list[tuple[str, str]]:
    return sorted(set(NAMED.findall((ROOT / "docs" / "architecture.md").read_text("utf-8"))))


@pytest.mark.parametrize(("file", "name"), named_functions())
def test_a_function_that_the_architecture_names_is_in_its_file(file: str, name: str) -> None:
    places = [path for path in modules() if str(path).endswith(f"/{file}")]
    assert any(name in _defined(path) for path in places), f"{file} has no {name}"


def test_the_diagram_names_functions() -> None:
    diagram = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("```mermaid")[2].partition("```")[0]
    assert diagram.strip().startswith("sequenceDiagram")
    assert len(NAMED.findall(diagram)) >= 15


@cache
def modules() -> list[Path]:
    return list((ROOT / "worker").rglob("*.py"))


@cache
def _defined(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names |= {node.name, *(f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef))}
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return names


def test_the_glossary_has_at_most_25_words_each_once() -> None:
    words = re.findall(r"^\*\*([^*]+)\*\*$", (FOLDER / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert 0 < len(words) == len(set(words)) <= 25
