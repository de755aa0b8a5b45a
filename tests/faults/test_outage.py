"""Kili goes away as a whole, and comes back: no storm of attempts, nothing lost, and soon all is as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.house import House, predictions
from tests.faults.outage import How, Load, Outage, most_attempts

SCALED = {
    "WORKER_KILI__CALLS_PER_MINUTE": "2400",
    "WORKER_KILI__BURST": "2",
    "WORKER_KILI__TIMEOUT_SECONDS": "0.5",
    "WORKER_DELIVERY__BATCH_ITEMS": "20",
}

HALF = 0.5
"""Of the former rate: others on this machine make the rate vary, and a worker that only probes has a tenth of it."""


@pytest.fixture(scope="module")
def limited(redis_binary: Path | None) -> Iterator[House]:
    """A house whose call budget is the bottleneck."""
    with House(SCALED, has_front=True, binary=redis_binary) as house:
        yield house


@pytest.mark.guarantee(
    "Kili",
    fault="outage under load: 503, connections refused, silence",
    promise="no attempt storm, the former rate soon back",
)
@pytest.mark.parametrize(("how", "seconds"), [("unavailable", 3.0), ("refused", 1.5), ("silent", 2.5)])
def test_an_outage_under_load_causes_no_storm_and_the_former_rate_is_soon_back(
    limited: House, how: How, seconds: float
) -> None:
    limited.begin_case()
    limited.staffed()
    report = Outage(limited, Load(projects=5, heap=500, per_second=100), full=HALF).run(how, seconds)
    assert report.attempts <= most_attempts(report.seconds, workers=1, probe_cap=1)
    assert report.back_after_seconds <= 20
    limited.heal()
    limited.await_settled()
    limited.judge()


def times_said(house: House) -> int:
    return sum(worker.log.read_text().count('"endpoint is paused') for worker in house.workers)


@pytest.mark.guarantee(
    "Kili",
    fault="many projects failing",
    promise="the endpoint pauses once and logs it once",
)
def test_the_endpoint_pauses_once_and_says_so_once_however_many_projects_fail(house: House) -> None:
    before = times_said(house)
    projects = [house.project() for _ in range(8)]
    house.harm({"action": {"kind": "status", "status": 503}})
    for project in projects:
        house.publish(predictions(project, 20))
    house.await_that(lambda: "endpoint" in house.pauses(), "a pause of the endpoint")
    house.await_that(lambda: house.pauses()["endpoint"].failures >= 3, "three probes of the endpoint")
    assert times_said(house) == before + 1
    assert any(pause["reason"].endswith("Service Unavailable") for pause in house.status()["pauses"])
    house.heal()
    house.await_that(lambda: not house.pauses(), "every project is awake")
    house.await_settled()
    house.judge()


@pytest.mark.guarantee(
    "Kili",
    fault="an expired key, renewed",
    promise="the endpoint pauses and wakes; nothing lost",
)
def test_a_key_that_expires_pauses_the_endpoint_and_a_renewed_one_wakes_it(house: House) -> None:
    key = house.kili.api_key
    projects = [house.project() for _ in range(4)]
    house.admin("keys", {"key": key, "expiry": -1})
    for project in projects:
        house.publish(predictions(project, 20))
    house.await_that(lambda: "endpoint" in house.pauses(), "a pause of the endpoint")
    house.await_that(lambda: house.ledger().waiting + house.ledger().leased == 80, "all of them are kept")
    house.admin("keys", {"key": key, "expiry": 3600})
    house.await_settled()
    house.judge()
    house.await_awake()
