"""The queries of dashboards and rules, and what they name."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "ops" / "prometheus" / "rules.yaml"
RULES_TEST = ROOT / "ops" / "prometheus" / "rules_test.yaml"
DASHBOARDS = sorted((ROOT / "ops" / "grafana").glob("*.json"))
METRIC = re.compile(r"\b((?:prediction_worker|process)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring) \(([^)]*)\)")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus (Debian), or put it on PATH"
)


def alerts() -> list[dict[str, Any]]:
    """Every alert of the rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels(path: Path) -> list[dict[str, Any]]:
    """Every panel of a dashboard that shows something."""
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Where each query is, and its text."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']} {target['refId']}", target["expr"]
        for variable in json.loads(path.read_text())["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{path.stem}: ${variable['name']}", variable["query"]


def named_in(query: str) -> list[tuple[str, set[str]]]:
    """The series that a query names, each with the labels that it selects by."""
    return [(name, set(MATCHER.findall(selector or ""))) for name, selector in METRIC.findall(query)]


def grouped_by(query: str) -> set[str]:
    """The labels that a query groups or joins by."""
    return {label.strip() for group in GROUPING.findall(query) for label in group.split(",") if label.strip()}
