"""What the exporter reads from a real Redis, and how long a backlog lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fakeredis
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from worker.monitoring import exporter as module
from worker.monitoring.exporter import MetricsExporter, Rate, Rates
from worker.settings.tree import Settings
from worker.spool import Arrival, Spool, Waiting

PROJECTS = 200


def project(ended: int, waiting: int) -> dict[str, int]:
    return {
        "delivered": ended,
        "superseded": 0,
        "sampled_out": 0,
        "dropped": 0,
        "dead": 0,
        "received": ended + waiting,
        "waiting": waiting,
        "leased": 0,
    }


def test_the_drain_time_is_that_of_the_last_minutes() -> None:
    rates = Rates(60)
    assert rates.drains({"p": project(0, 100)}, 0.0) == {}
    assert rates.drains({"p": project(50, 50)}, 10.0) == {"p": 10.0}
    assert rates.drains({"p": project(50, 50)}, 65.0) == {"p": 65.0}
    assert rates.drains({"p": project(50, 50)}, 80.0) == {"p": float("inf")}, "the first ten seconds are too long ago"
    assert rates.drains({"p": project(100, 0)}, 90.0) == {"p": 0.0}


def test_what_comes_and_what_ends_is_told_apart() -> None:
    rates = Rates(60.0)
    rates.measure({"p": project(0, 100)}, 0.0)

    assert rates.measure({"p": project(50, 70)}, 10.0) == {"p": Rate(received=2.0, ended=5.0, drain_seconds=14.0)}


def test_letters_that_are_replayed_are_no_progress_backwards() -> None:
    rates = Rates(60)
    rates.drains({"p": {**project(10, 5), "dead": 5}}, 0.0)
    assert rates.drains({"p": {**project(10, 10), "dead": 0}}, 10.0) == {"p": float("inf")}


def test_a_project_that_is_new_has_moved_nothing_before() -> None:
    rates = Rates(60)
    rates.drains({}, 0.0)
    assert rates.drains({"p": project(10, 10)}, 10.0) == {"p": 10.0}


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Callable[..., MetricsExporter]:
    """An exporter over a Redis that can be told to fail."""
    server = fakeredis.FakeServer()

    def make(**settings: Any) -> MetricsExporter:
        client = fakeredis.FakeRedis(server=server)
        monkeypatch.setattr("worker.environment.connections.connect", lambda _: client)
        monkeypatch.setattr(
            module, "spool_of", lambda _: Spool(client, prefix="pw:", lease_ms=1000, remember_ms=60_000)
        )
        return MetricsExporter(Settings(**settings), 60.0)

    return make


def test_scrapes_that_follow_at_once_are_given_the_same_figures(
    fleet: Callable[..., MetricsExporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def collect(*_: object) -> dict[str, Any]:
        looks.append(1)
        raise redis.ConnectionError("refused")

    monkeypatch.setattr(module, "collect", collect)
    exporter = fleet()
    for _ in range(3):
        (family,) = exporter.families()
        assert [one.value for one in family.samples] == [0.0]
    assert looks == [1]
    assert exporter.trouble == "ConnectionError: refused"
    ready = exporter.routes()["/readyz"]("")
    assert (ready.status, b"refused" in ready.body) == (503, True)
    assert exporter.routes()["/livez"]("").status == 200


def test_two_hundred_projects_are_read_at_once_and_half_of_them_are_summed(
    client: redis.Redis, redis_server: Any
) -> None:
    spool = Spool(client, prefix="pw:", lease_ms=1000, remember_ms=60_000)
    for number in range(PROJECTS):
        items = tuple(
            Waiting(f"p{number}", lane, f"a{number}-{lane}", "m:1", 1, "aa", b"{}", b"{}")
            for lane in range(number % 10 + 1)
        )
        spool.admit([Arrival("", items)])
    exporter = MetricsExporter(Settings(redis_url=redis_server.url), 60.0)  # type: ignore[arg-type]
    before = client.info("commandstats")
    text = exporter.routes()["/metrics"]("").body.decode()
    after: Any = client.info("commandstats")
    calls = sum(one["calls"] for one in after.values()) - sum(one["calls"] for one in before.values())  # type: ignore[union-attr]
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    waiting = [one for one in samples if one.name == "prediction_worker_waiting"]
    assert sum(one.value for one in waiting) == sum(number % 10 + 1 for number in range(PROJECTS))
    assert len({one.labels["project"] for one in waiting}) == 101
    other = [one.value for one in waiting if one.labels["project"] == "_other"]
    assert sum(other) > 0
    assert len(samples) < 3000
    assert calls < 60 * PROJECTS
