"""The spool on a real server: lanes, leases, recovery, the newest wins, the sum always holds."""

from __future__ import annotations

import pytest
import redis
from msgspec.structs import replace

from tests.awaiting import awaited
from worker.spool import Admission, Arrival, Dead, Leased, LeaseLost, Outcome, Settlement, Spool, Waiting

pytestmark = pytest.mark.servers("all")

LEASE_MS = 600_000


@pytest.fixture
def spool(client: redis.Redis) -> Spool:
    return Spool(client, prefix="t:", lease_ms=LEASE_MS, remember_ms=600_000)


@pytest.fixture
def brief(client: redis.Redis) -> Spool:
    """The same spool, as a worker sees it whose locks end soon."""
    return Spool(client, prefix="t:", lease_ms=300, remember_ms=600_000)


def waiting(
    name: str, *, stamp: int = 1, digest: str = "aa", lane: int = 5, model: str = "m:1", project: str = "p"
) -> Waiting:
    return Waiting(project, lane, name, model, stamp, digest, f"{name}@{stamp}{digest}".encode(), b"{}")


def admit(spool: Spool, *items: Waiting | Dead) -> Admission:
    result = spool.admit([Arrival("", items)])
    check(spool)
    return result


def acquire(spool: Spool, project: str = "p") -> str:
    token = spool.acquire(project)
    assert token is not None
    return token


def lease(spool: Spool, token: str, items: int = 1000, aging_ms: int = 60_000) -> list[Leased]:
    entries = spool.lease("p", token, items=items, max_bytes=10**7, aging_ms=aging_ms)
    check(spool)
    return entries


def settle(spool: Spool, token: str, entries: list[Leased], outcome: Outcome, **more: object) -> None:
    spool.settle("p", token, [Settlement(entry, outcome, **more) for entry in entries])  # type: ignore[arg-type]
    check(spool)


def check(spool: Spool) -> None:
    ledger = spool.ledger()
    in_lanes, dead = spool.measured()
    assert ledger.conservation_error == 0, ledger
    assert (ledger.waiting + ledger.leased, ledger.dead) == (in_lanes, dead), ledger
    assert sum(spool.ledger(project).received for project in spool.projects()) == ledger.received


def test_a_prediction_goes_through_the_spool_and_is_counted_at_every_step(spool: Spool) -> None:
    admit(spool, waiting("a"), waiting("b"), Dead("p", "bad", b"{}", b"zz"))
    token = acquire(spool)
    entries = lease(spool, token)
    assert [(entry.asset_id, entry.deliveries) for entry in entries] == [("a", 1), ("b", 1)]
    settle(spool, token, entries[:1], Outcome.DELIVERED)
    settle(spool, token, entries[1:], Outcome.DEAD, cause="refused", letter=b"{}")
    ledger = spool.ledger()
    assert (ledger.received, ledger.delivered, ledger.dead, ledger.waiting, ledger.leased) == (3, 1, 2, 0, 0)


def test_a_letter_that_is_replayed_comes_alone(spool: Spool) -> None:
    admit(spool, Dead("p", "bad", b"{}", b"zz"))
    with pytest.raises(ValueError, match="alone"):
        spool.admit([Arrival("", (waiting("a"),), replayed="1-1"), Arrival("", (waiting("b"),))])
    assert spool.ledger().received == 1


def test_entries_that_are_settled_twice_are_counted_once(spool: Spool) -> None:
    admit(spool, *(waiting(str(number), lane=number % 3) for number in range(9)))
    token = acquire(spool)
    entries = lease(spool, token)
    for outcome in (Outcome.DELIVERED, Outcome.SUPERSEDED, Outcome.DEAD, Outcome.DROPPED):
        settle(spool, token, entries[:6], outcome, cause="bad", letter=b"{}")
    settle(spool, token, entries, Outcome.DELIVERED)
    ledger = spool.ledger()
    assert (ledger.delivered, ledger.superseded, ledger.dead, ledger.leased) == (9, 0, 0, 0)


def test_the_lowest_lane_goes_first_and_a_lane_that_waited_long_gets_a_share(spool: Spool) -> None:
    admit(spool, *(waiting(f"r{n}", lane=9) for n in range(50)), *(waiting(f"d{n}", lane=0) for n in range(50)))
    token = acquire(spool)
    assert {entry.lane for entry in lease(spool, token, items=20)} == {0}
    aged = lease(spool, token, items=20, aging_ms=0)
    assert [entry.lane for entry in aged].count(9) == 2


