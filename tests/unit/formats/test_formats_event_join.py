"""Requests and responses find each other by id, in either order, within a time and in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.formats import Event, EventJoin, OutputError, read_event

TYPE = "org.kubeflow.serving.inference."


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def event(event_id: str, side: str, **attributes: str) -> Event:
    return Event(event_id, TYPE + side, {"side": side}, ("payload",), attributes)


def join(**settings: object) -> tuple[EventJoin, Clock]:
    clock = Clock()
    return EventJoin(clock=clock, **settings), clock  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [("request", "response"), ("response", "request")])
def test_the_two_halves_are_joined_in_either_order(order: tuple[str, str]) -> None:
    pairs, _ = join()
    assert pairs.add(event("1", order[0])).pair is None
    pair = pairs.add(event("1", order[1])).pair
    assert pair is not None
    assert (pair.request.side, pair.response.side) == ("request", "response")
    assert (len(pairs), pairs.counts.joined) == (0, 1)


def test_the_same_id_of_another_service_is_another_inference() -> None:
    pairs, _ = join()
    pairs.add(event("1", "request", inferenceservicename="a"))
    assert pairs.add(event("1", "response", inferenceservicename="b")).pair is None
    assert len(pairs) == 2


def test_what_waits_too_long_is_an_orphan() -> None:
    pairs, clock = join(limit_seconds=10.0)
    pairs.add(event("1", "request"))
    clock.now = 5.0
    pairs.add(event("2", "response"))
    clock.now = 10.0
    step = pairs.add(event("1", "response"))
    assert [(orphan.id, orphan.side) for orphan in step.orphans] == [("1", "request")]
    assert step.pair is None
    clock.now = 20.0
    assert {orphan.id for orphan in pairs.expire()} == {"1", "2"}
    assert (pairs.counts.orphan_requests, pairs.counts.orphan_responses, len(pairs)) == (1, 2, 0)


def test_the_oldest_leaves_when_too_many_wait() -> None:
    pairs, _ = join(capacity=2)
    pairs.add(event("1", "request"))
    pairs.add(event("2", "request"))
    assert [orphan.id for orphan in pairs.add(event("3", "request")).orphans] == ["1"]
    assert (len(pairs), pairs.counts.orphan_requests) == (2, 1)


def test_a_repeated_half_is_counted_and_joined_once() -> None:
    pairs, _ = join()
    pairs.add(event("1", "request"))
    assert pairs.add(event("1", "request")) == pairs.add(event("1", "request"))
    assert pairs.add(event("1", "response")).pair is not None
    assert (pairs.counts.repeated, pairs.counts.joined, len(pairs)) == (2, 1, 0)


def test_an_event_that_is_neither_half_is_refused() -> None:
    pairs, _ = join()
    with pytest.raises(ValueError, match="neither an inference request nor a response"):
        pairs.add(Event("1", "com.example.other", None, ("payload",)))


@pytest.mark.parametrize("settings", [{"limit_seconds": 0.0}, {"capacity": 0}])
def test_settings_without_meaning_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="EventJoin needs"):
        join(**settings)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["request", "response"]), st.floats(0, 4)), max_size=40))
def test_every_event_is_joined_or_orphaned_or_waiting(steps: list[tuple[int, str, float]]) -> None:
    pairs, clock = join(limit_seconds=5.0, capacity=3)
    orphans = 0
    for number, side, pause in steps:
        clock.now += pause
        orphans += len(pairs.add(event(str(number), side)).orphans)
        assert len(pairs) <= 3
    counts = pairs.counts
    assert orphans == counts.orphan_requests + counts.orphan_responses
    assert len(steps) == 2 * counts.joined + orphans + counts.repeated + len(pairs)


def test_events_of_both_sides_are_read_with_their_attributes() -> None:
    raw = {"specversion": "1.0", "id": "7", "type": TYPE + "request", "source": "s", "namespace": "n", "data": [1]}
    read = read_event(raw)
    assert (read.side, read.key, read.data) == ("request", ("n", "", "7"), [1])
    with pytest.raises(OutputError, match="no CloudEvents attributes"):
        read_event({"body": 1})
