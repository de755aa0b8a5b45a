"""A call that comes after those of the next holder of the lock: what Kili holds is the newest again in the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis
from delivery_doubles import PROJECT, Bench, MemoryKili, waiting

from worker.delivery.item import KEPT_SECONDS
from worker.environment import clock
from worker.kili import derived_asset_id
from worker.spool.entries import LATE_WRITE

ASSET = derived_asset_id(PROJECT, "a")
LONG_MS = 600_000


class Late:
    """One worker stands still in a call of ``step``; meanwhile its lock ends and another worker has the project.

    ``meanwhile`` is what comes in then.
    """

    def __init__(self, client: redis.Redis, step: str, *meanwhile: Any, late_ms: int = LONG_MS, **rules: Any) -> None:
        self.kili = MemoryKili()
        self.client = client
        self.still, self.other = (Bench(client, self.kili, late_ms=late_ms, **rules) for _ in range(2))
        self._step = step
        self._meanwhile = meanwhile
        self.kili.rule = self._stand_still

    def _stand_still(self, step: str, ids: Sequence[str]) -> None:
        if step == self._step and ASSET in ids:
            self.kili.rule = lambda step, ids: None
            self.client.delete(f"t:lock:{PROJECT}")
            for lease in self.still.deliverer.leases._leases.values():
                lease.deadline = clock.monotonic()
            if self._meanwhile:
                self.other.admit(*self._meanwhile)
            self.other.deliver()

    def label(self, model: str = "m:1") -> str:
        return self.kili.labels[ASSET, model]

    def finish(self) -> None:
        """The time for late calls passes, and the other worker delivers what waits."""
        late, later = f"t:late:{PROJECT}", f"t:later:{PROJECT}"
        for asset, row in self.client.hgetall(late).items():
            self.client.hset(late, asset, b"1 " + row.partition(b" ")[2])
        for member in self.client.zrange(later, 0, -1):
            self.client.zadd(later, {member: 0})
        self.other.deliver()
        ledger = self.other.spool.ledger()
        assert (ledger.waiting, ledger.leased) == (0, 0)
        assert self.client.hlen(f"t:tries:{PROJECT}") == 0


def newer(stamp: int = 2, **changes: Any) -> Any:
    return waiting("a", stamp=stamp, predicted_at=f"2026-11-23T10:{15 + stamp}:00Z", **changes)


@pytest.mark.parametrize("one_document", [False, True])
def test_a_priority_that_comes_late_is_the_newest_again_when_the_late_worker_goes_on(
    client: redis.Redis, *, one_document: bool
) -> None:
    step = "write_batch" if one_document else "update_assets"
    world = Late(client, step, newer(), one_document=one_document, late_ms=LONG_MS)
    world.still.admit(waiting("a", priority=45))
    assert not world.still.deliver()
    assert world.kili.priorities == {ASSET: 45}, "the older one came last"
    assert world.other.spool.ledger().waiting == 1
    world.other.deliver()
    assert world.kili.priorities == {ASSET: 0}


def test_a_label_that_comes_late_is_the_newest_again_although_the_late_worker_says_nothing(client: redis.Redis) -> None:
    world = Late(client, "append_labels", newer(answer="GREY"))
    world.still.admit(waiting("a"))
    cut_off(world.still)
    with pytest.raises(redis.ConnectionError):
        world.still.deliver()
    assert "RED" in world.label()
    world.finish()
    assert "GREY" in world.label()
    ledger = world.other.spool.ledger()
    assert (ledger.received, ledger.delivered, ledger.superseded) == (2, 1, 1)
    assert client.exists(f"t:late:{PROJECT}") == 0


def cut_off(bench: Bench) -> None:
    """A worker that will not come to say that its calls have ended: it dies before that."""

    def gone(*_: Any) -> int:
        raise redis.ConnectionError("gone")

    bench.spool.came_late = gone  # type: ignore[method-assign]


def test_an_asset_that_is_created_late_has_the_newest_properties(client: redis.Redis) -> None:
    world = Late(client, "append_assets", newer(priority=70, model={"name": "m", "version": "2"}))
    world.still.admit(waiting("a"))
    world.still.deliver()
    world.finish()
    assert world.kili.priorities == {ASSET: 70}
    assert {model for _, model in world.kili.labels} == {"m:1", "m:2"}


def test_what_comes_late_and_is_the_newest_is_not_sent_again(client: redis.Redis) -> None:
    world = Late(client, "append_labels", late_ms=LONG_MS)
    world.still.admit(waiting("a"))
    world.still.deliver()
    assert world.other.spool.ledger().delivered == 1
    assert world.kili.counts["append_labels"] == 2
    assert not client.hget(f"t:late:{PROJECT}", ASSET).endswith(b"*")  # type: ignore[union-attr]


def test_of_two_that_may_come_late_both_are_sent_again(client: redis.Redis) -> None:
    other_model = newer(priority=70, model={"name": "m", "version": "2"})
    world = Late(client, "append_labels")
    world.still.admit(waiting("a"), other_model)
    world.still.deliver()
    assert world.other.spool.ledger().waiting == 2
    world.finish()
    assert world.other.spool.ledger().delivered == 2
    assert world.kili.priorities == {ASSET: 70}


def test_a_prediction_that_comes_after_the_lock_was_taken_is_sent_again_too(client: redis.Redis) -> None:
    world = Late(client, "append_labels")
    world.still.admit(waiting("a"))
    world.still.deliver()
    world.other.admit(newer(answer="GREY"), waiting("b"))
    world.other.deliver()
    assert world.other.spool.ledger().delivered == 2, (
        "the older one, and the one of an asset that nobody was about to write"
    )
    world.kili.labels[ASSET, "m:1"] = "older"
    world.finish()
    assert "GREY" in world.label()


def test_a_newest_prediction_put_off_for_a_late_call_gives_way_to_one_that_is_newer_still(client: redis.Redis) -> None:
    world = Late(client, "update_assets", newer())
    world.still.admit(waiting("a", priority=45))
    world.still.deliver()
    world.other.admit(newer(3, priority=20))
    world.finish()
    ledger = world.other.spool.ledger()
    assert (world.kili.priorities, ledger.delivered, ledger.superseded) == ({ASSET: 20}, 1, 2)


def test_a_call_later_than_anyone_expects_is_told(client: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    world = Late(client, "update_assets", newer(), late_ms=0)
    world.still.admit(waiting("a", priority=45))
    with caplog.at_level(logging.WARNING, "worker"):
        world.still.deliver()
    [told] = [record for record in caplog.records if getattr(record, "action", "") == "written_late"]
    assert (told.project, told.count, told.assets) == (PROJECT, 1, [ASSET])  # type: ignore[attr-defined]


def test_a_lock_that_nobody_took_makes_no_call_late(client: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    world = Late(client, "none", late_ms=LONG_MS)

    def lose(step: str, ids: Sequence[str]) -> None:
        if step == "append_labels":
            client.delete(f"t:lock:{PROJECT}")

    world.kili.rule = lose
    world.still.admit(waiting("a"))
    with caplog.at_level(logging.WARNING, "worker"):
        world.still.deliver()
    assert [getattr(record, "action", "") for record in caplog.records] == ["lease_lost"]
    world.kili.rule = lambda step, ids: None
    world.other.deliver()
    assert world.other.spool.ledger().delivered == 1


def test_a_late_worker_that_finds_the_lock_free_takes_it_from_one_that_stands_still_itself(client: redis.Redis) -> None:
    world = Late(client, "append_labels", late_ms=LONG_MS)
    third = Bench(client, world.kili, late_ms=LONG_MS)
    world.still.admit(waiting("b"))
    late = world.still.spool.acquire(PROJECT)
    assert late is not None
    client.delete(f"t:lock:{PROJECT}")
    token = third.spool.acquire(PROJECT) or ""
    third.admit(waiting("a"))
    assert len(third.spool.lease(PROJECT, token, items=10, max_bytes=10**6, aging_ms=60_000)) == 2
    client.delete(f"t:lock:{PROJECT}")
    world.still.spool.release(PROJECT, late)
    _, known = world.other.spool.take(PROJECT)
    assert ASSET in known.ends


def test_who_gives_back_what_it_holds_makes_no_call_late(client: redis.Redis) -> None:
    bench = Bench(client, MemoryKili(), late_ms=LONG_MS)
    bench.admit(waiting("a"))
    token = bench.spool.acquire(PROJECT) or ""
    assert bench.spool.lease(PROJECT, token, items=10, max_bytes=10**6, aging_ms=60_000)
    bench.spool.release(PROJECT, token)
    _, known = bench.spool.take(PROJECT)
    assert known.ends == {}


def test_what_may_come_late_is_forgotten_in_time_and_with_its_project(client: redis.Redis) -> None:
    world = Late(client, "append_labels", late_ms=LONG_MS)
    world.still.admit(waiting("a"))
    world.still.deliver()
    assert 0 < client.pttl(f"t:late:{PROJECT}") <= LONG_MS
    assert world.other.spool.forget_project(PROJECT, int(clock.now() * 1000) + 60_000)
    assert client.exists(f"t:late:{PROJECT}") == 0


class Jumping(clock.SystemClock):
    """Time that can be put forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture
