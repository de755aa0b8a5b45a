from __future__ import annotations

import threading
import time
from email.utils import formatdate

import httpx
import pytest
from kili_doubles import SleeplessStop, data, graphql_error, rig

from worker.kili.budget import BudgetTimeout
from worker.kili.errors import (
    KiliError,
    NotSent,
    RateLimited,
    RefusedItems,
    ServerFault,
    TimedOut,
    Unauthorized,
    Unavailable,
    UnknownOutcome,
)
from worker.kili.operations import NewAsset
from worker.kili.retry import RetryPolicy, parse_retry_after

VIEWER = data({"id": "u", "email": "a@b.c"})
BUSY = httpx.Response(521, text="origin is down")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (" 2.5 ", 2.5),
        ("120000", 120_000.0),
        ("-3", None),
        ("", None),
        (None, None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("9" * 400, None),
        ("Fri, 32 Foo 2026 10:00:00 GMT", None),
        ("Fri, 01 Jan 99999 10:00:00 GMT", None),
    ],
)
def test_retry_after_in_seconds(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(30, 30.0), (0, None), (-30, None)])
def test_retry_after_as_a_date_counts_from_the_servers_own_clock(ahead: int, seconds: float | None) -> None:
    server_now = 1_000_000_000
    retry_at, date = formatdate(server_now + ahead, usegmt=True), formatdate(server_now, usegmt=True)
    assert parse_retry_after(retry_at, date) == seconds


def test_retry_after_as_a_date_counts_from_our_clock_when_the_server_gives_none() -> None:
    seconds = parse_retry_after(formatdate(time.time() + 40, usegmt=True))
    assert seconds is not None
    assert 37 < seconds <= 40


@pytest.mark.parametrize(
    "trouble",
    [
        BUSY,
        httpx.Response(429),
        httpx.Response(401),
        httpx.Response(502),
        httpx.Response(503, text="no healthy upstream"),
        httpx.Response(200, text="<html>"),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        graphql_error("[unexpectedRetrieving] x"),
    ],
)
def test_trouble_that_passes_is_sat_out(trouble: httpx.Response | Exception) -> None:
    run = rig(trouble, trouble, VIEWER)
    assert run.client.viewer() == {"id": "u", "email": "a@b.c"}
    assert len(run.stop.waits) == 2
    assert [record.attempt for record in run.records] == [1, 2, 3]
    assert run.outcomes[-1] == "ok"
    assert run.budget.taken == 3


def test_a_guard_is_asked_before_every_attempt_and_after_the_wait_for_the_budget() -> None:
    run = rig(BUSY, VIEWER)
    taken: list[int] = []

    def check() -> None:
        taken.append(run.budget.taken)
        if len(taken) == 2:
            raise LookupError("the lock is lost")

    with pytest.raises(LookupError):
        run.client.guarded(check).viewer()
    assert (taken, len(run.server.sent)) == ([1, 2], 1)
    assert run.client.viewer() == {"id": "u", "email": "a@b.c"}, "the client itself is not guarded"


@pytest.mark.parametrize(
    "answer",
    [
        graphql_error("[jsonResponseMalformed] x"),
        httpx.Response(413),
        httpx.Response(403),
        graphql_error("API key expired"),
    ],
)
def test_a_refusal_is_not_sent_again(answer: httpx.Response) -> None:
    run = rig(answer)
    with pytest.raises(KiliError):
        run.client.existing_external_ids("p", ["a"])
    assert len(run.server.sent) == 1


def test_the_last_error_is_raised_when_the_attempts_are_used_up() -> None:
    run = rig(httpx.Response(429), httpx.Response(401), BUSY, httpx.Response(500, text="the last"))
    with pytest.raises(UnknownOutcome, match="the last"):
        run.client.viewer()
    assert run.outcomes == ["RateLimited", "Unauthorized", "Unavailable", "UnknownOutcome"]


@pytest.mark.parametrize("slow", [httpx.ReadTimeout("slow"), httpx.Response(504), httpx.Response(524)])
def test_a_request_that_timed_out_is_sent_only_twice(slow: httpx.Response | Exception) -> None:
    run = rig(slow)
    with pytest.raises(TimedOut):
        run.client.viewer()
    assert len(run.server.sent) == 2


