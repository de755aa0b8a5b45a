"""The table of docs/guarantees.md, made from the tests that ran.

A test that proves a promise carries ``@pytest.mark.guarantee(section, fault=…, promise=…)``; a further test of the same
row names the fault alone. At the end of a whole run the rows are compared with the page. A row without a test that
passed, a test that was skipped, or other words fail the run. ``--guarantees=write`` writes the page instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs/guarantees.md"
HOME = "tests/faults"
HEAD = "| fault | promise | test |\n|---|---|---|\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")
FAULT = re.compile(r"^\| (.+?) \|", re.MULTILINE)
PROPERTY = "guarantee"


@dataclass(slots=True)
class Row:
    """One promise: its words and the tests that ran for it, by outcome."""

    promise: str = ""
    passed: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)

    def words(self, fault: str) -> str:
        """The row as it stands on the page."""
        folders: dict[str, set[str]] = {}
        for test in self.passed:
            path, _, name = test.partition("::")
            folders.setdefault(str(Path(path).parent), set()).add(name)
        tests = "; ".join(
            ("" if folder == HOME else f"`{folder}`: ") + ", ".join(f"`{name}`" for name in sorted(names))
            for folder, names in sorted(folders.items())
        )
        return f"| {fault} | {self.promise} | {tests} |\n"


class Guarantees:
    """Collects what the marked tests proved; a pytest plugin of the controlling process."""

    def __init__(self, *, is_writing: bool) -> None:
        self._is_writing = is_writing
        self._sections: dict[str, dict[str, Row]] = {}
        self.problems: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of a marked test, from whichever process it ran in."""
        if report.when != "call" and report.passed:
            return
        test = report.nodeid.partition("[")[0]
        for name, value in report.user_properties:
            if name == PROPERTY and isinstance(value, Mapping):
                self._note(value, test, has_passed=report.passed)

    def _note(self, marker: Mapping[str, str], test: str, *, has_passed: bool) -> None:
        row = self._sections.setdefault(marker["section"], {}).setdefault(marker["fault"], Row())
        if marker["promise"] and row.promise not in ("", marker["promise"]):
            self.problems.append(f"two promises for {marker['fault']!r}")
        row.promise = marker["promise"] or row.promise
        (row.passed if has_passed else row.others).add(test)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Compare with the page, or write it."""
        config = session.config
        is_whole = config.args_source is config.ArgsSource.TESTPATHS and not config.option.keyword
        if not is_whole or config.option.markexpr or session.exitstatus != pytest.ExitCode.OK:
            return
        self.judge(PAGE)
        if self.problems:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def judge(self, page: Path) -> None:
        """Find what the page says and no test proved, or the other way round."""
        text = page.read_text("utf-8")
        for section, rows in self._sections.items():
            for fault, row in rows.items():
                if row.others or not row.promise:
                    self.problems.append(f"{section}: {fault!r} is not proved: {sorted(row.others) or 'no promise'}")
        written = with_tables(text, self._sections)
        if self._is_writing and not self.problems:
            page.write_text(written, "utf-8")
        elif written != text:
            self.problems.append(
                f"{page.name} is not what the tests proved: run with --guarantees=write and read the change"
            )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is wrong."""
        for problem in self.problems:
            terminalreporter.write_line(f"guarantees: {problem}", red=True)


def with_tables(text: str, sections: Mapping[str, Mapping[str, Row]]) -> str:
    """The page with each section's rows replaced; rows keep their place, new ones come last."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    made = [parts[0]]
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        rows = _in_order(sections.get(name, {}), FAULT.findall("".join(TABLE.findall(body))))
        made.append(f"## {name}\n{TABLE.sub(lambda _, rows=rows: HEAD + rows, body)}")
    missing = sorted(set(sections) - set(parts[1::2]))
    made += [f"\n## {name}\n\n{HEAD}{_in_order(sections[name], [])}" for name in missing]
    return "".join(made)


def _in_order(rows: Mapping[str, Row], known: Iterable[str]) -> str:
    kept = [fault for fault in known if fault in rows]
    return "".join(rows[fault].server_message(fault) for fault in [*kept, *sorted(set(rows) - set(kept))])


def properties_of(item: pytest.Item) -> list[tuple[str, object]]:
    """A test's markers as the properties that its report carries to the controlling process."""
    return [(PROPERTY, _of_marker(*marker.args, **marker.kwargs)) for marker in item.iter_markers(PROPERTY)]


def _of_marker(section: str, *, fault: str, promise: str = "") -> dict[str, str]:
    return {"section": section, "fault": fault, "promise": promise}
