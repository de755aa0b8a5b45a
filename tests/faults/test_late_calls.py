"""A worker that stands still in a call: its lock ends, and the call comes after those of the next holder."""

from __future__ import annotations

import json
import signal
import socket
import threading
from typing import Any

import pytest

from tests.awaiting import PATIENCE
from tests.faults.chronicle import said_by
from tests.faults.front import Front
from tests.faults.house import House, found_labels, prediction
from worker.environment import clock

NAME = "a.jpg"
LONG = {"WORKER_SPOOL__LATE_WRITE_SECONDS": "600"}
"""Longer than any case: what ends before that has not merely waited."""


class Gate(Front):
    """Keeps the first bytes that name an operation until it is opened; all others pass."""

    def __init__(self, url: str, operation: str) -> None:
        self._operation = operation.encode()
        self.has_caught = threading.Event()
        self.let_pass = threading.Event()
        super().__init__(url)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        super()._pass_on(_Watched(source, self), target)  # type: ignore[arg-type]

    def look(self, data: bytes) -> bytes:
        """What has come, once it may go on."""
        if self._operation in data and not self.has_caught.is_set():
            self.has_caught.set()
            self.let_pass.wait(4 * PATIENCE)
        return data


class _Watched:
    """A socket whose bytes the gate sees first."""

    def __init__(self, own: socket.socket, gate: Gate) -> None:
        self._own = own
        self._gate = gate

    def recv(self, size: int) -> bytes:
        return self._gate.look(self._own.recv(size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def __hash__(self) -> int:
        return hash(self._own)

    def __eq__(self, other: object) -> bool:
        return other is self._own


@pytest.mark.guarantee(
    "Processes",
    fault="a worker stands still for longer than its lock lasts (SIGSTOP), and its call comes after a newer prediction "
    "was delivered; it goes on, or is killed",
    promise="label, priority and metadata are the newest in the end",
)
@pytest.mark.parametrize("goes_on", [True, False], ids=["goes on", "is killed"])
@pytest.mark.parametrize("step", ["appendManyLabels", "updatePropertiesInAssets"])
def test_a_call_that_comes_late_does_not_outlast_a_newer_prediction(house: House, step: str, *, goes_on: bool) -> None:
    project = house.project()
    house.workers[-1].kill()
    gate = Gate(house.kili.endpoint, step)
    try:
        still = house.worker(KILI_API_ENDPOINT=gate.endpoint, **LONG)
        house.publish([prediction(project, NAME, score=0.55)])
        house.await_that(gate.has_caught.is_set, "the call is on its way")
        still.process.send_signal(signal.SIGSTOP)
        other = house.worker(**LONG)
        newer = prediction(project, NAME, answer="GREY", score=0.95, predicted_at="2026-11-23T10:16:00Z")
        house.publish([newer])
        house.await_that(lambda: in_kili(house, project) == ("GREY", 0, 16), "the newer one is delivered")
        gate.let_pass.set()
        house.await_that(lambda: in_kili(house, project) != ("GREY", 0, 16), "the older call came last")
        if goes_on:
            still.process.send_signal(signal.SIGCONT)
        else:
            still.kill()
            nothing_comes_late_any_more(house, project)
        house.await_that(lambda: in_kili(house, project) == ("GREY", 0, 16), "the newest again")
        if goes_on:
            house.await_that(lambda: not house.ledger().leased, "it waits until nothing comes late any more")
            nothing_comes_late_any_more(house, project)
        house.await_settled()
    finally:
        gate.let_pass.set()
        gate.close()
    house.judge()
    assert in_kili(house, project) == ("GREY", 0, 16)
    ledger = house.spool.ledger(project)
    assert ledger.received == ledger.delivered + ledger.superseded == 2
    if goes_on:
        house.await_that(lambda: said_by(still, "lease_lost"), "it says that its lock was lost")
        still.stop()
    other.stop()


def in_kili(house: House, project: str) -> tuple[str, int, int] | None:
    """Answer, priority and minute of the asset in Kili; nothing until it is labelled."""
    state = house.admin(f"state?full=1&project={project}")
    labels = found_labels(state)
    if not labels:
        return None
    (item,) = state["items"]
    minute = json.loads(item["jsonMetadata"])["prediction_at"][14:16]
    return labels[project, NAME, "m:1"], item["priority"], int(minute)


def nothing_comes_late_any_more(house: House, project: str) -> None:
    """The time in which late calls are reckoned with has passed."""
    rows = house.client.hgetall(f"pw:late:{project}")
    now = int(clock.now() * 1000)
    for asset, row in rows.items():
        house.client.hset(f"pw:late:{project}", asset, b"%d %s" % (now, row.partition(b" ")[2]))
    for member in house.client.zrange(f"pw:later:{project}", 0, -1):
        house.client.zadd(f"pw:later:{project}", {member: now})
    house.client.hdel("pw:notbefore", project)
