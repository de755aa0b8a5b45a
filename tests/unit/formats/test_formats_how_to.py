"""The pages about formats are true: the guide's mapping works as printed, the number of formats is the registry's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.reference.formats import number_of_formats
from worker.cli import main
from worker.formats import formats
from worker.formats.registry import plugins

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/how-to/new-format.md").read_text("utf-8")
MAPPING = GUIDE.partition("```toml\n")[2].partition("```")[0]
MESSAGE = GUIDE.partition("`message.json`:\n\n```json\n")[2].partition("```")[0]


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "warehouse.toml"
    path.write_text(MAPPING, "utf-8")
    return path


@pytest.fixture
def message(tmp_path: Path) -> Path:
    path = tmp_path / "message.json"
    path.write_text(MESSAGE, "utf-8")
    return path


def test_a_format_of_one_s_own_takes_fifteen_lines_of_toml() -> None:
    assert len([line for line in MAPPING.splitlines() if line.strip()]) <= 15


def test_the_guide_s_tests_pass_as_printed(warehouse: Path) -> None:
    done = CliRunner().invoke(main, ["formats", "test", str(warehouse)])
    assert done.exit_code == 0, done.output
    assert done.output.strip() in GUIDE


def test_the_guide_s_mapping_can_be_tried_and_used(warehouse: Path, message: Path) -> None:
    tried = CliRunner().invoke(main, ["explain", str(message), "--mapping", str(warehouse)])
    assert tried.output.startswith("format         warehouse\n"), tried.output
    used = CliRunner().invoke(main, ["explain", str(message)], env={"WORKER_PROJECTS_FILE": str(warehouse)})
    assert used.output.startswith("format         warehouse\n"), used.output
    alone = CliRunner().invoke(main, ["explain", str(message)])
    assert alone.exit_code == 1


def test_a_mapping_that_fails_its_test_ends_the_command_with_one(warehouse: Path) -> None:
    warehouse.write_text(MAPPING.replace('"score": 0.92, "box"', '"score": 0.5, "box"'), "utf-8")
    done = CliRunner().invoke(main, ["formats", "test", str(warehouse)])
    assert done.exit_code == 1
    assert "FAILED  warehouse, test 1" in done.output
    assert "1 of 2 passed" in done.output


def test_a_mapping_that_is_wrong_is_named_with_key_and_place(warehouse: Path) -> None:
    warehouse.write_text(MAPPING.replace(".at}]}", ".at]}"), "utf-8")
    done = CliRunner().invoke(main, ["formats", "test", str(warehouse)])
    assert done.exit_code != 0
    assert re.search(r"formats\.warehouse\.read: syntax error.*line 1, column \d+", done.output)


def test_the_list_holds_every_format_and_whose_it_is(warehouse: Path) -> None:
    done = CliRunner().invoke(main, ["formats", "list", "--mapping", str(warehouse), "--json"])
    rows = {row["name"]: row["origin"] for row in json.loads(done.output)["formats"]}
    assert len(rows) == number_of_formats() + len(plugins().formats) + 1
    assert (rows["warehouse"], rows["roboflow"], rows["ultralytics"]) == ("yours", "mapping", "built in")


def test_the_number_of_formats_is_the_registry_s() -> None:
    number = len(formats()) - len(plugins().formats)
    assert number == number_of_formats()
    assert f"[{number} formats](docs/formats.md)" in (ROOT / "README.md").read_text("utf-8")
    assert f"There are {number} formats:" in (ROOT / "docs/formats.md").read_text("utf-8")
