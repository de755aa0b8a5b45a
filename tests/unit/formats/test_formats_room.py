"""The room's walls: its public names, what it may import, its documentation and its examples."""

from __future__ import annotations

import ast
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import worker.formats
from worker.formats import FAMILIES, ReadOptions, read_payload

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))
READING = ("format", "classes", "image_size", "score_kind", "job")


OPTIONAL = {"PIL", "jq"}
"""What an extra brings, imported where it is used."""

ALLOWED = {"worker.environment", "worker.contract.output"}


def test_the_public_names_are_these() -> None:
    assert set(worker.formats.__all__) == {
        *("Catalogue", "MappingError", "extended", "formats"),
        *("FAMILIES", "AmbiguousFormat", "Envelope", "Event", "EventJoin", "Family", "JoinStep", "Joined", "Match"),
        *("Miss", "ModelOutput", "OutputError", "ReadOptions", "Reading", "ResultPointer", "UnknownFormat"),
        *("read_event", "read_item", "read_kili_response", "read_payload", "read_scores"),
        *("are_independent", "regions_of", "selected"),
    }
    assert all(hasattr(worker.formats, name) for name in worker.formats.__all__)


def imported_by(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= (
                {f"worker.{alias.name}" for alias in node.names} if node.module == "worker" else {node.module or ""}
            )
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "worker/formats").rglob("*.py")), ids=lambda path: path.stem)
def test_the_room_needs_the_standard_library_alone(path: Path) -> None:
    for name in imported_by(path):
        allowed = name.startswith("worker.formats") or name in ALLOWED
        assert allowed or name.partition(".")[0] in {*sys.stdlib_module_names, *OPTIONAL}


def test_every_option_of_a_family_exists() -> None:
    known = set(ReadOptions.__dataclass_fields__)
    assert all(set(family.options) <= known for family in FAMILIES.values())


def test_every_family_tells_its_source_and_rule() -> None:
    for family in FAMILIES.values():
        assert family.title
        assert family.rule
        assert family.sources
        assert all(source.startswith("https://") for source in family.sources)


def test_every_family_has_an_example() -> None:
    assert {path.stem for path in EXAMPLES} == set(FAMILIES)


def options_from(message: dict[str, Any]) -> ReadOptions:
    output = message["output"]
    given = {key: output[key] for key in READING if key in output}
    return ReadOptions(**given, text=message["asset"].get("text"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_one_message_whose_format_is_recognised(path: Path) -> None:
    message = json.loads(path.read_text(encoding="utf-8"))
    assert message["output"].keys() <= {"payload", *READING}
    assert message["model"].keys() == {"name", "version"}
    assert datetime.fromisoformat(message["predicted_at"]).tzinfo is not None
    assert message["asset"].get("url", "https://example.com/").startswith("https://example.com/")
    (output,) = (reading := read_payload(message["output"]["payload"], options_from(message))).outputs
    assert path.stem in reading.format.split("/")
    assert output.external_id in (None, message["external_id"])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_fits_the_interface_that_the_guide_names(path: Path) -> None:
    guide = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    (row,) = [line for line in guide.splitlines() if line.startswith(f"| [`{path.name}`]")]
    interface = json.loads((ROOT / "examples" / row.split("(")[2].split(")")[0]).read_text(encoding="utf-8"))
    job = json.loads(path.read_text(encoding="utf-8"))["output"].get("job")
    assert job is None or job in interface["jobs"]
    assert len(interface["jobs"]) == 1