def test_waits_are_spread_over_all_of_an_exponential_ceiling() -> None:
    waits: list[list[float]] = [[], [], [], [], [], []]
    for _ in range(200):
        run = rig(BUSY, retry=RetryPolicy(attempts=7, base=0.5, cap=4.0))
        with pytest.raises(Unavailable):
            run.client.viewer()
        for column, wait in zip(waits, run.stop.waits, strict=True):
            column.append(wait)
    for column, ceiling in zip(waits, [0.5, 1, 2, 4, 4, 4], strict=True):
        assert 0 <= min(column) < 0.1 * ceiling
        assert 0.9 * ceiling < max(column) <= ceiling


@pytest.mark.parametrize(("header", "wait"), [("9", 9.0), ("86400", 60.0), ("-5", None), ("garbage", None)])
@pytest.mark.parametrize("status", [429, 503, 401])
def test_retry_after_is_honoured_up_to_a_cap(header: str, wait: float | None, status: int) -> None:
    run = rig(httpx.Response(status, headers={"retry-after": header}), VIEWER)
    run.client.viewer()
    if wait is None:
        assert run.stop.waits[0] <= 0.5
    else:
        assert run.stop.waits == [wait]
        assert run.budget.penalties == [wait]


def test_a_rate_limit_without_retry_after_still_holds_the_fleet_back_a_little_longer_each_time() -> None:
    run = rig(httpx.Response(429), httpx.Response(429), httpx.Response(429), httpx.Response(429))
    with pytest.raises(RateLimited):
        run.client.viewer()
    assert run.budget.penalties == [0.5, 1.0, 2.0, 4.0]


def test_trouble_of_another_kind_does_not_hold_the_fleet_back() -> None:
    run = rig(BUSY, httpx.Response(401), VIEWER)
    run.client.viewer()
    assert run.budget.penalties == []


def test_stopping_during_a_wait_raises_the_last_error_at_once() -> None:
    run = rig(BUSY, stop=SleeplessStop(set_at_wait=2))
    with pytest.raises(Unavailable):
        run.client.viewer()
    assert len(run.server.sent) == 2


def test_a_worker_that_is_stopping_sends_once_and_does_not_wait() -> None:
    run = rig(BUSY)
    run.stop.set()
    with pytest.raises(Unavailable):
        run.client.viewer()
    assert (len(run.server.sent), run.stop.waits) == (1, [])


def test_a_real_stop_event_ends_a_long_wait() -> None:
    stop = threading.Event()
    policy = RetryPolicy(base=0.001, retry_after_cap=60.0)
    first_failed = threading.Event()

    def attempt(number: int) -> None:
        first_failed.set()
        error = Unauthorized(f"attempt {number}")
        error.retry_after = 60.0
        raise error

    caught: list[BaseException] = []

    def run() -> None:
        try:
            policy.run(attempt, stop=stop)
        except KiliError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert first_failed.wait(5)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert [str(error) for error in caught] == ["attempt 1"]


def test_an_empty_budget_means_not_sent_and_is_not_tried_again() -> None:
    run = rig(VIEWER)

    def refuse(stop: threading.Event | None = None, timeout: float | None = None) -> float:
        raise BudgetTimeout("no call is free for 3.0 s", needed=3.0)

    run.budget.acquire = refuse  # type: ignore[method-assign]
    with pytest.raises(NotSent, match="viewer: no call is free"):
        run.client.viewer()
    assert (run.server.sent, run.stop.waits) == ([], [])


@pytest.mark.parametrize(
    ("first", "second", "maybe_applied"),
    [
        (httpx.ReadError("reset"), graphql_error("c1 already exists"), True),
        (graphql_error("[unexpectedRetrieving] x"), graphql_error("c1 already exists"), True),
        (httpx.ConnectError("refused"), graphql_error("c1 already exists"), False),
        (httpx.Response(401), graphql_error("c1 already exists"), False),
    ],
)
def test_an_error_remembers_that_an_earlier_attempt_may_have_been_applied(
    first: httpx.Response | Exception, second: httpx.Response, maybe_applied: bool
) -> None:
    run = rig(first, second)
    with pytest.raises(RefusedItems) as caught:
        run.client.append_assets("p", [NewAsset("c1", "a", "")])
    assert caught.value.maybe_applied is maybe_applied


def test_one_attempt_means_no_wait() -> None:
    run = rig(graphql_error("internal server error"), retry=RetryPolicy(attempts=1))
    with pytest.raises(ServerFault):
        run.client.viewer()
    assert run.stop.waits == []