def test_one_wave_at_a_time_has_a_project(spool: Spool) -> None:
    token = acquire(spool)
    assert spool.acquire("p") is None
    assert spool.acquire("q") is not None
    spool.release("p", token)
    assert spool.acquire("p") is not None


def test_what_a_dead_wave_had_leased_goes_first_at_the_next(spool: Spool, brief: Spool) -> None:
    admit(spool, *(waiting(f"a{n}") for n in range(700)))
    lost = acquire(spool)
    taken = lease(spool, lost, items=600)
    spool.redis.pexpire("t:lock:p", 1)
    awaited(lambda: brief.acquire("p"), "another wave has the project")
    check(spool)
    assert spool.ledger().waiting == 700
    with pytest.raises(LeaseLost):
        spool.lease("p", lost, items=1, max_bytes=1000, aging_ms=1000)
    with pytest.raises(LeaseLost):
        spool.settle("p", lost, [Settlement(taken[0], Outcome.DELIVERED)])
    check(spool)
    awaited(lambda: spool.acquire("p"), "the other's lock has ended by itself")
    spool.redis.delete("t:lock:p")
    again = lease(spool, acquire(spool), items=600)
    assert [entry.entry_id for entry in again] == [entry.entry_id for entry in taken]
    assert {entry.deliveries for entry in again} == {2}


def test_a_renewed_lock_outlives_its_lease(spool: Spool) -> None:
    token = acquire(spool)
    for _ in range(3):
        left = spool.redis.pttl("t:lock:p")
        assert isinstance(left, int)
        assert 0 < left <= LEASE_MS
        assert spool.renew("p", token)
    spool.redis.delete("t:lock:p")
    assert not spool.renew("p", token)


def test_given_back_entries_keep_their_place_and_their_count(spool: Spool) -> None:
    admit(spool, *(waiting(f"a{n}") for n in range(4)))
    token = acquire(spool)
    first = lease(spool, token, items=2)
    settle(spool, token, first, Outcome.RETURNED)
    again = lease(spool, token, items=4)
    assert [entry.asset_id for entry in again] == ["a0", "a1", "a2", "a3"]
    assert [entry.deliveries for entry in again] == [2, 2, 1, 1]


def put_off(spool: Spool, delay_ms: int) -> list[Leased]:
    """Put an entry off, and ask for what there is to lease, which notes when the first comes back."""
    admit(spool, waiting("a"))
    token = acquire(spool)
    settle(spool, token, lease(spool, token), Outcome.LATER, delay_ms=delay_ms)
    found = lease(spool, token)
    spool.release("p", token)
    return found


def test_an_entry_put_off_stays_away_until_its_time_has_come(spool: Spool) -> None:
    assert put_off(spool, 600_000) == []
    assert spool.due(full=1, linger_ms=0, silence_ms=1) == []


def test_an_entry_put_off_comes_back_when_its_time_has_come(spool: Spool) -> None:
    put_off(spool, 200)
    awaited(lambda: spool.due(full=1, linger_ms=0, silence_ms=1) == ["p"])
    assert len(lease(spool, acquire(spool))) == 1


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_newest_prediction_of_a_model_wins_in_any_order(spool: Spool, order: tuple[int, ...]) -> None:
    for stamp in order:
        admit(spool, waiting("a", stamp=stamp, lane=stamp))
    token = acquire(spool)
    entries = lease(spool, token)
    assert [entry.stamp for entry in entries] == [3]
    settle(spool, token, entries, Outcome.DELIVERED)
    assert admit(spool, waiting("a", stamp=2)).superseded == 1
    assert spool.ledger().superseded == 3


@pytest.mark.parametrize("older_comes_first", [True, False])
def test_an_older_answer_is_kept_that_brings_the_asset_which_the_newest_has_no_content_for(
    spool: Spool, older_comes_first: bool
) -> None:
    older = replace(waiting("a", stamp=1, lane=7), payload=b'{"asset":{"url":"u"}}')
    newest = waiting("a", stamp=2, lane=0)
    admit(spool, *([older, newest] if older_comes_first else [newest, older]))
    token = acquire(spool)
    found = lease(spool, token)
    assert [entry.stamp for entry in found] == [2, 1]
    settle(spool, token, found, Outcome.DELIVERED)
    assert admit(spool, older).superseded == 1  # it is of no use any more
    check(spool)


