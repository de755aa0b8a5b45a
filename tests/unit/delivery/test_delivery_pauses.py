"""Circuits: what concerns whom, how often it is probed, and who is woken when it is over."""

from __future__ import annotations

import logging

import pytest
import redis

from worker.delivery.circuit_breaker import ENDPOINT, CircuitBreaker
from worker.delivery.failure_policy import ENDPOINT_FROM_PROJECTS
from worker.kili import (
    ConnectFailed,
    KiliError,
    LocalFault,
    NotSent,
    RateLimited,
    RefusedKey,
    RefusedProject,
    Unauthorized,
    UnknownOutcome,
)

pytestmark = pytest.mark.servers("all")


class Clock:
    """Milliseconds since the epoch, as a test wants them."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pauses(client: redis.Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> CircuitBreaker:
    """First pause 2 s, longest 8 s, 96 s for who fails while others are served, 60 s at a server's request."""
    pauses = CircuitBreaker(client, "t:", first=2, cap=8, retry_after_cap=60)
    monkeypatch.setattr(pauses, "_now", clock)
    return pauses


def scopes(pauses: CircuitBreaker) -> set[str]:
    return {pause.scope for pause in pauses.all()}


def seconds_left(pauses: CircuitBreaker, scope: str, clock: Clock) -> float:
    return next(one.until for one in pauses.all() if one.scope == scope) / 1000 - clock.now / 1000


def fail_probes(pauses: CircuitBreaker, clock: Clock, project: str, error: Exception, times: int) -> None:
    for _ in range(times):
        clock.now = max(pause.until for pause in pauses.of(project))
        assert pauses.may_try(pauses.of(project))
        pauses.failed(project, error)
        pauses.tried(pauses.of(project))


@pytest.mark.parametrize("kind", [ConnectFailed, RefusedKey, Unauthorized, RateLimited])
def test_what_concerns_everybody_pauses_the_endpoint(pauses: CircuitBreaker, kind: type[KiliError]) -> None:
    pauses.failed("a", kind("no"))
    assert scopes(pauses) == {ENDPOINT}


@pytest.mark.parametrize("error", [RefusedProject("no access"), UnknownOutcome("500"), RuntimeError("a bug")])
def test_what_concerns_a_project_pauses_it_alone(pauses: CircuitBreaker, error: Exception) -> None:
    pauses.failed("a", error)
    assert scopes(pauses) == {"project:a"}
    assert pauses.may_try(pauses.of("b"))
    assert not pauses.may_try(pauses.of("a"))


def test_a_bucket_that_cannot_be_reached_is_not_the_endpoint(pauses: CircuitBreaker) -> None:
    pauses.failed("a", ConnectFailed("no route", operation="upload"))
    assert scopes(pauses) == {"project:a"}


def test_several_projects_failing_together_pause_the_endpoint_too(pauses: CircuitBreaker) -> None:
    for name in range(ENDPOINT_FROM_PROJECTS):
        assert ENDPOINT not in scopes(pauses)
        pauses.failed(f"p{name}", UnknownOutcome("503"))
    assert scopes(pauses) == {ENDPOINT, *(f"project:p{name}" for name in range(ENDPOINT_FROM_PROJECTS))}


def test_refused_projects_never_speak_against_the_endpoint(pauses: CircuitBreaker) -> None:
    for name in range(2 * ENDPOINT_FROM_PROJECTS):
        pauses.failed(f"p{name}", RefusedProject("deleted"))
    assert ENDPOINT not in scopes(pauses)


def test_a_success_between_failures_acquits_the_endpoint(pauses: CircuitBreaker) -> None:
    for name in range(2 * ENDPOINT_FROM_PROJECTS):
        pauses.failed(f"p{name}", UnknownOutcome("503"))
        pauses.succeeded([])
    assert ENDPOINT not in scopes(pauses)


