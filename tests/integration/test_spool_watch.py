"""A Redis that was emptied or replaced is noticed by those who knew it before."""

from __future__ import annotations

import logging

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.spool import Arrival, Spool, Waiting, Watch, replacement_of

pytestmark = pytest.mark.servers("all")


@pytest.fixture
def spool(client: redis.Redis) -> Spool:
    spool = Spool(client, prefix="t:", lease_ms=1000, remember_ms=1000)
    fill(spool, 3)
    return spool


def fill(spool: Spool, count: int) -> None:
    for number in range(count):
        spool.admit([Arrival("", (Waiting("p", 5, f"a{number}", "m:1", 1, "aa", b"{}", b"{}"),))])


def test_the_same_redis_is_nothing_to_speak_of_for_old_and_new_workers(spool: Spool) -> None:
    watches = [Watch(spool), Watch(spool)]
    for _ in range(3):
        assert [watch.look() for watch in watches] == [None, None]
        fill(spool, 2)
    assert Watch(spool).look() is None
    assert replacement_of(spool.redis, "t:") is None


def test_an_empty_redis_is_noticed_once_by_each_who_knew_the_old_one(spool: Spool) -> None:
    first, second = Watch(spool), Watch(spool)
    first.look()
    second.look()
    spool.redis.flushall()
    found = first.look()
    assert found is not None
    assert (found.received, found.waiting) == (3, 3)
    assert "3 were still on their way" in str(found)
    assert replacement_of(spool.redis, "t:") == found
    assert second.look() is not None
    assert (first.look(), second.look(), Watch(spool).look()) == (None, None, None)


def test_a_redis_that_went_back_in_time_is_noticed(spool: Spool) -> None:
    watch = Watch(spool)
    watch.look()
    spool.redis.hset("t:ledger", "received", 1)
    assert watch.look() is not None


def test_a_tick_says_so_loudly_and_a_redis_that_is_away_is_no_replacement(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(spool)
    watch.tick()
    spool.redis.flushall()
    watch._next = 0.0
    watch.tick()
    assert [(record.levelno, record.action) for record in caplog.records] == [(logging.CRITICAL, "redis_replaced")]
    nobody = redis.Redis(port=9, retry=Retry(NoBackoff(), 0))
    Watch(Spool(nobody, prefix="t:", lease_ms=1000, remember_ms=1000)).tick()
    assert len(caplog.records) == 1
