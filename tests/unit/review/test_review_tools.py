"""Tests of a policy as data, simulation, and the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from tests.unit.review.review_subjects import NOW, answers, choice, subject
from worker.cli import main
from worker.review import parse_policy
from worker.review.inspection import TestCase, line_chart, run_cases, simulate, spread_over

POLICY = """
version = 3
[[rules]]
name = "all"
rest = { action = "count_only" }
audit = { rate = 0.0, floor = 0.0 }
must_review = { max_share = 1.0, any = [{ type = "class_in", values = ["weapon"] }] }
"""
CASES: dict[str, Any] = {
    "cases": [
        {
            "name": "weapons are reviewed",
            "message": {"output": {"scores": {"weapon": 0.9, "toy": 0.1}}},
            "expect": {"band": 3, "lane": 0, "reason": "must review: class_in*"},
        },
        {
            "name": "toys are counted",
            "message": {"output": {"scores": {"weapon": 0.001, "toy": 0.999}}},
            "expect": {"upload": False},
        },
    ]
}


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(main, ["policy", *map(str, arguments)])


@pytest.fixture
def policy_path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return path


def test_cases_pass_or_tell_the_difference() -> None:
    policy = parse_policy({"rules": [{"must_review": {"any": [{"type": "class_in", "values": ["A"]}]}}]})
    one = subject("x", choice(0.9, 0.1))

    right, wrong = run_cases(
        policy, [TestCase("right", one, {"band": 3}), TestCase("wrong", one, {"band": 0, "lane": 0})]
    )

    assert right.passed
    assert wrong.differences == {"band": (0, 3)}


def test_a_case_cannot_expect_what_no_decision_has() -> None:
    with pytest.raises(ValueError, match="no decision has 'bands'"):
        run_cases(parse_policy({}), [TestCase("x", subject("x", choice(0.9, 0.1)), {"bands": 3})])


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_the_command_runs_cases(tmp_path: Path, policy_path: Path, suffix: str) -> None:
    cases = tmp_path / f"cases.{suffix}"
    cases.write_text(json.dumps(CASES))

    found = run("test", cases, "--policy", policy_path)

    assert found.exit_code == 0, found.output
    assert found.output.count("passed") == 2


def test_a_failing_case_fails_the_command(tmp_path: Path, policy_path: Path) -> None:
    cases = tmp_path / "cases.json"
    broken = {"cases": [{**CASES["cases"][0], "expect": {"band": 1}}]}
    cases.write_text(json.dumps(broken))

    found = run("test", cases, "--policy", policy_path)

    assert found.exit_code == 1
    assert "band: expected 1, decided 3" in found.output


def test_a_broken_policy_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"rules": [{"audit": {"rate": 3}}]}')
    cases = tmp_path / "cases.json"
    cases.write_text(json.dumps(CASES))

    found = run("test", cases, "--policy", path)

    assert found.exit_code == 1
    assert "rules.0.audit.rate" in found.output


def test_a_simulation_spends_the_budget_of_every_day() -> None:
    policy = parse_policy({"rules": [{"capacity": {"per_day": 100}}]})

    found = simulate(policy, spread_over(answers(3000), days=3, began=NOW)).summary()

    assert [row["predictions"] for row in found["days"]] == [1000, 1000, 1000]
    assert all(row["reviews"] == pytest.approx(100, rel=0.15) for row in found["days"])
    assert all(row["errors_in_reviews"] / row["errors_expected"] > 0.15 for row in found["days"])
    assert sum(row["predictions"] for row in found["classes"].values()) == 3000


def test_recorded_messages_are_simulated_and_drawn(tmp_path: Path, policy_path: Path) -> None:
    traffic = tmp_path / "traffic.jsonl"
    lines = [
        {
            "project_id": "p",
            "external_id": f"a{i}",
            "model": {"name": "m", "version": "1"},
            "output": {"scores": {"weapon": 0.6 if i % 10 == 0 else 0.1, "toy": 0.4 if i % 10 == 0 else 0.9}},
            "predicted_at": f"2026-01-{1 + i // 100:02}T00:{i % 60:02}:00Z",
        }
        for i in range(200)
    ]
    traffic.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    chart = tmp_path / "chart.svg"

    found = run("simulate", traffic, "--policy", policy_path, "--plot", chart, "--json")

    summary = json.loads(found.output)
    assert [row["predictions"] for row in summary["days"]] == [100, 100]
    assert summary["classes"]["weapon"]["must_review"] == 20
    ElementTree.fromstring(chart.read_text())
    assert run("simulate", traffic, "--days", "4").output.count("\n") > 6


def test_a_line_that_is_no_message_is_named(tmp_path: Path) -> None:
    traffic = tmp_path / "traffic.jsonl"
    traffic.write_text("{}\n")

    found = run("simulate", traffic)

    assert found.exit_code == 1
    assert "line 1" in found.output


def test_a_chart_holds_every_line_and_escapes_its_names() -> None:
    chart = line_chart("a < b", "x", "y", {"one": [0.0, 1.0, 0.5], "a & b": [3.0]})

    root = ElementTree.fromstring(chart)
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 2
    assert "a &lt; b" in chart


def test_an_empty_chart_is_still_a_chart() -> None:
    ElementTree.fromstring(line_chart("none", "x", "y", {}))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", '{"cases": 3}', "needs a list `cases`, each with name, message and expect"),
        ("a.json", "[]", "needs a list `cases`"),
        ("a.json", "{", "Expecting property name"),
        ("a.yaml", "a: [1", "not YAML"),
        ("a.txt", "", "name it .toml, .json or .yaml"),
        (
            "a.json",
            '{"cases": [{"name": "x", "message": {"output": {"bad": 1}}, "expect": {}}]}',
            "case 'x': output.bad",
        ),
    ],
)
def test_cases_that_cannot_be_used_are_named(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)

    found = run("test", tmp_path / name)

    assert found.exit_code == 1
    assert told in found.output


def test_a_recording_without_messages_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")

    found = run("simulate", tmp_path / "empty.jsonl")

    assert found.exit_code == 1
    assert "holds no message" in found.output
