"""The clock of the feedback room: one round per project and interval for the fleet, and trouble that harms nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest

from worker.feedback.collection_cycle import CALLS_PER_CYCLE, CollectionCycle
from worker.feedback.collector import CycleResult
from worker.feedback.store import IntervalLock
from worker.kili import RefusedProject

EVERY = 0.05


class Room:
    """A feedback room that only counts its rounds."""

    def __init__(self, results: Iterator[CycleResult | Exception]) -> None:
        self.results = results
        self.collection_cycle = 0

    def tick(self) -> CycleResult:
        self.collection_cycle += 1
        result = next(self.results)
        if isinstance(result, Exception):
            raise result
        return result


@pytest.fixture
def client() -> Iterator[fakeredis.FakeRedis]:
    with fakeredis.FakeRedis() as found:
        yield found


def run_until(condition: Callable[[], bool], client: fakeredis.FakeRedis, room: Room, **options: Any) -> None:
    """Run the clock until the condition holds; the room's results end only after that."""
    stop = threading.Event()

    def enter(_: str) -> Any:
        if condition():
            stop.set()
        return room

    options = {"every": EVERY, "calls_per_minute": 1e9, **options}
    CollectionCycle(lambda: ["P"], enter, IntervalLock(client, "t:"), stop=stop, **options).run()


def forever(*first: CycleResult | Exception) -> Iterator[CycleResult | Exception]:
    yield from first
    while True:
        yield CycleResult()


def test_a_project_gets_one_turn_per_interval_whoever_asks(client: fakeredis.FakeRedis) -> None:
    one, other = IntervalLock(client, "t:"), IntervalLock(client, "t:")

    assert one.take("P", 60)
    assert not other.take("P", 60)
    assert other.take("Q", 60)


def test_a_hastened_turn_comes_at_once_or_soon(client: fakeredis.FakeRedis) -> None:
    interval_lock = IntervalLock(client, "t:")
    interval_lock.take("P", 600)

    interval_lock.put("P", 30)
    assert client.ttl("t:feedback:P:next:round") in (29, 30)
    interval_lock.put("P")
    assert interval_lock.take("P", 600)


def test_the_first_round_comes_an_interval_after_the_start(client: fakeredis.FakeRedis) -> None:
    stop = threading.Event()
    entered: list[bool] = []

    def enter(_: str) -> Any:
        entered.append(bool(client.exists("t:feedback:P:next:round")))
        stop.set()
        return Room(forever())

    CollectionCycle(
        lambda: ["P"], enter, IntervalLock(client, "t:"), every=EVERY, calls_per_minute=1e9, stop=stop
    ).run()

    assert entered == [True]


def test_trouble_in_a_round_is_said_once_and_the_rounds_go_on(
    client: fakeredis.FakeRedis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    refused = RefusedProject("no access", operation="labels")
    room = Room(forever(refused, refused, CycleResult()))

    run_until(lambda: room.collection_cycle >= 3, client, room)

    assert [entry.action for entry in caplog.records] == ["feedback_waits", "feedback_resumed"]


def test_what_nobody_foresaw_is_logged_with_its_trace_and_the_rounds_go_on(
    client: fakeredis.FakeRedis, caplog: pytest.LogCaptureFixture
) -> None:
    room = Room(forever(ZeroDivisionError("unforeseen")))

    run_until(lambda: room.collection_cycle >= 1, client, room)

    (entry,) = caplog.records
    assert entry.action == "feedback_failed"
    assert "unforeseen" in str(entry.exc_info)


def test_a_round_that_was_put_off_is_made_up_for_sooner(client: fakeredis.FakeRedis) -> None:
    room = Room(iter([CycleResult(complete=False)]))
    stop = threading.Event()

    def enter(_: str) -> Any:
        stop.set()
        return room

    CollectionCycle(lambda: ["P"], enter, IntervalLock(client, "t:"), every=0.4, calls_per_minute=1e9, stop=stop).run()

    assert client.pttl("t:feedback:P:next:round") <= 200


@pytest.mark.parametrize(("projects", "seconds"), [(1, 300), (30, 300), (100, 100 * CALLS_PER_CYCLE * 60 / 50)])
def test_many_projects_are_looked_at_less_often(client: fakeredis.FakeRedis, projects: int, seconds: float) -> None:
    collection_cycle = CollectionCycle(
        list,
        lambda _: pytest.fail("not entered"),
        IntervalLock(client, "t:"),
        every=300,
        calls_per_minute=50,
        stop=threading.Event(),
    )

    assert collection_cycle.interval(projects) == seconds
