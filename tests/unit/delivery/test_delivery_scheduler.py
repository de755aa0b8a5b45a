"""The scheduler: waves that are due run here, no more than there are threads for, each project in its turn."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from delivery_doubles import PROJECT, waiting

from tests.awaiting import awaited
from worker.delivery import Scheduler
from worker.spool import Arrival, Outcome, Settlement, Spool

Deliver = Callable[[str], bool]


class Due:
    """A spool that knows what is due, and offers nothing twice until it is told."""

    def __init__(self, *projects: str) -> None:
        self.projects = list(projects)
        self.asked: list[int] = []
        self.error: Exception | None = None

    def due(self, *, most: int, **_: Any) -> list[str]:
        self.asked.append(most)
        if self.error is not None:
            raise self.error
        found, self.projects = self.projects[:most], self.projects[most:]
        return found


@contextmanager
def scheduler(spool: Any, deliver: Deliver, *, threads: int = 2, every: float = 60.0) -> Iterator[Scheduler]:
    """One whose ticks are so rare that only what wakes it makes it look again."""
    stop = threading.Event()
    beats: list[str] = []
    made = Scheduler(spool, deliver, beats.append, full=100, linger=0.0, every=every, threads=threads, stop=stop)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        made.wake()
        thread.join(10)
        made.close()
    assert not thread.is_alive()
    assert beats


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [getattr(record, "action", "") for record in caplog.records]


def test_after_many_looks_in_vain_they_are_rarer_until_something_comes_which_is_looked_at_at_once() -> None:
    spool, delivered = Due(), []

    def deliver(project: str) -> bool:
        delivered.append(project)
        return False

    with scheduler(spool, deliver, every=0.001) as one:
        one.QUIET_LOOKS, one.QUIET_SECONDS = 20, 60.0
        awaited(lambda: len(spool.asked) == 20)
        spool.projects = ["p"]
        assert len(spool.asked) == 20
        one.came()
        awaited(lambda: delivered == ["p"])
        seen = len(spool.asked)
        one.came()
        awaited(lambda: len(spool.asked) > seen)


def test_no_more_projects_are_taken_than_can_begin_and_the_next_when_one_that_left_much_has_ended() -> None:
    spool, delivered = Due("p", "q", "r"), []
    go_on = threading.Event()

    def deliver(project: str) -> bool:
        delivered.append(project)
        return go_on.wait(10)

    with scheduler(spool, deliver):
        awaited(lambda: len(delivered) == 2)
        assert spool.projects == ["r"], "another process may take it"
        go_on.set()
        awaited(lambda: sorted(delivered) == ["p", "q", "r"])
    assert max(spool.asked) == 2


def test_what_is_admitted_is_looked_for_at_once_unless_that_was_just_done() -> None:
    spool, delivered = Due(), []
    with scheduler(spool, lambda project: bool(delivered.append(project)), every=0.2) as made:
        awaited(lambda: spool.asked)
        spool.projects = ["p"]
        looks = len(spool.asked)
        for _ in range(1000):
            made.came()
        awaited(lambda: delivered)
    assert len(spool.asked) - looks < 10


@pytest.mark.parametrize(
    ("error", "action"), [(redis.ConnectionError("away"), "wave_ended"), (KeyError(), "wave_failed")]
)
def test_a_wave_that_fails_is_logged_and_its_thread_is_free_again(
    caplog: pytest.LogCaptureFixture, error: Exception, action: str
) -> None:
    spool, begun = Due("p"), []

    def deliver(project: str) -> bool:
        begun.append(project)
        raise error

    with scheduler(spool, deliver, threads=1, every=0.05):
        awaited(lambda: begun == ["p"])
        spool.projects = ["q"]
        awaited(lambda: begun == ["p", "q"])
    assert actions(caplog) == [action, action]


def test_while_redis_is_away_that_is_logged_once_and_then_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    spool, delivered = Due("p"), []
    spool.error = redis.ConnectionError("away")
    with scheduler(spool, lambda project: bool(delivered.append(project)), every=0.01):
        awaited(lambda: len(spool.asked) > 5)
        spool.error = None
        awaited(lambda: delivered == ["p"])
    assert actions(caplog) == ["delivery_waits", "delivery_resumed"]


@pytest.fixture
def spool(client: redis.Redis) -> Spool:
    return Spool(client, prefix="t:", lease_ms=60_000, remember_ms=60_000)


def due(spool: Spool, **options: Any) -> list[str]:
    return spool.due(full=1, linger_ms=0, silence_ms=60_000, **options)


def admit(spool: Spool, *projects: str) -> None:
    for project in projects:
        item = waiting("a")
        item = type(item)(project, item.lane, f"{project}-a", item.model, 1, "aa", item.payload, item.decision)
        spool.admit([Arrival("", [item])])
        time.sleep(0.002)


def wave_of_one(spool: Spool, *, deliver: bool = False) -> str:
    """Take the project that is due next and give it back, with its prediction delivered or not."""
    [project] = due(spool, most=1)
    token = spool.acquire(project)
    assert token is not None
    if deliver:
        entries = spool.lease(project, token, items=10, max_bytes=10**6, aging_ms=60_000)
        spool.settle(project, token, [Settlement(entry, Outcome.DELIVERED) for entry in entries])
    spool.release(project, token)
    return project


@pytest.mark.servers("all")
def test_projects_take_turns_however_long_one_of_them_has_waited(spool: Spool) -> None:
    admit(spool, "p", "q", "r")
    assert [wave_of_one(spool) for _ in range(5)] == ["p", "q", "r", "p", "q"]
    admit(spool, "s")
    assert [wave_of_one(spool, deliver=True) for _ in range(2)] == ["r", "s"], "who is done keeps nobody's turn"
    assert [wave_of_one(spool) for _ in range(3)] == ["p", "q", "p"]


@pytest.mark.servers("all")
def test_processes_share_what_is_due(spool: Spool) -> None:
    admit(spool, "p", "q", "r", PROJECT)
    first, second = due(spool, most=2), due(spool, most=2)
    assert sorted([*first, *second]) == sorted(["p", "q", "r", PROJECT])
    assert due(spool, most=2) == []
