"""The months of thin traffic whose memory is measured: two days of them."""

from __future__ import annotations

from tests.simulation.memory import Months


def test_two_days_of_thin_traffic_are_delivered_and_measured() -> None:
    months = Months(2, daily=6)
    sizes = months.run()
    ledger = months.judge.ledger()
    assert len(sizes.keys) == len(sizes.bytes) == 2
    assert ledger.received == months.published.count
    assert ledger.delivered == len(months.published.newest) > 10
    assert sizes.bytes[1].total() > sizes.bytes[0].total() > 0
