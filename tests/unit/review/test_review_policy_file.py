"""Policy files: read, refused, read again."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from worker.review import PolicyError, WatchedPolicy, parse_policy, read_policy

TOML = """
version = 7
salt = "s"

[[rules]]
name = "weapons"
match = { project = "p-*", job = "SCREENING", model = "*:2" }
capacity = { per_day = 500, window = "30m" }
audit = { rate = 0.05, uniform = 1.0 }
rest = { action = "upload_share", share = 0.25 }
lanes = 5

[rules.must_review]
max_share = 0.1
any = [
  { all = [{ type = "confidence_lt", value = 0.9, class = "weapon" }, { type = "margin_lt", value = 0.2 }] },
  { type = "empty_prediction" },
]

[[rules]]
name = "others"
capacity = { share = 0.2 }
"""
AS_YAML = """
version: 7
rules:
  - name: weapons
    match: {project: "p-*"}
    capacity: {per_day: 500}
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_toml_says_everything(tmp_path: Path) -> None:
    found = read_policy(written(tmp_path, "policy.toml", TOML))
    rule = found.rule_for("p-1", "SCREENING", "m:2")

    assert found.label == "ranked/7"
    assert (rule.name, rule.capacity.per_day, rule.capacity.window, rule.lanes) == ("weapons", 500, 1800, 5)
    assert rule.rest.uploaded == 0.25
    assert len(rule.must_review.conditions) == 2
    assert found.rule_for("p-1", "SCREENING", "m:1").name == "others"
    assert found.rule_for("q", "SCREENING", "m:2").capacity.traffic_share == 0.2


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    as_json = json.dumps(
        {"version": 7, "rules": [{"name": "weapons", "match": {"project": "p-*"}, "capacity": {"per_day": 500}}]}
    )

    assert read_policy(written(tmp_path, "a.yaml", AS_YAML)) == read_policy(written(tmp_path, "a.json", as_json))


def test_without_a_matching_rule_the_defaults_apply() -> None:
    rule = parse_policy({"rules": [{"match": {"project": "other"}}]}).rule_for("p", "", "m:1")

    assert (rule.name, rule.capacity.traffic_share, rule.audit.rate) == ("default", 0.1, 0.03)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rule": []}, "rule: unknown key; remove it"),
        ({"rules": [{"capacity": {"share": 0.1, "per_day": 5}}]}, "share excludes per_day"),
        ({"rules": [{"capacity": {"follow_reviewers": True}}]}, "follow_reviewers needs per_day"),
        ({"rules": [{"capacity": {"share": 10}}]}, r"rules\.0\.capacity\.share"),
        ({"rules": [{"capacity": {"window": "soon"}}]}, r"rules\.0\.capacity\.window"),
        ({"rules": [{"audit": {"rate": 0.001}}]}, "floor must not be above rate"),
        ({"rules": [{"rest": {"action": "upload_share"}}]}, "share goes with action"),
        ({"rules": [{"rest": {"action": "delete"}}]}, r"rules\.0\.rest\.action"),
        ({"rules": [{"name": "a"}, {"name": "a"}]}, "two rules have the same name"),
        ({"rules": [{"name": "a/b"}]}, r"rules\.0\.name"),
        ({"rules": [{"must_review": {"a2i": {"Conditions": [{}]}}}]}, r"rules\.0\.must_review\.a2i.*ConditionType"),
        ([], "policy: "),
    ],
)
def test_what_is_no_policy_is_refused_with_its_place(given: Any, told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        parse_policy(given)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.toml", "version = "), ("a.json", "{"), ("a.yaml", "a: ["), ("a.txt", ""), ("a.toml", "version = [1]")],
)
def test_a_broken_file_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(PolicyError):
        read_policy(written(tmp_path, name, text))


class Seconds:
    """Seconds that pass at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


def test_a_changed_file_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, "policy.toml", "version = 1")
    watched = WatchedPolicy(path, clock=Seconds())
    assert watched.current().version == 1

    written(tmp_path, "policy.toml", "version = 22")

    assert watched.current().version == 22


def test_a_broken_change_keeps_what_worked_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, "policy.toml", "version = 1")
    watched = WatchedPolicy(path, clock=Seconds())

    written(tmp_path, "policy.toml", "version = 2\nnonsense = true")
    with caplog.at_level(logging.ERROR):
        kept = [watched.current().version for _ in range(3)]

    assert kept == [1, 1, 1]
    assert "nonsense" in watched.problem
    assert len(caplog.records) == 1

    written(tmp_path, "policy.toml", "version = 3")
    assert watched.current().version == 3
    assert not watched.problem


def test_a_file_that_is_away_for_a_moment_keeps_what_worked(tmp_path: Path) -> None:
    path = written(tmp_path, "policy.toml", "version = 1")
    watched = WatchedPolicy(path, clock=Seconds())

    path.unlink()
    assert watched.current().version == 1
    assert watched.problem

    written(tmp_path, "policy.toml", "version = 2")
    assert watched.current().version == 2


def test_a_broken_file_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        WatchedPolicy(tmp_path / "missing.toml")
