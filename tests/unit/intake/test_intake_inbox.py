"""The inbox on a real server: priorities, sizes, a full memory, a lost group."""

from __future__ import annotations

import pytest
import redis

from worker.intake import Inbox
from worker.intake.inbox import lists_of

pytestmark = pytest.mark.servers("all")

KEY, QUEUE = "predictions:inbox", "predictions"


@pytest.fixture
def inbox(client: redis.Redis) -> Inbox:
    inbox = Inbox(client, key=KEY, queue=QUEUE, consumer="one")
    inbox.open()
    return inbox


def taken(inbox: Inbox, items: int = 100, max_bytes: int = 10**6, **options: bool) -> list[bytes]:
    found = inbox.take(items=items, max_bytes=max_bytes, **options)
    return [next(iter(entry.fields.values())) for entry in found]


def test_the_more_urgent_list_goes_first_and_each_in_its_order(client: redis.Redis, inbox: Inbox) -> None:
    for name in (f"{QUEUE}\x06\x169", f"{QUEUE}:3", QUEUE, f"{QUEUE}\x06\x163"):
        client.lpush(name, f"{name} 1", f"{name} 2")
    client.set(f"{QUEUE}:4", "not a list")
    assert inbox.backlog() == 8
    first_of = [raw.decode().rpartition(" ") for raw in taken(inbox)]
    assert [name for name, _, _ in first_of][::2] == [QUEUE, f"{QUEUE}\x06\x163", f"{QUEUE}:3", f"{QUEUE}\x06\x169"]
    assert [number for _, _, number in first_of] == ["1", "2"] * 4


def test_every_list_that_kombu_may_use_is_known() -> None:
    assert lists_of("q")[0] == "q"
    assert {"q\x06\x163", "q\x06\x166", "q\x06\x169", "q:1", "q:9"} <= set(lists_of("q"))


def test_no_more_is_taken_than_asked_for_in_entries_and_about_so_many_bytes(client: redis.Redis, inbox: Inbox) -> None:
    for _ in range(50):
        client.xadd(KEY, {"payload": b"x" * 10_000})
    assert len(taken(inbox, items=5)) == 5
    assert 10 <= len(taken(inbox, max_bytes=100_000)) <= 18
    client.lpush(QUEUE, *[b"y" * 10_000] * 20)
    inbox.take(items=1, max_bytes=1)
    assert client.llen(QUEUE) == 19, "what is not read now stays in the broker's list"


def test_it_is_empty_when_nothing_waits_in_it_or_in_a_list_and_nothing_is_in_hand(
    client: redis.Redis, inbox: Inbox
) -> None:
    assert inbox.is_empty()
    client.lpush(f"{QUEUE}:3", "envelope")
    assert not inbox.is_empty()
    [entry] = inbox.take(items=10, max_bytes=1000)
    assert not inbox.is_empty(), "its reader may die"
    inbox.remove([entry.entry_id])
    assert inbox.is_empty()
    client.xadd(KEY, {"payload": "x"})
    assert not inbox.is_empty()
    assert Inbox(client, key="of another broker", queue="", consumer="one").is_empty()


def test_a_full_memory_leaves_the_envelope_in_its_list_unless_told_to_insist(client: redis.Redis, inbox: Inbox) -> None:
    client.lpush(QUEUE, "envelope")
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.OutOfMemoryError):
            taken(inbox)
        assert client.llen(QUEUE) == 1
        assert taken(inbox, insist=True) == [b"envelope"]
        assert client.llen(QUEUE) == 0
    finally:
        client.config_set("maxmemory", 0)


def test_a_dead_reader_s_entries_are_taken_over_and_a_leaving_one_keeps_what_it_has(
    client: redis.Redis, inbox: Inbox
) -> None:
    client.xadd(KEY, {"payload": b"a"})
    assert taken(inbox) == [b"a"]
    inbox.leave()
    other = Inbox(client, key=KEY, queue=QUEUE, consumer="two")
    assert [entry.fields for entry in other.recover(idle_ms=0, items=10)] == [{b"payload": b"a"}]
    (entry_id,) = [entry.entry_id for entry in other.recover(idle_ms=0, items=10)]
    other.remove([entry_id])
    other.leave()
    assert [row["name"] for row in client.xinfo_consumers(KEY, "intake")] == [b"one"]


def test_a_destroyed_group_is_told_and_opened_again_with_what_was_there(client: redis.Redis, inbox: Inbox) -> None:
    client.xadd(KEY, {"payload": b"a"})
    client.xgroup_destroy(KEY, "intake")
    with pytest.raises(redis.ResponseError, match="NOGROUP"):
        taken(inbox)
    inbox.open()
    inbox.open()
    assert taken(inbox) == [b"a"]