def test_a_running_pause_is_neither_lengthened_nor_said_again(
    pauses: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            pauses.failed("a", ConnectFailed("refused"))
    assert [pause.failures for pause in pauses.all()] == [1]
    assert len(caplog.records) == 1


def test_pauses_grow_to_their_cap(pauses: CircuitBreaker, clock: Clock) -> None:
    pauses.failed("a", ConnectFailed("refused"))
    assert 1.5 <= seconds_left(pauses, ENDPOINT, clock) <= 2
    fail_probes(pauses, clock, "a", ConnectFailed("refused"), 4)
    assert pauses.all()[0].failures == 5
    assert 6 <= seconds_left(pauses, ENDPOINT, clock) <= 8


def test_a_project_is_probed_ever_less_often_while_others_are_served(pauses: CircuitBreaker, clock: Clock) -> None:
    pauses.failed("bad", UnknownOutcome("500"))
    for _ in range(7):
        pauses.succeeded([])
        fail_probes(pauses, clock, "bad", UnknownOutcome("500"), 1)
    assert 72 <= seconds_left(pauses, "project:bad", clock) <= 96


def test_a_project_is_probed_often_while_nobody_is_served(pauses: CircuitBreaker, clock: Clock) -> None:
    pauses.failed("only", UnknownOutcome("500"))
    fail_probes(pauses, clock, "only", UnknownOutcome("500"), 7)
    assert seconds_left(pauses, "project:only", clock) <= 8


@pytest.mark.parametrize(("asked", "given"), [(30, 30), (1e12, 60)])
def test_retry_after_lengthens_a_pause_up_to_what_is_allowed(
    pauses: CircuitBreaker, clock: Clock, asked: float, given: float
) -> None:
    pauses.failed("a", RateLimited("429", retry_after=asked))
    assert seconds_left(pauses, ENDPOINT, clock) == given


def test_one_probe_of_the_endpoint_at_a_time(pauses: CircuitBreaker, clock: Clock) -> None:
    pauses.failed("a", ConnectFailed("refused"))
    clock.now += 2000
    held = pauses.of("a")
    assert pauses.may_try(held)
    assert not pauses.may_try(pauses.of("b"))
    pauses.tried(held)
    assert pauses.may_try(pauses.of("b"))


def test_the_endpoints_return_wakes_every_project_but_the_refused(pauses: CircuitBreaker, clock: Clock) -> None:
    pauses.failed("gone", RefusedProject("deleted"))
    for name in range(ENDPOINT_FROM_PROJECTS):
        pauses.failed(f"p{name}", UnknownOutcome("503"))
    pauses.succeeded(pauses.of("p0"))
    assert scopes(pauses) == {"project:gone", "project:p1", "project:p2"}
    assert pauses.may_try(pauses.of("p1"))
    assert seconds_left(pauses, "project:gone", clock) > 0


def test_a_pause_tells_since_when_and_in_whose_words(pauses: CircuitBreaker) -> None:
    pauses.failed("a", RefusedProject("projects: [noAccessRights] You do not have the access"))
    [pause] = pauses.all()
    assert (pause.scope, pause.kind) == ("project:a", "RefusedProject")
    assert "You do not have the access" in pause.reason
    assert pause.since < pause.until


@pytest.mark.guarantee(
    "Processes",
    fault="a worker whose machine lacks sockets, memory, the name service, certificates",
    promise="it alone pauses",
)
@pytest.mark.parametrize("error", [LocalFault("PoolTimeout"), MemoryError(), OSError(24, "Too many open files")])
def test_what_a_worker_lacks_pauses_that_worker_and_nobody_else(
    pauses: CircuitBreaker, client: redis.Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    one, other = (CircuitBreaker(client, "t:", first=2, cap=8, worker=name) for name in ("one", "other"))
    for each in (one, other):
        monkeypatch.setattr(each, "_now", clock)
    one.failed("a", error)
    assert scopes(pauses) == {"worker:one"}
    assert not one.may_try(one.of("b"))
    assert other.may_try(other.of("a"))
    clock.now = one.all()[0].until
    assert one.may_try(one.of("a"))
    one.succeeded(one.of("a"))
    assert scopes(pauses) == set()


def test_the_pause_of_a_worker_that_is_gone_is_not_shown(
    pauses: CircuitBreaker, client: redis.Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = CircuitBreaker(client, "t:", first=2, cap=8, worker="one")
    monkeypatch.setattr(one, "_now", clock)
    one.failed("a", LocalFault("no"))
    one.end()
    assert scopes(pauses) == set()
    one.failed("a", LocalFault("no"))
    clock.now += 700_000
    assert scopes(pauses) == set()


def test_a_call_that_the_budget_did_not_allow_pauses_nobody(pauses: CircuitBreaker) -> None:
    pauses.failed("a", NotSent("no call in time"))
    assert scopes(pauses) == set()


def test_a_refused_project_is_asked_less_and_less_often_up_to_a_cap(pauses: CircuitBreaker, clock: Clock) -> None:
    pauses.failed("a", RefusedProject("no such project"))
    begun, probes = clock.now, 0
    while clock.now - begun < 27 * 60 * 1000:
        fail_probes(pauses, clock, "a", RefusedProject("no such project"), 1)
        probes += 1
    assert probes <= 12
    assert 0.75 * 8 * 60 <= seconds_left(pauses, "project:a", clock) <= 8 * 60
