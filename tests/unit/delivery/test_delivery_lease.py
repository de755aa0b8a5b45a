"""Leases: renewed while a wave runs, and a wave is told when its own is gone."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest
import redis
from delivery_doubles import PROJECT, waiting

from tests.awaiting import awaited
from worker.delivery.leasing import LeaseKeeper
from worker.spool import Arrival, LeaseLost, Spool

pytestmark = pytest.mark.servers("all")

LEASE_MS = 300


@pytest.fixture
def spool(client: redis.Redis) -> Spool:
    spool = Spool(client, prefix="t:", lease_ms=LEASE_MS, remember_ms=60_000)
    spool.admit([Arrival("", (waiting("a"),))])
    return spool


def test_a_project_is_held_by_one_wave_at_a_time(spool: Spool) -> None:
    keeper, other = LeaseKeeper(spool), LeaseKeeper(spool)
    with keeper.hold(PROJECT) as lease:
        assert lease is not None
        assert keeper.held() == [PROJECT]
        with other.hold(PROJECT) as second:
            assert second is None
    with other.hold(PROJECT) as lease:
        assert lease is not None


def test_a_lease_is_renewed_for_as_long_as_the_wave_runs(spool: Spool) -> None:
    with LeaseKeeper(spool).hold(PROJECT) as lease:
        assert lease is not None
        first = lease.deadline
        awaited(lambda: lease.deadline > first + 2 * LEASE_MS / 1000)
        lease.check()
        assert spool.acquire(PROJECT) is None


def test_a_wave_is_told_when_another_has_its_project(spool: Spool, client: redis.Redis) -> None:
    with LeaseKeeper(spool).hold(PROJECT) as lease:
        assert lease is not None
        client.set(f"t:lock:{PROJECT}", "somebody-else")
        awaited(lease.lost.is_set)
        with pytest.raises(LeaseLost):
            lease.check()


def test_a_lease_that_cannot_be_renewed_ends_on_time(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(project: str, token: str) -> bool:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(spool, "renew", unreachable)
    with LeaseKeeper(spool).hold(PROJECT) as lease:
        assert lease is not None
        lease.check()
        awaited(lambda: time.monotonic() >= lease.deadline)
        with pytest.raises(LeaseLost):
            lease.check()


def test_the_end_of_all_waves_can_be_awaited(spool: Spool) -> None:
    keeper = LeaseKeeper(spool)
    assert keeper.wait_released(0)
    begun, end = threading.Event(), threading.Event()

    def wave() -> None:
        with keeper.hold(PROJECT):
            begun.set()
            end.wait(5)

    thread = threading.Thread(target=wave)
    thread.start()
    assert begun.wait(5)
    assert not keeper.wait_released(0.01)
    end.set()
    assert keeper.wait_released(5)
    thread.join()


def test_a_project_taken_again_while_it_is_given_back_stays_held(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, release = LeaseKeeper(spool), spool.release
    with ExitStack() as next_wave:

        def release_and_take_again(project: str, token: str) -> None:
            release(project, token)
            monkeypatch.setattr(spool, "release", release)
            next_wave.enter_context(keeper.hold(project))

        with keeper.hold(PROJECT):
            monkeypatch.setattr(spool, "release", release_and_take_again)
        assert keeper.held() == [PROJECT]
    assert keeper.held() == []