def test_an_older_answer_with_content_is_superseded_by_one_that_has_content_too(spool: Spool) -> None:
    older, newest = (replace(waiting("a", stamp=one), payload=b'{"asset":{"url":"u"}}') for one in (1, 2))
    admit(spool, waiting("a", stamp=0), older, newest)
    assert [entry.stamp for entry in lease(spool, acquire(spool))] == [2]


def test_two_messages_of_one_moment_are_ordered_the_same_way_whichever_comes_first(spool: Spool) -> None:
    for digests, asset in ((("aa", "bb"), "x"), (("bb", "aa"), "y")):
        for digest in digests:
            admit(spool, waiting(asset, digest=digest))
    assert {entry.digest for entry in lease(spool, acquire(spool))} == {"bb"}


def test_duplicates_that_wait_are_superseded_and_after_delivery_sent_again(spool: Spool) -> None:
    assert admit(spool, *(waiting("a") for _ in range(100))).superseded == 99
    token = acquire(spool)
    settle(spool, token, lease(spool, token), Outcome.DELIVERED)
    assert admit(spool, waiting("a")).admitted == 1
    assert len(lease(spool, token)) == 1


def test_model_versions_do_not_supersede_each_other(spool: Spool) -> None:
    admit(spool, waiting("a", model="m:1", stamp=2), waiting("a", model="m:2", stamp=1))
    assert {entry.model for entry in lease(spool, acquire(spool))} == {"m:1", "m:2"}


def test_a_message_that_died_may_come_again(spool: Spool) -> None:
    admit(spool, waiting("a"))
    token = acquire(spool)
    settle(spool, token, lease(spool, token), Outcome.DEAD, cause="refused", letter=b"{}")
    assert admit(spool, waiting("a")).admitted == 1


def test_an_inbox_entry_is_admitted_once_whoever_admits_it(spool: Spool) -> None:
    spool.redis.xgroup_create("in", "intake", id="0", mkstream=True)
    entry_id = spool.redis.xadd("in", {"payload": b"x"})
    assert isinstance(entry_id, bytes)
    arrival = Arrival(entry_id.decode(), (waiting("a"),))
    assert spool.admit([arrival], inbox="in").admitted == 1
    assert spool.redis.xlen("in") == 0
    assert spool.admit([arrival], inbox="in").skipped == 1
    check(spool)


def test_many_entries_leave_the_inbox_with_their_items_but_for_those_that_another_has_admitted(spool: Spool) -> None:
    spool.redis.xgroup_create("in", "intake", id="0", mkstream=True)
    ids = [spool.redis.xadd("in", {"payload": b"x"}).decode() for _ in range(2500)]  # type: ignore[union-attr]
    arrivals = [Arrival(entry_id, (waiting(f"a{n}"),)) for n, entry_id in enumerate(ids)]
    spool.redis.xreadgroup("intake", "one", {"in": ">"}, count=2000)
    assert spool.admit(arrivals[500:600], inbox="in").admitted == 100
    result = spool.admit(arrivals, inbox="in")
    assert (result.admitted, result.skipped) == (2400, 100)
    assert (spool.redis.xlen("in"), spool.redis.xpending("in", "intake")["pending"]) == (0, 0)
    check(spool)


def test_entries_in_hand_are_admitted_although_their_group_was_destroyed(spool: Spool) -> None:
    entry_id = spool.redis.xadd("in", {"payload": b"x"})
    assert isinstance(entry_id, bytes)
    assert spool.admit([Arrival(entry_id.decode(), (waiting("a"),))], inbox="in").admitted == 1
    assert spool.redis.xlen("in") == 0
    check(spool)


def test_an_entry_of_an_inbox_in_another_redis_is_admitted_once_until_it_has_left(spool: Spool) -> None:
    arrival = Arrival("7-1", (waiting("a"),))
    assert spool.admit([arrival]).admitted == 1
    assert spool.admit([arrival]).skipped == 1
    check(spool)
    spool.forget(["7-1"])
    assert spool.redis.exists("t:admitted") == 0


