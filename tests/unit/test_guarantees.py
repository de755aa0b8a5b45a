"""The page of guarantees says what tests proved, and a whole run fails where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guarantees import HEAD, Guarantees

PAGE = f"# Guarantees\n\n## Redis\n\nWords.\n\n{HEAD}| killed | nothing lost | `test_killed` |\n\nMore words.\n"
TEST = "tests/faults/test_redis.py::test_killed"


def ran(test: str, outcome: str = "passed", when: str = "call", **marker: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=test,
        location=("", 0, ""),
        keywords={},
        outcome=outcome,  # type: ignore[arg-type]
        longrepr=None,
        when=when,  # type: ignore[arg-type]
        user_properties=[("guarantee", {"section": "Redis", "fault": "killed", "promise": "nothing lost", **marker})],
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "guarantees.md"
    path.write_text(PAGE)
    return path


def judged(page: Path, *reports: pytest.TestReport, is_writing: bool = False) -> list[str]:
    guarantees = Guarantees(is_writing=is_writing)
    for report in reports:
        guarantees.pytest_runtest_logreport(report)
    guarantees.judge(page)
    return guarantees.problems


def test_a_page_that_says_what_was_proved_is_no_problem(page: Path) -> None:
    assert judged(page, ran(f"{TEST}[a]"), ran(f"{TEST}[b]")) == []


@pytest.mark.parametrize(
    ("outcome", "when"), [("failed", "call"), ("skipped", "call"), ("skipped", "setup"), ("failed", "teardown")]
)
def test_a_promise_whose_test_did_not_pass_in_every_form_is_a_problem(page: Path, outcome: str, when: str) -> None:
    assert judged(page, ran(f"{TEST}[a]"), ran(f"{TEST}[b]", outcome, when))


def test_a_row_that_no_test_proved_is_a_problem(page: Path) -> None:
    other = "tests/faults/test_redis.py::test_slow"
    assert judged(page, ran(other, fault="slow", promise="goes on"))


def test_a_proof_that_the_page_does_not_name_is_a_problem_until_it_is_written(page: Path) -> None:
    reports = [ran(TEST), ran("tests/unit/test_x.py::test_slow", fault="slow", promise="goes on")]
    assert judged(page, *reports)
    assert judged(page, *reports, is_writing=True) == []
    assert "| slow | goes on | `tests/unit`: `test_slow` |\n\nMore words." in page.read_text()
    assert judged(page, *reports) == []


def test_two_promises_for_one_fault_are_a_problem(page: Path) -> None:
    assert judged(page, ran(TEST), ran(f"{TEST}_again", promise="something else"))


def test_a_further_test_of_a_row_needs_no_promise(page: Path) -> None:
    assert judged(page, ran(TEST), ran(f"{TEST}_again", promise=""), is_writing=True) == []
    assert "| killed | nothing lost | `test_killed`, `test_killed_again` |" in page.read_text()
