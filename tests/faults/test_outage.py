"""Kili goes away as a whole, and comes back: no storm of attempts, nothing lost, and soon all is as before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.house import House, predictions
from tests.faults.outage import Load, Outage, How, most_attempts, settled

SECONDS = 3.0
SCALED = {
    "WORKER_KILI__CALLS_PER_MINUTE": "1200",
    "WORKER_KILI__BURST": "2",
    "WORKER_KILI__TIMEOUT_SECONDS": "1",
    "WORKER_DELIVERY__BATCH_ITEMS": "20",
}


@pytest.fixture(scope="module")
def limited() -> Iterator[House]:
    """A house whose call budget is the bottleneck."""
    with House(SCALED, has_front=True) as house:
        yield house


@pytest.mark.parametrize("how", ["unavailable", "refused", "silent"])
def test_an_outage_under_load_causes_no_storm_and_the_former_rate_is_soon_back(limited: House, how: How) -> None:
    limited.begin_case()
    limited.staffed()
    report = Outage(limited, Load(projects=5, heap=500, per_second=100)).run(how, SECONDS)
    assert report.attempts <= most_attempts(SECONDS, workers=1, probe_cap=1)
    assert "endpoint" in report.pauses[0] or any(pause.startswith("endpoint") for pause in report.pauses)
    assert report.waiting_at_the_return > 200
    assert report.back_after_seconds <= 3
    settled(limited)
