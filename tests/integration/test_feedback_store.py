"""The feedback store on a real server: one collector at a time, whatever happens between two commands."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.unit.feedback.feedback_records import record, traffic
from worker.feedback.label_files import UnreadBook
from worker.feedback.reading import LabelKind
from worker.feedback.store import FeedbackStore, LockLost

pytestmark = pytest.mark.servers("all")
LOCK = "t:feedback:p:lock"


class Slow(redis.Redis):
    """A client between two of whose commands the lock may pass to somebody else."""

    passes_before: int | None = None
    sent = 0

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if self.passes_before == self.sent:
            self.passes_before = None
            super().execute_command("SET", LOCK, b"another", "PX", 5000)
        self.sent += 1
        return super().execute_command(*args, **options)

    def lose_the_lock_before(self, command: int) -> None:
        self.sent, self.passes_before = 0, command


@pytest.fixture
def slow(client: redis.Redis) -> Slow:
    slow = Slow(connection_pool=client.connection_pool)
    store = FeedbackStore(slow, "t:", "p")  # its scripts are loaded once and for all
    assert store.acquire()
    assert store.acquire()
    store.release()
    return slow


@pytest.mark.parametrize("command", range(3))
def test_a_lock_that_passed_to_another_is_not_taken_from_it(slow: Slow, command: int) -> None:
    store = FeedbackStore(slow, "t:", "p")
    assert store.acquire()
    slow.lose_the_lock_before(command)
    store.release()
    if slow.passes_before is None:
        assert slow.get(LOCK) == b"another"


@pytest.mark.parametrize("command", range(3))
def test_a_lock_that_passed_to_another_is_not_renewed_for_it(slow: Slow, command: int) -> None:
    store = FeedbackStore(slow, "t:", "p")
    assert store.acquire()
    slow.lose_the_lock_before(command)
    is_ours = store.acquire()
    assert is_ours == (slow.passes_before is not None)
    if not is_ours:
        assert 0 < int(slow.pttl(LOCK)) <= 5000


def test_one_collects_and_renews_and_another_comes_after_it(client: redis.Redis) -> None:
    one, other = FeedbackStore(client, "t:", "p"), FeedbackStore(client, "t:", "p")
    assert one.acquire()
    assert one.acquire()
    assert not other.acquire()
    with pytest.raises(LockLost):
        other.put([record(1, "CAT")])
    one.release()
    one.release()
    assert other.acquire()
    assert 50_000 < int(client.pttl(LOCK)) <= 60_000


def test_days_are_counted_until_they_are_forgotten(client: redis.Redis) -> None:
    store = FeedbackStore(client, "t:", "p")
    records = traffic(300)
    store.put(records)
    counts = store.counts(LabelKind.INFERENCE)
    assert sum(counts.values()) == 300
    assert len(counts) == 3
    last = max(counts)
    store.forget_labels_before(last)
    assert list(store.counts(LabelKind.INFERENCE)) == [last]
    store.unindex(LabelKind.INFERENCE, last, list(store.indexed(LabelKind.INFERENCE, last)))
    assert store.counts(LabelKind.INFERENCE) == {}


def test_a_project_that_is_forgotten_leaves_nothing(client: redis.Redis) -> None:
    store = FeedbackStore(client, "t:", "p")
    store.put([record(n, "CAT", "DOG") for n in range(20)])
    store.await_mark([record(n, "CAT", "DOG") for n in range(20)], now=1.0)
    UnreadBook(client, "t:", "p").note({"a": (1, "no file", True)}, [])
    client.set("t:feedback:p:summary", "{}")
    client.hset("t:feedback:p:told", "a", 1)
    store.release()
    store.forget()
    assert client.keys("t:feedback:*") == []
