"""Graces begin with the first attempt and count attempts' time only, wherever an entry went meanwhile."""

from __future__ import annotations

import time

import pytest
import redis
from delivery_doubles import PROJECT, Bench, MemoryKili, waiting

from worker.kili import ConnectFailed, NewAsset, derived_asset_id
from worker.spool import Leased, Outcome, Settlement, Spool
from worker.spool.dead_letters import DeadLetters
from worker.spool.entries import tried_again, tried_for, tried_since


def test_the_clock_begins_with_the_first_attempt_and_runs_while_attempts_are_made() -> None:
    assert tried_for(b"", "x", 5_000_000) == 0
    known = tried_again(b"", "x", 5_000_000, 2000)
    assert (tried_for(known, "x", 5_002_000), tried_since(known, "x")) == (2000, 5_000_000)
    known = tried_again(known, "x", 5_002_500, 4000)
    assert (tried_for(known, "x", 5_006_500), tried_since(known, "x")) == (6500, 5_000_000)


def test_time_in_which_nobody_could_try_does_not_count() -> None:
    known = tried_again(b"", "x", 0, 2000)
    assert tried_for(known, "x", 3_600_000) == 4000


def test_each_cause_has_its_own_clock_and_a_clock_set_back_harms_nobody() -> None:
    known = tried_again(tried_again(b"", "x", 1000, 50), "y", 9000, 50)
    assert (tried_for(known, "x", 1050), tried_for(known, "y", 9010), tried_for(known, "z", 9000)) == (50, 10, 0)
    assert tried_for(known, "y", 0) == 0


def lease(spool: Spool) -> tuple[str, Leased]:
    token = spool.acquire(PROJECT) or ""
    [entry] = spool.lease(PROJECT, token, items=10, max_bytes=10**7, aging_ms=60_000)
    return token, entry


def test_the_spool_keeps_the_first_attempt_until_the_entry_leaves(client: redis.Redis) -> None:
    spool = Spool(client, prefix="t:", lease_ms=5000, remember_ms=60_000)
    bench = Bench(client, MemoryKili())
    bench.admit(waiting("a"))
    token, entry = lease(spool)
    assert entry.tried_for_ms("x") == 0
    spool.settle(PROJECT, token, [Settlement(entry, Outcome.LATER, "x", delay_ms=20)])
    time.sleep(0.03)
    token, entry = relet(spool, token)
    assert 20 <= entry.tried_for_ms("x") <= 40
    spool.settle(PROJECT, token, [Settlement(entry, Outcome.RETURNED)])
    token, entry = relet(spool, token)
    assert 20 <= entry.tried_for_ms("x") <= 40
    spool.settle(PROJECT, token, [Settlement(entry, Outcome.DELIVERED)])
    assert not client.exists(f"t:tries:{PROJECT}")


def relet(spool: Spool, token: str) -> tuple[str, Leased]:
    spool.release(PROJECT, token)
    return lease(spool)


@pytest.mark.guarantee(
    "Kili",
    fault="a backlog or an outage, and then something of a single prediction that may pass",
    promise="its grace begins with the first attempt and counts attempts alone",
)
def test_an_outage_of_the_endpoint_uses_up_nobodys_grace(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili, missing_asset=5.0)
    bench.admit(waiting("a", asset=None))
    bench.deliver()
    member = f"9/{client.xrange(f't:lane:9:{PROJECT}')[0][0].decode()}"
    put_off(client, member, seconds_ago=3600)
    kili.rule = lambda step, ids: ConnectFailed("refused")
    bench.deliver()
    kili.rule = lambda step, ids: None
    kili.append_assets(PROJECT, [NewAsset(derived_asset_id(PROJECT, "a"), "a", "https://x/a", "", "{}")])
    for pause in bench.deliverer.breaker.all():
        client.hdel("t:pauses", pause.scope)
    bench.deliver()
    ledger = bench.spool.ledger()
    assert (ledger.delivered, ledger.dead, client.exists(f"t:tries:{PROJECT}")) == (1, 0, 0)


def put_off(client: redis.Redis, member: str, *, seconds_ago: int) -> None:
    """As if the entry had been put off for two seconds so long ago, and nobody had been there since."""
    then = int(time.time() * 1000) - seconds_ago * 1000
    client.hset(f"t:tries:{PROJECT}", member, tried_again(b"", "asset_missing", then, 2000))
    client.zadd(f"t:later:{PROJECT}", {member: then + 2000})


def test_a_prediction_without_content_is_delivered_in_the_wave_that_creates_its_asset(client: redis.Redis) -> None:
    bench = Bench(client, MemoryKili(), missing_asset=0.0)
    bench.admit(waiting("a"), waiting("a", stamp=2, asset=None, model={"name": "n", "version": "1"}))
    bench.deliver()
    assert bench.spool.ledger().delivered == 2


def test_one_that_waits_too_long_is_a_dead_letter(client: redis.Redis) -> None:
    bench = Bench(client, MemoryKili(), missing_asset=3.0)
    bench.admit(waiting("a", asset=None))
    bench.deliver()
    put_off(client, f"9/{client.xrange(f't:lane:9:{PROJECT}')[0][0].decode()}", seconds_ago=3600)
    bench.deliver()
    assert [letter.cause for letter in DeadLetters(client, "t:").letters()] == ["asset_missing"]
    assert not client.exists(f"t:tries:{PROJECT}")


def test_what_older_workers_left_behind_goes_when_the_project_is_empty(client: redis.Redis) -> None:
    bench = Bench(client, MemoryKili())
    client.hset(f"t:tries:{PROJECT}", "9/1-1", "{}")
    bench.admit(waiting("a"))
    bench.deliver()
    bench.spool.due(full=100, linger_ms=0, silence_ms=1)
    assert not client.exists(f"t:tries:{PROJECT}")
