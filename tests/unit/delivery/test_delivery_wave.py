"""Waves on a real spool and a Kili in memory: what is sent, in how many calls, and what becomes of the rest."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import pytest
import redis
from delivery_doubles import INTERFACE, PROJECT, Bench, FreeBudget, MemoryKili, leased, waiting

from worker.delivery import DeliveryRules, leasing
from worker.delivery.leasing import EntryLeaser, Lease
from worker.delivery.wave import Wave
from worker.kili import (
    ConnectFailed,
    KiliError,
    RefusedItems,
    RefusedProject,
    ServerFault,
    TimedOut,
    TooLarge,
    UnknownOutcome,
    derived_asset_id,
)
from worker.spool import LeaseLost
from worker.spool.dead_letters import DeadLetters


def settled(bench: Bench) -> tuple[int, int, int]:
    ledger = bench.spool.ledger()
    assert ledger.leased == 0
    return ledger.delivered, ledger.dead, ledger.waiting


def failing(step: str, error: KiliError, *names: str) -> object:
    """A rule: the step fails, for some names or for all."""
    ids = {derived_asset_id(PROJECT, name) for name in names}
    return lambda operation, found: error if operation == step and (not ids or ids & set(found)) else None


def test_new_predictions_cost_a_check_and_two_calls_a_batch_and_one_for_the_priorities(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili, batch_items=10)
    bench.admit(*(waiting(f"a{n}", priority=5 if n % 5 == 0 else 0) for n in range(50)))
    bench.deliver()
    assert settled(bench) == (50, 0, 0)
    assert kili.counts == {
        "project_interface": 1,
        "existing_external_ids": 1,
        "append_assets": 5,
        "append_labels": 5,
        "update_assets": 1,
    }
    assert set(kili.priorities.values()) == {5}


def test_a_burst_that_is_still_being_admitted_when_its_wave_begins_is_looked_up_as_one(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili, batch_items=10)

    def admit_more(step: str, ids: Sequence[str]) -> None:
        if step == "project_interface":
            bench.admit(*(waiting(f"b{n}") for n in range(30)))

    kili.rule = admit_more
    bench.admit(*(waiting(f"a{n}") for n in range(20)))
    bench.deliver()
    assert settled(bench) == (50, 0, 0)
    assert kili.counts["existing_external_ids"] == 1
    assert kili.counts["append_labels"] == 5


def test_what_a_wave_leases_of_a_burst_takes_nothing_from_what_may_overtake(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "LOOK_SECONDS", 0.0)
    bench = Bench(client, MemoryKili())
    rules = DeliveryRules(wave_items=30, batch_items=10)
    bench.admit(*(waiting(f"a{n}", lane=7) for n in range(15)))
    with bench.deliverer.leases.hold(PROJECT) as lease:
        assert lease is not None
        leaser = EntryLeaser(bench.spool, lease, FreeBudget(), rules, stop=bench.stop)
        begun_with = len(leaser.first())
        bench.admit(*(waiting(f"b{n}", lane=7) for n in range(20)))
        assert (begun_with, len(leaser.rest(begun_with))) == (15, 15)
        bench.admit(*(waiting(f"c{n}", lane=0) for n in range(40)))
        assert [len(leaser.overtaking(7)) for _ in range(4)] == [10, 10, 10, 0]


def test_a_wave_given_back_is_whole_although_two_lanes_share_entry_ids(client: redis.Redis) -> None:
    kili = MemoryKili(rule=lambda step, ids: ConnectFailed("refused") if step == "existing_external_ids" else None)
    bench = Bench(client, kili)
    bench.admit(*(waiting(f"a{n}", lane=n % 3) for n in range(30)))
    with bench.deliverer.leases.hold(PROJECT) as lease:
        assert lease is not None
        entries = bench.spool.lease(PROJECT, lease.token, items=100, max_bytes=10**7, aging_ms=10**6)
        assert len({entry.entry_id for entry in entries}) < len(entries)
        bench.spool.release(PROJECT, lease.token)
    bench.deliver()
    assert settled(bench) == (0, 0, 30)


def test_two_models_of_one_asset_make_one_asset_two_labels_and_the_newest_sets_the_priority(
    client: redis.Redis,
) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili)
    for stamp, version, priority in ((1, "1", 10), (2, "2", 20)):
        bench.admit(waiting("a", stamp=stamp, priority=priority, model={"name": "m", "version": version}))
    bench.deliver()
    assert settled(bench) == (2, 0, 0)
    assert (len(kili.assets), len(kili.labels)) == (1, 2)
    assert kili.priorities == {derived_asset_id(PROJECT, "a"): 20}


@pytest.mark.parametrize("step", ["append_assets", "append_labels", "update_assets"])
def test_the_refused_item_alone_is_buried_with_the_stage(client: redis.Redis, step: str) -> None:
    kili = MemoryKili()
    kili.rule = failing(step, RefusedItems("no", server_message="no"), "a3")  # type: ignore[assignment]
    bench = Bench(client, kili)
    bench.admit(*(waiting(f"a{n}", priority=5) for n in range(10)))
    bench.deliver()
    assert settled(bench) == (9, 1, 0)
    [letter] = DeadLetters(client, "t:").letters()
    assert letter.about["external_id"] == "a3"
    assert letter.about["stage"] == {"append_assets": "create", "append_labels": "label"}.get(step, "prioritise")


@pytest.mark.parametrize("step", ["existing_external_ids", "append_assets", "append_labels", "update_assets"])
@pytest.mark.parametrize("error", [ConnectFailed("x"), UnknownOutcome("x"), ServerFault("x"), TimedOut("x")])
def test_what_a_failing_server_left_undone_is_given_back(client: redis.Redis, step: str, error: KiliError) -> None:
    kili = MemoryKili()
    kili.rule = failing(step, error)  # type: ignore[assignment]
    bench = Bench(client, kili)
    bench.admit(*(waiting(f"a{n}", priority=5) for n in range(10)))
    bench.deliver()
    assert settled(bench) == (0, 0, 10)
    assert bench.deliverer.breaker.of(PROJECT)


def test_a_project_that_is_gone_costs_one_look_and_condemns_nobody(client: redis.Redis) -> None:
    kili = MemoryKili()

    def gone(step: str, ids: Sequence[str]) -> KiliError | None:
        if step == "append_labels":
            return RefusedItems("no access", access=True)
        asked = kili.counts["append_labels"]
        return RefusedProject("deleted") if step == "project_interface" and asked else None

    kili.rule = gone
    bench = Bench(client, kili)
    bench.admit(*(waiting(f"a{n}") for n in range(40)))
    bench.deliver()
    assert settled(bench) == (0, 0, 40)
    assert kili.counts["append_labels"] == 1


def test_a_failure_that_nobody_foresaw_pauses_the_project_and_keeps_everything(client: redis.Redis) -> None:
    kili = MemoryKili(interface={"jobs": 3})
    bench = Bench(client, kili)
    bench.admit(waiting("a"))
    bench.deliver()
    [pause] = bench.deliverer.breaker.of(PROJECT)
    assert (pause.scope, pause.kind) == (f"project:{PROJECT}", "InterfaceError")
    ledger = bench.spool.ledger()
    assert ledger.waiting + ledger.leased == 1


def test_a_changed_interface_is_read_again_and_only_those_it_concerns_are_buried(client: redis.Redis) -> None:
    changed = json.loads(json.dumps(INTERFACE))
    changed["jobs"]["COLOUR"]["content"]["categories"].pop("RED")
    kili = MemoryKili()

    def strict(step: str, ids: Sequence[str]) -> KiliError | None:
        if step != "append_labels":
            return None
        kili.interface = changed
        return RefusedItems("[jsonResponseMalformed]", code="jsonResponseMalformed") if red & set(ids) else None

    red = {derived_asset_id(PROJECT, f"a{n}") for n in range(0, 40, 2)}
    kili.rule = strict
    bench = Bench(client, kili)
    bench.admit(waiting("before", answer="GREY"))
    bench.deliver()
    bench.admit(*(waiting(f"a{n}", answer="GREY" if n % 2 else "RED") for n in range(40)))
    bench.deliver()
    assert settled(bench) == (21, 20, 0)
    assert kili.counts["append_labels"] == 1 + 2
    assert {letter.cause for letter in DeadLetters(client, "t:").letters()} == {"unknown_class"}


def test_bodies_that_are_too_large_shrink_this_waves_other_batches_and_the_next_waves(client: redis.Redis) -> None:
    kili = MemoryKili()
    kili.rule = lambda step, ids: TooLarge("413") if len(ids) > 10 and step.startswith("append") else None
    bench = Bench(client, kili, batch_items=40)
    bench.admit(*(waiting(f"a{n}") for n in range(80)))
    bench.deliver()
    assert settled(bench) == (80, 0, 0)
    learned = len([ids for step, ids in kili.calls if step.startswith("append") and len(ids) > 10])
    bench.admit(*(waiting(f"b{n}") for n in range(80)))
    bench.deliver()
    assert settled(bench) == (160, 0, 0)
    oversized = [ids for step, ids in kili.calls if step.startswith("append") and len(ids) > 10]
    assert learned <= 6
    assert len(oversized) <= learned + 1


def test_batches_that_took_too_long_once_are_soon_whole_again(client: redis.Redis) -> None:
    kili = MemoryKili()

    def slow_at_first(step: str, ids: Sequence[str]) -> KiliError | None:
        is_slow = step == "append_labels" and len(ids) > 10 and len(kili.calls) < 12
        return TimedOut("504") if is_slow else None

    kili.rule = slow_at_first
    bench = Bench(client, kili, batch_items=40)
    for round_ in range(6):
        bench.admit(*(waiting(f"a{round_}-{n}") for n in range(80)))
        bench.deliver()
    assert settled(bench) == (480, 0, 0)
    labels = [len(ids) for step, ids in kili.calls if step == "append_labels"]
    assert min(labels) <= 20
    assert labels[-2:] == [40, 40]


def test_a_probe_takes_one_batch_with_single_attempts_and_its_success_ends_the_pause(client: redis.Redis) -> None:
    retrying, single_attempt = MemoryKili(), MemoryKili()
    single_attempt.assets = retrying.assets
    bench = Bench(client, retrying, prober=single_attempt, batch_items=10)
    bench.admit(*(waiting(f"a{n}") for n in range(30)))
    bench.deliverer.breaker.failed(PROJECT, RefusedProject("no access"))
    threading.Event().wait(0.02)
    assert bench.deliver()
    assert settled(bench) == (10, 0, 20)
    assert retrying.calls == []
    assert bench.deliverer.breaker.of(PROJECT) == []


def test_a_paused_project_is_left_alone(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili, probe=60.0, probe_cap=60.0)
    bench.admit(waiting("a"))
    bench.deliverer.breaker.failed(PROJECT, RefusedProject("no access"))
    assert not bench.deliver()
    assert kili.calls == []


def test_a_wave_that_asked_kili_nothing_is_no_proof_that_kili_is_back(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili)
    bench.admit(waiting("a", answer="PINK"))
    bench.deliverer.breaker.failed("another", ConnectFailed("refused"))
    threading.Event().wait(0.02)
    bench.deliver()
    assert settled(bench) == (0, 1, 0)
    assert [pause.scope for pause in bench.deliverer.breaker.all()] == ["endpoint"]


def test_a_worker_that_stops_gives_back_what_it_has_not_begun(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili, batch_items=10)

    def stop(step: str, ids: Sequence[str]) -> None:
        if step == "append_assets":
            bench.stop.set()

    kili.rule = stop
    bench.admit(*(waiting(f"a{n}") for n in range(200)))
    assert not bench.deliver()
    delivered, dead, left = settled(bench)
    assert 0 < delivered < 200
    assert (dead, left) == (0, 200 - delivered)
    assert bench.deliverer.breaker.all() == []


def test_a_wave_without_its_lock_sends_nothing_more(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili)
    lease = Lease(PROJECT, "token", deadline=0.0)
    leaser = EntryLeaser(bench.spool, lease, FreeBudget(), DeliveryRules(), stop=bench.stop)
    with pytest.raises(LeaseLost):
        Wave(bench.deliverer._tools, lease).run([leased("a")], leaser)
    assert "append_assets" not in kili.counts


def test_a_wave_whose_lock_ended_gives_back_what_nobody_has_taken_since(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili, batch_items=10)

    def lose(step: str, ids: Sequence[str]) -> None:
        if step == "append_labels":
            client.delete(f"t:lock:{PROJECT}")

    kili.rule = lose
    bench.admit(*(waiting(f"a{n}") for n in range(100)))
    assert not bench.deliver()
    assert settled(bench) == (0, 0, 100)
