"""What is exposed is what is written down, in the form that Prometheus wants."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.monitoring.queries import ROOT, needs_promtool
from tests.unit.test_exposition import found
from worker.delivery import AdaptiveLimit
from worker.kili import CallRecord
from worker.monitoring import metrics
from worker.monitoring.exporter import SeriesLimits, families, prometheus_text
from worker.monitoring.metrics import FLEET, WORKER, MetricKind, known_series, page
from worker.monitoring.series import (
    OTHER,
    Counter,
    Families,
    Family,
    LabelLimit,
    MetricHistogram,
    exposition,
    family_of,
    plain_text,
)
from worker.monitoring.worker_monitor import Probes, WorkerMonitor, worker_routes
from worker.spool import Admission, Arrival, Dead, Leased, Outcome, Settlement

UNITS = ("_seconds", "_bytes", "_ratio", "_ratio_low", "_ratio_high", "_info", "_calls", "_items")


def leased(number: int, **changes: object) -> Leased:
    values: dict[str, object] = {
        "lane": 3,
        "entry_id": f"1000-{number}",
        "deliveries": 1,
        "asset_id": f"a{number}",
        "model": "m:1",
        "stamp": 0,
        "digest": "aa",
        "payload": b"{}",
        "decision": b"{}",
        "leased_ms": 5000,
    }
    return Leased(**{**values, **changes})  # type: ignore[arg-type]


def worked(projects: int = 10) -> WorkerMonitor:
    """A monitor that has seen something of everything."""
    monitor = WorkerMonitor(60.0, projects)
    monitor.took("stream", 2)
    dead = Dead("p", "not_json", b"{}", b"x")
    monitor.admitted([Arrival("1-1", (dead,))], Admission(admitted=3, superseded=1, dead=1, skipped=0, sampled_out=1))
    entries = [leased(1), leased(2, deliveries=2)]
    monitor.acquired("p")
    monitor.leased("p", entries, 1)
    monitor.settled("p", [Settlement(entries[0], Outcome.DELIVERED), Settlement(entries[1], Outcome.DEAD, "refused")])
    monitor.called(CallRecord("appendManyLabels", 100, 0.3, 200, "ok", 2, 5000, 0.5, "p"))
    monitor.called(CallRecord("appendManyLabels", 100, 0.3, 429, "RateLimited", 1, 5000, 0.0, "p"))
    monitor.observe_delays([3600.0])
    return monitor


def routes(monitor: WorkerMonitor) -> dict[str, object]:
    probes = Probes(monitor.progress, list, "w", threading.Event())
    probes.beat({})
    return dict(worker_routes(monitor, probes, AdaptiveLimit(slots=4, batch_bytes=1000)))


def scraped(monitor: WorkerMonitor, accept: str = "") -> str:
    answer = routes(monitor)["/metrics"](accept)  # type: ignore[operator]
    return str(answer.body.decode())


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (one.name.removeprefix("prediction_worker_"), tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def exposed(text: str) -> set[str]:
    return {name for name, _ in values(text) if not name.startswith("process_")}


def of(metrics_: tuple[metrics.Metric, ...]) -> set[str]:
    return {name.removeprefix("prediction_worker_") for metric in metrics_ for name in metric.series}


def test_a_worker_exposes_what_is_written_down_of_workers() -> None:
    assert exposed(scraped(worked())) == of(WORKER)


def test_the_exporter_exposes_what_is_written_down_of_the_fleet() -> None:
    text = plain_text(families(found("p"), SeriesLimits(10), {"p": 60.0}))
    assert exposed(text) == of(FLEET)


def test_names_follow_the_conventions_and_none_is_used_twice() -> None:
    every = [*WORKER, *FLEET]
    assert len({metric.name for metric in every}) == len(every)
    assert len(known_series()) == sum(len(metric.series) for metric in every)
    for metric in every:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert metric.meaning.endswith((".", "outcome; returned and later ones wait again."))
        assert metric.kind is not MetricKind.HISTOGRAM or metric.buckets == tuple(sorted(set(metric.buckets)))
        if metric.kind is MetricKind.HISTOGRAM:
            assert metric.name.endswith(UNITS)
        assert not metric.name.endswith("_total")


def test_the_page_of_the_reference_is_the_code() -> None:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
    assert text.endswith("\n".join(page())), "write docs/reference/metrics.md: python scripts/write_metrics_page.py"


@needs_promtool
@pytest.mark.parametrize("text", [scraped(worked()), prometheus_text(found("p"))], ids=["worker", "status"])
def test_prometheus_own_tool_finds_nothing_to_complain_of(text: str) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_openmetrics_is_spoken_to_those_who_ask_for_it() -> None:
    text = scraped(worked(), "application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert "prediction_worker_settled" in {family.name for family in open_families(text)}


def test_what_happened_is_counted() -> None:
    counted = values(scraped(worked()))
    delivered = ("settled_total", (("outcome", "delivered"), ("project", "p")))
    assert counted[delivered] == 1
    assert counted[("settled_total", (("outcome", "superseded"), ("project", "p")))] == 1
    assert counted[("admitted_total", (("outcome", "waiting"),))] == 3
    assert counted[("dead_lettered_total", (("cause", "not_json"),))] == 1
    assert counted[("dead_lettered_total", (("cause", "refused"),))] == 1
    assert counted[("rate_limited_calls_total", (("operation", "appendManyLabels"),))] == 1
    assert counted[("call_retries_total", (("operation", "appendManyLabels"),))] == 1
    assert counted[("budget_wait_seconds_total", ())] == 0.5
    first_leases = ("backlog_wait_seconds_count", (("lane", "3"),))
    assert counted[first_leases] == 1, "an entry that comes back does not wait anew"
    assert counted[("backlog_wait_seconds_sum", (("lane", "3"),))] == 4.0
    assert counted[("call_items_bucket", (("le", "100.0"), ("operation", "appendManyLabels")))] == 1
    assert counted[("call_items_bucket", (("le", "75.0"), ("operation", "appendManyLabels")))] == 0


def test_projects_beyond_the_limit_are_summed() -> None:
    monitor = WorkerMonitor(60.0, 2)
    for project in ("a", "b", "c", "d", "a"):
        monitor.settled(project, [Settlement(leased(1), Outcome.DELIVERED)])
    counted = values(scraped(monitor))
    by_project = {
        dict(labels)["project"]: value for (name, labels), value in counted.items() if name == "settled_total"
    }
    assert by_project == {"a": 2, "b": 1, OTHER: 2}


def test_a_project_keeps_its_place_from_scrape_to_scrape() -> None:
    limits = SeriesLimits(1)
    one, two = found("p"), found("p")
    two["projects"] = {"busier": {**two["projects"]["p"], "received": 99}, "p": two["projects"]["p"]}
    list(families(one, limits))
    text = plain_text(families(two, limits))
    assert 'project_received_total{project="p"} 3.0' in text
    assert 'project_received_total{project="_other"} 99.0' in text
    assert 'series_left_out{label="project"} 1.0' in text
    two["projects"].pop("p")
    assert 'project_received_total{project="busier"} 99.0' in plain_text(families(two, limits))


def test_names_beyond_the_limit_do_not_pile_up() -> None:
    limit = LabelLimit(3)
    for number in range(10_000):
        limit.of(str(number))
    assert limit.left_out == 30


def test_counting_from_many_threads_loses_nothing() -> None:
    counter, histogram = Counter(metrics.SENT_BYTES), MetricHistogram(metrics.CALL_ITEMS)

    def count() -> None:
        for _ in range(2000):
            counter.add(1, "x")
            histogram.observe((10.0, 1000.0), "x")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found_ = values(plain_text([counter.family(), histogram.family()]))
    assert found_[("sent_bytes_total", (("operation", "x"),))] == 8000
    assert found_[("call_items_count", (("operation", "x"),))] == 16_000
    assert found_[("call_items_bucket", (("le", "10.0"), ("operation", "x")))] == 8000


def test_a_family_that_cannot_be_made_fails_the_scrape_and_not_silently() -> None:
    def broken() -> Iterator[Family]:
        yield family_of(metrics.DEAD, {("a",): 1.0})
        raise RuntimeError("no figures")

    registry = CollectorRegistry()
    registry.register(Families(broken))
    with pytest.raises(RuntimeError):
        exposition(registry)
