"""Workers whose output goes nowhere: nobody reads it any more, nobody reads it fast enough, the disk is full."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator

import pytest

from tests.awaiting import PATIENCE
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
    assert worker.stop(PATIENCE) == 0, "not ended by the limit, nor by a kill"
    house.judge()


@pytest.mark.guarantee(
    "Processes",
    fault="a second SIGTERM, while Kili hangs",
    promise="ends at once; the next holder finishes what was in flight",
)
def test_a_second_signal_ends_a_draining_worker_at_once(house: House) -> None:
    house.workers[-1].kill()
    worker = house.worker(WORKER_KILI__TIMEOUT_SECONDS=str(PATIENCE), WORKER_DELIVERY__DRAIN_SECONDS=str(PATIENCE))
    project = house.project()
    house.harm({"operation": "appendManyLabels", "times": 1, "action": {"kind": "delay", "seconds": 5 * PATIENCE}})
    house.publish(predictions(project, 50))
    house.await_that(lambda: house.ledger().leased == 50 and any(house.struck()), "a call that hangs")
    worker.process.send_signal(signal.SIGTERM)
    house.await_that(lambda: '"draining"' in worker.tail(), "draining")
    assert worker.stop(PATIENCE / 2) == 1, "long before the call or the limit would have ended it"
    assert '"ended_at_once"' in worker.tail()
    house.heal()
    house.worker()
    house.await_settled()
    house.judge()
