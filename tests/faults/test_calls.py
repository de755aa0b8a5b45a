"""Calls are counted: as few as there can be without a fault, and every failed and repeated one in plain sight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.house import COUNTED, ONE_DOCUMENT, House, predictions
from worker.monitoring.exporter import prometheus_text
from worker.monitoring.status import text


@pytest.fixture(scope="module")
def at_once(redis_binary: Path | None) -> Iterator[House]:
    """A house whose doors admit a thousand predictions in one go, so that one wave takes them all; calls go apart."""
    with House({**COUNTED, ONE_DOCUMENT: "false"}, binary=redis_binary) as house:
        yield house


@pytest.mark.guarantee(
    "Kili",
    fault="no fault",
    promise="no call too many: 1 + 10 + 10 + 2 for 1,000, and the interface once",
)
def test_a_wave_that_meets_no_fault_makes_no_extra_call(at_once: House) -> None:
    project = at_once.project()
    at_once.forget_calls()
    at_once.publish(predictions(project, 1000))
    at_once.worker()
    at_once.await_settled()
    at_once.judge()
    counts = {name: call["count"] for name, call in at_once.calls().items()}
    assert counts == {
        "projects": 1,
        "filterExistingAssets": 1,
        "appendManyAssets": 10,
        "appendManyLabels": 10,
        "updatePropertiesInAssets": 2,
    }
    found = at_once.status_of_calls()
    assert all(call["outcome"] == "ok" and call["repeats"] == 0 for call in found["calls"])
    assert "calls          24, 0 failed, 0 repeated" in text(found)


def test_a_second_wave_of_the_same_project_asks_for_its_interface_no_more(at_once: House) -> None:
    at_once.staffed()
    project = at_once.project()
    for start in (0, 100):
        at_once.forget_calls()
        at_once.publish(predictions(project, 100, start=start))
        at_once.await_settled()
    at_once.judge()
    counts = {name: call["count"] for name, call in at_once.calls().items()}
    assert counts == {
        "filterExistingAssets": 1,
        "appendManyAssets": 1,
        "appendManyLabels": 1,
        "updatePropertiesInAssets": 1,
    }


@pytest.mark.guarantee(
    "Kili",
    fault="failed and repeated calls",
    promise="visible in `status` and its metrics",
)
def test_failed_and_repeated_calls_show_in_status_and_metrics(at_once: House) -> None:
    at_once.staffed()
    project = at_once.project()
    at_once.harm({"operation": "appendManyLabels", "times": 2, "action": {"kind": "status", "status": 502}})
    at_once.publish(predictions(project, 100))
    at_once.await_settled()
    at_once.judge()
    found = at_once.status_of_calls()
    assert "2 failed, 2 repeated" in text(found)
    assert "  appendManyLabels: 2 UnknownOutcome" in text(found)
    metrics = prometheus_text(found)
    assert 'prediction_worker_calls_total{operation="appendManyLabels",outcome="UnknownOutcome"} 2.0' in metrics
    assert (
        'prediction_worker_repeated_calls_total{operation="appendManyLabels",outcome="UnknownOutcome"} 1.0' in metrics
    )
    assert 'prediction_worker_repeated_calls_total{operation="appendManyLabels",outcome="ok"} 1.0' in metrics
