"""What takes long to import is imported by few processes of the suite."""

from __future__ import annotations

import re
from pathlib import Path

from tests.scheduling import SDK, group_of

ROOT = Path(__file__).parents[2]
AT_THE_TOP = re.compile(r"^(?:from|import) kili\b.*$", re.MULTILINE)
WHOLE_SDK = re.compile(r"\bkili_sdk\.\w|^ {4,}from kili\.client import", re.MULTILINE)


def text_of(path: Path) -> str:
    """A module's text without the imports for annotations."""
    return path.read_text("utf-8").replace("if TYPE_CHECKING:\n    from kili.client import Kili\n", "")


def test_no_test_module_imports_kilis_sdk_when_it_is_collected() -> None:
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py") if AT_THE_TOP.search(text_of(path))}
    assert found == set()


def test_the_cases_that_need_the_whole_sdk_run_in_one_process() -> None:
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if WHOLE_SDK.search(text_of(path))]
    assert len(files) > 5
    assert {group_of(f"{path.relative_to(ROOT)}::test") for path in files} == {SDK}


def test_other_files_are_handed_out_one_by_one() -> None:
    assert group_of("tests/unit/test_clock.py::test_it[sdk]") == "tests/unit/test_clock.py"
