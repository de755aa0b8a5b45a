"""Hints go through the broker, and are answered here while the broker takes none."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest
import redis
from kombu.exceptions import OperationalError

from worker.delivery.wakeups import Hints


class Broker:
    """Takes hints, or refuses them."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refuses: Exception | None = None

    def __call__(self, project: str) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.taken.append(project)


@pytest.fixture
def broker() -> Broker:
    return Broker()


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [getattr(record, "action", "") for record in caplog.records]


def test_a_hint_goes_to_the_fleet_and_no_wave_runs_here(broker: Broker) -> None:
    hints = Hints(broker, pytest.fail, threads=1)
    hints.send("p")
    hints.close()
    assert broker.taken == ["p"]


@pytest.mark.parametrize("error", [OperationalError("OOM"), redis.OutOfMemoryError("OOM"), ConnectionRefusedError()])
def test_while_the_broker_refuses_hints_waves_run_here_and_that_is_said_once(
    broker: Broker, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level(logging.INFO)
    delivered: list[str] = []
    hints = Hints(broker, lambda project: bool(delivered.append(project)), threads=2)
    broker.refuses = error
    for project in ("p", "q", "r"):
        hints.send(project)
    hints.close()
    assert set(delivered) <= {"p", "q", "r"}
    assert delivered
    broker.refuses = None
    hints.send("p")
    assert broker.taken == ["p"]
    assert actions(caplog) == ["hints_refused", "hints_resumed"]


def test_no_project_runs_here_twice_at_once_nor_more_projects_than_threads(broker: Broker) -> None:
    go_on, delivered = threading.Event(), []

    def deliver(project: str) -> bool:
        delivered.append(project)
        go_on.wait(10)
        return False

    hints = Hints(broker, deliver, threads=2)
    broker.refuses = OperationalError()
    for project in ("p", "p", "q", "r"):
        hints.send(project)
    go_on.set()
    hints.close()
    assert sorted(delivered) == ["p", "q"]


def test_a_wave_that_leaves_much_asks_for_the_next(broker: Broker) -> None:
    hints = Hints(broker, lambda _: True, threads=1)
    hints.answer("p")
    assert broker.taken == ["p"]


@pytest.mark.parametrize(
    ("error", "action"), [(redis.ConnectionError("away"), "wave_ended"), (KeyError(), "wave_failed")]
)
def test_a_wave_that_fails_here_is_said_and_does_not_end_the_thread(
    broker: Broker, caplog: pytest.LogCaptureFixture, error: Exception, action: str
) -> None:
    failing: Callable[[str], bool] = lambda _: (_ for _ in ()).throw(error)  # noqa: E731
    hints = Hints(broker, failing, threads=1)
    broker.refuses = OperationalError()
    hints.send("p")
    hints.close()
    assert action in actions(caplog)
    hints.send("p")