def jumping() -> Any:
    time = Jumping()
    before = clock.use(time)
    yield time
    clock.use(before)


def test_a_look_that_took_longer_than_writes_are_remembered_is_not_trusted(
    client: redis.Redis, jumping: Jumping
) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili, lease_ms=LONG_MS)
    bench.admit(waiting("a", priority=45))
    bench.deliver()
    kili.lag = {ASSET}
    kili.rule = stall(jumping, "existing_external_ids", lambda: forget_what_was_written(client))
    bench.admit(newer())
    bench.deliver()
    assert kili.priorities == {ASSET: 0}


def stall(jumping: Jumping, where: str, then: Callable[[], None]) -> Callable[[str, Sequence[str]], None]:
    def rule(step: str, ids: Sequence[str]) -> None:
        if step == where:
            jumping.ahead += KEPT_SECONDS + 1
            then()

    return rule


def forget_what_was_written(client: redis.Redis) -> None:
    client.delete("t:made", f"t:written:{ASSET}")


def test_the_cause_of_a_second_delivery_is_known_to_the_release_before_as_any_other(client: redis.Redis) -> None:
    world = Late(client, "update_assets", newer(), late_ms=LONG_MS)
    world.still.admit(waiting("a", priority=45))
    world.still.deliver()
    [known] = client.hvals(f"t:tries:{PROJECT}")
    assert LATE_WRITE.encode() in known
