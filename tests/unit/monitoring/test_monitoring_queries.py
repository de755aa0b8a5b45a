"""Dashboards and alerts ask only for what the product exposes; Prometheus' own tool agrees with the rules."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.unit.monitoring.queries import (
    DASHBOARDS,
    ROOT,
    RULES,
    RULES_TEST,
    alerts,
    grouped_by,
    named_in,
    needs_promtool,
    panels,
    queries,
)
from worker.monitoring.metrics import MetricKind, known_series

QUERIES = dict(queries())
OF_PROMETHEUS = {"instance", "job"}
ALERTS = {rule["alert"]: rule for rule in alerts()}


def strangers(query: str) -> list[str]:
    """What a query names that the product does not expose."""
    known, found, labels = known_series(), [], set(OF_PROMETHEUS)
    for name, selectors in named_in(query):
        if name.startswith("process_"):
            continue
        metric = known.get(name)
        if metric is None:
            found.append(name)
            continue
        own = {*metric.labels, *({"le"} if metric.kind is MetricKind.HISTOGRAM else ())}
        labels |= own
        found += [f"{name}{{{label}}}" for label in selectors - own]
    return found + [f"by {label}" for label in grouped_by(query) - labels]


@pytest.mark.parametrize("place", QUERIES)
def test_every_query_names_what_the_product_exposes(place: str) -> None:
    assert named_in(QUERIES[place])
    assert strangers(QUERIES[place]) == []


def test_a_query_that_names_something_else_is_found() -> None:
    query = 'sum by (colour) (prediction_worker_waiting{shape="x", lane=~"1"}) / prediction_worker_received'
    assert strangers(query) == ["prediction_worker_waiting{shape}", "prediction_worker_received", "by colour"]


def test_histograms_are_asked_by_their_parts() -> None:
    assert strangers("rate(prediction_worker_call_items[5m])") == ["prediction_worker_call_items"]
    assert strangers("sum by (le) (rate(prediction_worker_call_items_bucket[5m]))") == []


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_summary_and_a_page_that_says_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"].endswith(".")
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / path).read_text("utf-8"), flags=re.MULTILINE)
    assert anchor == name.lower()
    assert name in headings


def test_the_runbook_has_no_page_for_an_alert_that_is_gone() -> None:
    text = (ROOT / "docs" / "runbooks" / "alerts.md").read_text("utf-8")
    assert set(re.findall(r"^## (.+)$", text, flags=re.MULTILINE)) == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_tested_firing_and_silent(name: str) -> None:
    cases = [
        case
        for test in yaml.safe_load(RULES_TEST.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)


@needs_promtool
@pytest.mark.parametrize("command", [("check", "rules", RULES), ("test", "rules", RULES_TEST)])
def test_prometheus_own_tool_accepts_the_rules(command: tuple[Any, ...]) -> None:
    done = subprocess.run(["promtool", *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def made() -> Mapping[str, str]:
    """What the script makes now."""
    spec = importlib.util.spec_from_file_location("make_dashboards", ROOT / "scripts" / "make_dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    dashboards: Callable[[], Mapping[str, str]] = module.dashboards
    return dashboards()


def test_the_dashboards_are_those_that_the_script_makes() -> None:
    assert made() == {path.name: path.read_text("utf-8") for path in DASHBOARDS}, "python scripts/make_dashboards.py"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafanas_models_read_a_dashboard_and_lose_nothing(path: Path) -> None:
    found = json.loads(path.read_text("utf-8"))
    again = json.loads(json.dumps(Dashboard.from_json(found), cls=JSONEncoder))
    assert again == found


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_words_a_unit_and_a_place_of_their_own(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${source}"}
    assert len({panel["title"] for panel in panels(path)}) == len(panels(path))
