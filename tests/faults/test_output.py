"""Workers whose output goes nowhere: nobody reads it any more, nobody reads it fast enough, the disk is full."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.faults.house import House, predictions

CASES = ["the reader is gone", "the reader has stopped reading", "the disk is full"]


@pytest.fixture
def output(request: pytest.FixtureRequest) -> Iterator[int]:
    """The descriptor that a worker writes to, which takes nothing."""
    if request.param == "the disk is full":
        ends = [os.open("/dev/full", os.O_WRONLY)]
    else:
        ends = list(os.pipe())[::-1]
        fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, 4096)
    if request.param == "the reader is gone":
        os.close(ends.pop())
    yield ends[0]
    for end in ends:
        os.close(end)


@pytest.mark.guarantee(
    "Processes",
    fault="nobody reads the worker's output, or the disk that it goes to is full",
    promise="works on; SIGTERM drains it, exit 0",
)
@pytest.mark.parametrize("output", CASES, indirect=True)
def test_a_worker_whose_output_goes_nowhere_works_on_and_drains(house: House, output: int) -> None:
    house.workers[-1].kill()
    worker = house.worker(output=output, WORKER_LOG__LEVEL="DEBUG")
    house.publish(predictions(house.project(), 50))
    house.await_settled()
    begun = time.monotonic()
    assert worker.stop(20) == 0
    assert time.monotonic() - begun < 10
    house.judge()


@pytest.mark.guarantee(
    "Processes",
    fault="a second SIGTERM, while Kili hangs",
    promise="ends at once; the next holder finishes what was in flight",
)
def test_a_second_signal_ends_a_draining_worker_at_once(house: House) -> None:
    house.workers[-1].kill()
    worker = house.worker(WORKER_KILI__TIMEOUT_SECONDS="60", WORKER_DELIVERY__DRAIN_SECONDS="60")
    project = house.project()
    house.harm({"operation": "appendManyLabels", "times": 1, "action": {"kind": "delay", "seconds": 15}})
    house.publish(predictions(project, 50))
    house.await_that(lambda: house.ledger().leased == 50 and any(house.struck()), "a call that hangs")
    worker.process.send_signal(signal.SIGTERM)
    house.await_that(lambda: '"draining"' in worker.tail(), "draining")
    begun = time.monotonic()
    assert worker.stop(20) == 1
    assert time.monotonic() - begun < 3
    assert '"ended_at_once"' in worker.tail()
    house.heal()
    house.worker()
    house.await_settled()
    house.judge()
