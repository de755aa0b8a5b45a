"""Circuits: what concerns whom, how often it is probed, and who is woken when it is over."""

from __future__ import annotations

import logging
import time

import pytest
import redis

from worker.delivery.pauses import ENDPOINT, ENDPOINT_FROM_PROJECTS, Pauses
from worker.kili import ConnectFailed, KiliError, RateLimited, RefusedKey, RefusedProject, Unauthorized, UnknownOutcome


@pytest.fixture
def pauses(client: redis.Redis) -> Pauses:
    return Pauses(client, "t:", first=0.02, cap=0.08)


def scopes(pauses: Pauses) -> set[str]:
    return {pause.scope for pause in pauses.all()}


def until_over(pauses: Pauses, project: str) -> None:
    end = time.monotonic() + 5
    while not pauses.may_try(pauses.of(project)):
        assert time.monotonic() < end
        time.sleep(0.005)
    pauses.tried(pauses.of(project))


def length(pauses: Pauses, scope: str, client: redis.Redis) -> float:
    seconds, micros = client.time()
    pause = next(one for one in pauses.all() if one.scope == scope)
    return pause.until / 1000 - seconds - micros / 1e6


def fail_again(pauses: Pauses, project: str, error: Exception, times: int) -> None:
    for _ in range(times):
        until_over(pauses, project)
        pauses.failed(project, error)


@pytest.mark.parametrize("kind", [ConnectFailed, RefusedKey, Unauthorized, RateLimited])
def test_what_concerns_everybody_pauses_the_endpoint(pauses: Pauses, kind: type[KiliError]) -> None:
    pauses.failed("a", kind("no"))
    assert scopes(pauses) == {ENDPOINT}


@pytest.mark.parametrize("error", [RefusedProject("no access"), UnknownOutcome("500"), RuntimeError("a bug")])
def test_what_concerns_a_project_pauses_it_alone(pauses: Pauses, error: Exception) -> None:
    pauses.failed("a", error)
    assert scopes(pauses) == {"project:a"}
    assert pauses.may_try(pauses.of("b"))
    assert not pauses.may_try(pauses.of("a"))


def test_a_bucket_that_cannot_be_reached_is_not_the_endpoint(pauses: Pauses) -> None:
    pauses.failed("a", ConnectFailed("no route", operation="upload"))
    assert scopes(pauses) == {"project:a"}


def test_several_projects_failing_together_pause_the_endpoint_too(pauses: Pauses) -> None:
    for name in range(ENDPOINT_FROM_PROJECTS):
        assert ENDPOINT not in scopes(pauses)
        pauses.failed(f"p{name}", UnknownOutcome("503"))
    assert scopes(pauses) == {ENDPOINT, *(f"project:p{name}" for name in range(ENDPOINT_FROM_PROJECTS))}


def test_refused_projects_never_speak_against_the_endpoint(pauses: Pauses) -> None:
    for name in range(2 * ENDPOINT_FROM_PROJECTS):
        pauses.failed(f"p{name}", RefusedProject("deleted"))
    assert ENDPOINT not in scopes(pauses)


def test_a_success_between_failures_acquits_the_endpoint(pauses: Pauses) -> None:
    for name in range(2 * ENDPOINT_FROM_PROJECTS):
        pauses.failed(f"p{name}", UnknownOutcome("503"))
        pauses.succeeded([])
    assert ENDPOINT not in scopes(pauses)


def test_a_running_pause_is_neither_lengthened_nor_said_again(pauses: Pauses, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            pauses.failed("a", ConnectFailed("refused"))
    assert [pause.failures for pause in pauses.all()] == [1]
    assert len(caplog.records) == 1


def test_pauses_grow_to_their_cap(pauses: Pauses, client: redis.Redis) -> None:
    pauses.failed("a", ConnectFailed("refused"))
    fail_again(pauses, "a", ConnectFailed("refused"), 4)
    assert pauses.all()[0].failures == 5
    assert 0.05 < length(pauses, ENDPOINT, client) <= 0.08


def test_a_project_is_probed_ever_less_often_while_others_are_served(pauses: Pauses, client: redis.Redis) -> None:
    pauses.failed("bad", UnknownOutcome("500"))
    for _ in range(4):
        pauses.succeeded([])
        fail_again(pauses, "bad", UnknownOutcome("500"), 1)
    assert 0.2 < length(pauses, "project:bad", client) <= 0.32


def test_a_project_is_probed_often_while_nobody_is_served(pauses: Pauses, client: redis.Redis) -> None:
    pauses.failed("only", UnknownOutcome("500"))
    fail_again(pauses, "only", UnknownOutcome("500"), 4)
    assert length(pauses, "project:only", client) <= 0.08


@pytest.mark.parametrize(("asked", "least", "most"), [(0.5, 0.4, 0.5), (1e12, 1.5, 2.0)])
def test_retry_after_lengthens_a_pause_up_to_what_is_allowed(
    client: redis.Redis, asked: float, least: float, most: float
) -> None:
    pauses = Pauses(client, "t:", first=0.02, cap=0.08, retry_after_cap=2)
    pauses.failed("a", RateLimited("429", retry_after=asked))
    assert least < length(pauses, ENDPOINT, client) <= most


def test_one_probe_of_the_endpoint_at_a_time(pauses: Pauses) -> None:
    pauses.failed("a", ConnectFailed("refused"))
    until_over(pauses, "a")
    held = pauses.of("a")
    assert pauses.may_try(held)
    assert not pauses.may_try(pauses.of("b"))
    pauses.tried(held)
    assert pauses.may_try(pauses.of("b"))


def test_the_endpoints_return_wakes_every_project_but_the_refused(pauses: Pauses, client: redis.Redis) -> None:
    pauses.failed("gone", RefusedProject("deleted"))
    for name in range(ENDPOINT_FROM_PROJECTS):
        pauses.failed(f"p{name}", UnknownOutcome("503"))
    pauses.succeeded(pauses.of("p0"))
    assert scopes(pauses) == {"project:gone", "project:p1", "project:p2"}
    assert pauses.may_try(pauses.of("p1"))
    assert length(pauses, "project:gone", client) > 0


def test_a_pause_tells_since_when_and_in_whose_words(pauses: Pauses) -> None:
    pauses.failed("a", RefusedProject("projects: [noAccessRights] You do not have the access"))
    [pause] = pauses.all()
    assert (pause.scope, pause.kind) == ("project:a", "RefusedProject")
    assert "You do not have the access" in pause.reason
    assert pause.since <= pause.until
