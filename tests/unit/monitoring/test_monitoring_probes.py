"""Liveness is progress; readiness says why."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import pytest
import redis

from tests.unit.monitoring.test_monitoring_metrics import leased
from worker.delivery import Pause
from worker.kili import CallRecord
from worker.monitoring.endpoint import EndpointAnswer
from worker.monitoring.progress import Activity, Progress
from worker.monitoring.worker_monitor import Probes, WorkerMonitor
from worker.spool import Outcome, Settlement

LIMIT = 60.0


class Time:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def monitor(time: Time) -> WorkerMonitor:
    monitor = WorkerMonitor(LIMIT, 10)
    monitor.progress = Progress(LIMIT, time)
    return monitor


def whats(progress: Progress) -> set[str]:
    return {one.what for one in progress.stuck()}


def call(outcome: str, project: str | None = "p") -> CallRecord:
    return CallRecord("appendManyLabels", 1, 0.1, None, outcome, 1, 10, 0.0, project)


def test_a_worker_without_work_is_live(monitor: WorkerMonitor, time: Time) -> None:
    for _ in range(100):
        time.now += 10
        monitor.looked()
    assert monitor.progress.stuck() == []


def test_a_worker_that_no_longer_looks_is_not(monitor: WorkerMonitor, time: Time) -> None:
    time.now += LIMIT
    assert monitor.progress.stuck() == []
    time.now += 1
    assert whats(monitor.progress) == {"lease"}
    monitor.looked()
    assert monitor.progress.stuck() == []


@pytest.mark.parametrize(("script", "activity"), [("due", "lease"), ("lease", "lease"), ("settle", "settle")])
def test_redis_that_refuses_counts_from_the_first_failure(
    monitor: WorkerMonitor, time: Time, script: str, activity: str
) -> None:
    for _ in range(7):
        monitor.failed(script, redis.ConnectionError("refused"))
        time.now += 10
        if script == "settle":
            monitor.looked()
    (one,) = monitor.progress.stuck()
    assert (one.what, one.reason) == (activity, "ConnectionError: refused")


def test_a_success_between_failures_begins_anew(monitor: WorkerMonitor, time: Time) -> None:
    for _ in range(3):
        monitor.failed("settle", redis.TimeoutError("slow"))
        time.now += LIMIT - 1
        monitor.settled("p", [Settlement(leased(1), Outcome.RETURNED)])
        monitor.looked()
    assert monitor.progress.stuck() == []


def test_calls_that_fail_for_reasons_of_this_process_are_a_standstill(monitor: WorkerMonitor, time: Time) -> None:
    for _ in range(7):
        monitor.called(call("LocalFault"))
        monitor.looked()
        time.now += 10
    assert whats(monitor.progress) == {"send"}
    monitor.called(call("Unavailable"))
    assert monitor.progress.stuck() == []


def test_an_outage_of_kili_is_none(monitor: WorkerMonitor, time: Time) -> None:
    for outcome in ["ConnectFailed", "RateLimited", "Unauthorized", "TimedOut"] * 10:
        monitor.called(call(outcome))
        monitor.looked()
        time.now += 10
    assert monitor.progress.stuck() == []


def test_a_wave_that_does_not_move_is_a_standstill_although_others_do(monitor: WorkerMonitor, time: Time) -> None:
    monitor.acquired("stuck")
    monitor.acquired("p")
    for _ in range(7):
        time.now += 10
        monitor.looked()
        monitor.called(call("ok"))
    assert whats(monitor.progress) == {"project stuck"}
    monitor.released("stuck")
    assert monitor.progress.stuck() == []


def test_a_wave_with_one_long_call_after_the_other_moves(monitor: WorkerMonitor, time: Time) -> None:
    monitor.acquired("p")
    for _ in range(10):
        time.now += LIMIT - 1
        monitor.looked()
        monitor.called(call("TimedOut"))
    assert monitor.progress.stuck() == []


def test_an_intake_that_hangs_is_a_standstill(monitor: WorkerMonitor, time: Time) -> None:
    monitor.stepped()
    time.now += LIMIT + 1
    monitor.looked()
    assert whats(monitor.progress) == {"intake"}


def probes_of(progress: Progress, pauses: Sequence[Pause] = (), stop: threading.Event | None = None) -> Probes:
    found = Probes(progress, lambda: pauses, "w1", stop or threading.Event())
    found.beat({})
    return found


def read(answer: EndpointAnswer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body)
    assert (answer.status == HTTPStatus.OK) is found.get("live", found.get("ready"))
    return found


def pause(scope: str) -> Pause:
    return Pause(scope, "ConnectFailed", "no connection", 0, 0, 1)


def test_liveness_says_what_is_stuck_since_when_and_why(monitor: WorkerMonitor, time: Time) -> None:
    monitor.failed("due", redis.ConnectionError("refused"))
    assert read(probes_of(monitor.progress).live())["live"]
    time.now += LIMIT + 1
    said = read(probes_of(monitor.progress).live())
    assert said["stuck"] == [{"what": "lease", "seconds": 61.0, "reason": "ConnectionError: refused"}]
    assert said["limit_seconds"] == LIMIT


def test_a_worker_that_drains_is_live_and_not_ready(monitor: WorkerMonitor, time: Time) -> None:
    stop = threading.Event()
    probes = probes_of(monitor.progress, stop=stop)
    stop.set()
    time.now += 10 * LIMIT
    assert read(probes.live())["live"]
    assert read(probes.ready())["reasons"] == [{"part": "worker", "reason": "draining: it was asked to end"}]


def test_readiness_names_the_part_that_is_in_trouble(monitor: WorkerMonitor) -> None:
    probes = probes_of(monitor.progress)
    assert read(probes.ready()) == {"ready": True, "worker": "w1", "reasons": [], "paused_projects": 0}
    probes.beat({"delivery": "", "intake": "ConnectionError: refused", "broker": ""})
    assert read(probes.ready())["reasons"] == [{"part": "intake", "reason": "ConnectionError: refused"}]


def test_before_the_first_beat_a_worker_is_not_ready(monitor: WorkerMonitor) -> None:
    assert not read(Probes(monitor.progress, list, "w1", threading.Event()).ready())["ready"]


@pytest.mark.parametrize(
    ("scope", "is_ready"), [("endpoint", False), ("worker:w1", False), ("worker:w2", True), ("project:p", True)]
)
def test_the_pauses_that_concern_a_worker_keep_it_from_being_ready(
    monitor: WorkerMonitor, scope: str, is_ready: bool
) -> None:
    said = read(probes_of(monitor.progress, [pause(scope)]).ready())
    assert said["ready"] is is_ready
    assert said["paused_projects"] == int(scope == "project:p")
    assert is_ready or "no connection" in said["reasons"][0]["reason"]


def test_pauses_that_cannot_be_read_are_a_reason(monitor: WorkerMonitor) -> None:
    def read_pauses() -> Sequence[Pause]:
        raise redis.TimeoutError("slow")

    probes = Probes(monitor.progress, read_pauses, "w1", threading.Event())
    probes.beat({})
    assert read(probes.ready())["reasons"] == [{"part": "delivery", "reason": "TimeoutError: slow"}]


def test_the_ages_of_activities_begin_with_the_start(monitor: WorkerMonitor, time: Time) -> None:
    time.now += 5
    assert monitor.progress.ages() == {activity.value: 5.0 for activity in Activity}