def test_a_dead_letter_is_replayed_once(spool: Spool) -> None:
    admit(spool, Dead("p", "bad", b"{}", b"zz"))
    ((letter_id, _),) = spool.redis.xrange("t:dead")
    again = Arrival("", (waiting("a"), waiting("b")), replayed=letter_id.decode())
    assert spool.admit([again]).admitted == 2
    assert spool.admit([again]).skipped == 2
    check(spool)
    assert (spool.ledger().received, spool.ledger().dead) == (2, 0)
    assert spool.redis.hgetall("t:dead:causes") == {}


def test_a_dropped_letter_is_counted(spool: Spool) -> None:
    admit(spool, Dead("p", "bad", b"{}", b"zz"))
    ((letter_id, _),) = spool.redis.xrange("t:dead")
    assert spool.drop(letter_id.decode())
    assert not spool.drop(letter_id.decode())
    check(spool)
    assert spool.ledger().dropped == 1


def test_a_project_is_due_when_a_batch_is_full_or_the_linger_time_is_over(spool: Spool) -> None:
    admit(spool, *(waiting(f"a{n}") for n in range(9)))
    assert spool.due(full=10, linger_ms=600_000, silence_ms=1) == []
    awaited(lambda: spool.due(full=10, linger_ms=50, silence_ms=1) == ["p"])
    admit(spool, waiting("b"))
    awaited(lambda: spool.due(full=10, linger_ms=600_000, silence_ms=600_000) == ["p"])
    assert spool.due(full=10, linger_ms=600_000, silence_ms=600_000) == []


def test_the_linger_time_begins_when_a_message_comes_to_the_door(spool: Spool) -> None:
    spool.redis.xgroup_create("in", "intake", id="0", mkstream=True)
    seconds, _ = spool.redis.time()  # type: ignore[misc]
    entry_id = f"{(seconds - 30) * 1000}-0"
    spool.redis.xadd("in", {"payload": b"x"}, id=entry_id)
    spool.admit([Arrival(entry_id, (waiting("a"),))], inbox="in")
    assert spool.due(full=10, linger_ms=60_000, silence_ms=1) == []
    assert spool.due(full=10, linger_ms=20_000, silence_ms=1) == ["p"]


def test_the_clock_of_a_door_in_another_redis_does_not_count(spool: Spool) -> None:
    spool.admit([Arrival("7-1", (waiting("a"),))])
    assert spool.due(full=10, linger_ms=20_000, silence_ms=1) == []


def test_a_project_under_a_wave_is_not_due(spool: Spool) -> None:
    admit(spool, waiting("a"))
    token = acquire(spool)
    assert spool.due(full=1, linger_ms=0, silence_ms=1) == []
    spool.release("p", token)
    assert spool.due(full=1, linger_ms=0, silence_ms=1) == ["p"]


def test_a_full_memory_refuses_admission_whole_and_lets_delivery_free_it(spool: Spool) -> None:
    admit(spool, *(waiting(f"a{n}") for n in range(200)))
    spool.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.OutOfMemoryError):
            admit(spool, waiting("b"))
        check(spool)
        token = acquire(spool)
        settle(spool, token, lease(spool, token, items=100), Outcome.DELIVERED)
        settle(spool, token, lease(spool, token, items=50), Outcome.DEAD, cause="refused", letter=b"{}")
        settle(spool, token, lease(spool, token, items=25), Outcome.RETURNED)
        assert spool.ledger().delivered == 100
    finally:
        spool.redis.config_set("maxmemory", 0)


def test_scripts_are_loaded_again_after_a_flush(spool: Spool) -> None:
    admit(spool, waiting("a"))
    spool.redis.script_flush()
    admit(spool, waiting("b"))
    assert spool.ledger().waiting == 2


def test_a_project_whose_wave_died_is_due_although_nothing_waits(spool: Spool) -> None:
    admit(spool, waiting("a"))
    lease(spool, acquire(spool))
    spool.redis.pexpire("t:lock:p", 300)
    assert spool.ledger().waiting == 0
    awaited(lambda: spool.due(full=100, linger_ms=60_000, silence_ms=1) == ["p"])
    assert len(lease(spool, acquire(spool))) == 1
