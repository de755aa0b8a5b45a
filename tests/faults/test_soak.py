"""A short soak with a fixed seed; the long one is ``make soak``."""

from __future__ import annotations

import pytest

from tests.faults.soak import soak


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.guarantee(
    "Processes",
    fault="everything at once, by a seed",
    promise="as above; for longer: `make soak`",
)
def test_everything_going_wrong_at_once_loses_and_doubles_nothing() -> None:
    found = soak(seconds=600, seed=1412, deeds=26)
    assert found["kill_worker"] >= 3
    assert found["kill_redis"] >= 1
    assert found["published"] > 500
    assert found["samples"] > 20
    assert found["duplicate_assets"] == found["duplicate_labels"] == 0
