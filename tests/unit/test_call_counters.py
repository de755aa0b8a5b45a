"""Calls are summed in the process and kept in Redis together."""

from __future__ import annotations

import logging

import pytest
import redis

from worker.kili import CallRecord
from worker.kili.budget import CallCount, CallCounter

PREFIX = "pw:"


def record(outcome: str = "ok", attempt: int = 1) -> CallRecord:
    return CallRecord("appendManyLabels", 100, 0.25, 200, outcome, attempt, 10, 0.0)


def test_what_two_processes_have_counted_is_added(client: redis.Redis) -> None:
    one, other = CallCounter(client, PREFIX), CallCounter(client, PREFIX)
    for _ in range(3):
        one.observe(record())
    other.observe(record(attempt=2))
    assert CallCounter(client, PREFIX).counts() == [], "nothing is kept yet"
    one.keep()
    one.keep()
    other.keep()
    expected = [CallCount("appendManyLabels", "ok", calls=4, repeats=1, items=400, seconds=1.0)]
    assert CallCounter(client, PREFIX).counts() == expected


def test_a_failure_is_kept_at_once_with_what_went_before_it(client: redis.Redis) -> None:
    counter = CallCounter(client, PREFIX)
    counter.observe(record())
    counter.observe(record("TimedOut"))
    assert [(one.outcome, one.calls) for one in CallCounter(client, PREFIX).counts()] == [("TimedOut", 1), ("ok", 1)]


def test_a_redis_that_is_away_keeps_no_call_from_being_made(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    counter = CallCounter(redis.Redis(port=1), PREFIX)
    counter.observe(record())
    counter.keep()
    assert [one.action for one in caplog.records if hasattr(one, "action")] == ["call_not_counted"]
