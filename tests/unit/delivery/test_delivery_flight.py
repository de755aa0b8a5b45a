"""A wave goes on leasing while its batches are under way, as long as nobody else should go first."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import redis
from delivery_doubles import PROJECT, Bench, MemoryKili, waiting
from msgspec.structs import replace

from worker.delivery import leasing
from worker.kili import ConnectFailed, KiliError, derived_asset_id
from worker.spool import Arrival, Waiting


def admit(bench: Bench, count: int, **changes: int) -> None:
    bench.admit(*(waiting(f"a{n}", **changes) for n in range(count)))


def overtaken(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, count: int, *late: Waiting
) -> tuple[Bench, MemoryKili]:
    """Deliver so many predictions while calls are scarce; the late ones come in with the first labels."""
    monkeypatch.setattr(leasing, "LOOK_SECONDS", 0.0)
    kili = MemoryKili()
    bench = Bench(client, kili, wave_items=count, batch_items=10)
    bench.deliverer._budget = ScarceBudget()

    def rule(step: str, ids: Sequence[str]) -> None:
        if step == "append_labels" and kili.counts["append_labels"] == 1:
            bench.admit(*late)

    kili.rule = rule
    admit(bench, count)
    bench.deliver()
    return bench, kili


class ScarceBudget:
    """A budget in which no call is free once a wave has begun."""

    def __init__(self) -> None:
        self._waits = iter([0.0])

    def peek(self) -> dict[str, float]:
        return {"next_in": next(self._waits, 1.0), "limit": 60_000.0}


def test_a_wave_takes_what_waits_with_one_check_for_every_lease(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili, wave_items=20, batch_items=10)
    admit(bench, 100)
    assert not bench.deliver()
    assert bench.spool.ledger().delivered == 100
    assert kili.counts["existing_external_ids"] == 5
    assert kili.counts["append_assets"] == kili.counts["append_labels"] == 10


def test_the_next_entries_are_made_ready_while_batches_before_them_are_under_way(client: redis.Redis) -> None:
    kili, looked, in_time = MemoryKili(), threading.Event(), []
    bench = Bench(client, kili, wave_items=80, batch_items=10)

    def rule(step: str, ids: Sequence[str]) -> None:
        if step == "existing_external_ids" and kili.counts[step] == 2:
            looked.set()
        elif step == "append_labels":
            in_time.append(looked.wait(5))

    kili.rule = rule
    admit(bench, 160)
    bench.deliver()
    assert bench.spool.ledger().delivered == 160
    assert in_time == [True] * 16
    assert kili.counts["existing_external_ids"] == 2


def test_a_newer_prediction_of_an_asset_that_waits_here_is_not_made_ready_beside_it(client: redis.Redis) -> None:
    kili, known = MemoryKili(), derived_asset_id(PROJECT, "a29")
    bench = Bench(client, kili, wave_items=30, batch_items=10)

    def rule(step: str, ids: Sequence[str]) -> None:
        if step == "append_assets" and kili.counts[step] == 1:
            bench.admit(waiting("a29", lane=0, stamp=2, answer="GREY"))

    kili.rule = rule
    admit(bench, 60)
    while bench.deliver():
        pass
    bench.deliver()
    ledger = bench.spool.ledger()
    assert (ledger.delivered + ledger.superseded, ledger.dead) == (61, 0)
    assert "GREY" in kili.labels[known, "m:1"]
    assert [ids for step, ids in kili.calls if step == "append_assets" and ids.count(known) > 1] == []


def test_a_wave_goes_on_with_what_comes_while_its_last_batch_lands(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili, wave_items=20, batch_items=10)

    def rule(step: str, ids: Sequence[str]) -> None:
        if step == "append_labels" and kili.counts[step] == 2:
            bench.admit(*(waiting(f"b{n}") for n in range(10)))

    kili.rule = rule
    bench.deliverer._tools.adaptive_limit.take()
    bench.deliverer._tools.adaptive_limit.take()
    bench.deliverer._tools.adaptive_limit.take()
    admit(bench, 20)
    bench.deliver()
    assert bench.spool.ledger().delivered == 30


@pytest.mark.parametrize(("waiting", "taken"), [(39, 39), (29, 20)])
def test_less_than_a_batch_is_left_to_the_next_wave(client: redis.Redis, waiting: int, taken: int) -> None:
    bench = Bench(client, MemoryKili(), wave_items=20, batch_items=10)
    admit(bench, waiting)
    assert not bench.deliver()
    assert bench.spool.ledger().delivered == taken


def test_while_calls_have_to_be_waited_for_no_batch_begins_beside_another(client: redis.Redis) -> None:
    kili, under_way, most = MemoryKili(), set(), 0

    def rule(step: str, ids: Sequence[str]) -> None:
        nonlocal most
        if step == "append_assets":
            under_way.add(ids[0])
        most = max(most, len(under_way))
        if step == "append_labels":
            under_way.discard(ids[0])

    kili.rule = rule
    bench = Bench(client, kili, wave_items=20, batch_items=10)
    bench.deliverer._budget = ScarceBudget()
    admit(bench, 60)
    bench.deliver()
    assert bench.spool.ledger().delivered == 60
    assert most == 1


def test_what_is_more_doubtful_overtakes_the_batches_that_have_not_begun(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubtful = [f"doubtful{n}" for n in range(3)]
    bench, kili = overtaken(client, monkeypatch, 50, *(waiting(name, lane=2) for name in doubtful))
    batches = [ids for step, ids in kili.calls if step == "append_labels"]
    assert bench.spool.ledger().delivered == 53
    assert {derived_asset_id(PROJECT, name) for name in doubtful} == set(batches[1][:3])
    assert [len(ids) for ids in batches] == [10, 10, 10, 10, 10, 3], "and fills its batch with the others"
    assert kili.counts["existing_external_ids"] == 2


def test_a_newer_prediction_that_overtakes_an_older_one_supersedes_it(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = waiting("a25", lane=2, stamp=2, answer="GREY")
    bench, kili = overtaken(client, monkeypatch, 30, newer)
    ledger = bench.spool.ledger()
    assert (ledger.delivered, ledger.superseded) == (30, 1)
    assert "GREY" in kili.labels[derived_asset_id(PROJECT, "a25"), "m:1"]


def test_what_overtakes_is_no_more_than_what_the_wave_had_leased(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "LOOK_SECONDS", 0.0)
    kili = MemoryKili()
    bench = Bench(client, kili, wave_items=20, batch_items=10)
    bench.deliverer._budget = ScarceBudget()
    routine = {derived_asset_id(PROJECT, f"a{n}") for n in range(20)}

    def rule(step: str, ids: Sequence[str]) -> None:
        if step == "append_labels":
            bench.admit(*(waiting(f"d{kili.counts[step]}-{n}", lane=2) for n in range(10)))
            bench.stop.set() if kili.counts[step] == 5 else None

    kili.rule = rule
    admit(bench, 20)
    bench.deliver()
    assert routine <= {asset_id for asset_id, _ in kili.labels}


def test_a_wave_ends_while_others_wait(client: redis.Redis) -> None:
    bench = Bench(client, MemoryKili(), wave_items=20, batch_items=10)
    admit(bench, 100)
    bench.spool.admit([Arrival("", (replace(waiting("b"), project="another"),))])
    bench.deliver()
    assert bench.spool.ledger(PROJECT).delivered == 20


def test_a_probe_leases_nothing_more(client: redis.Redis) -> None:
    bench = Bench(client, MemoryKili(), wave_items=20, batch_items=10)
    admit(bench, 100)
    bench.deliverer.breaker.failed(PROJECT, ConnectFailed("refused"))
    threading.Event().wait(0.02)
    bench.deliver()
    assert bench.spool.ledger().delivered == 10


@pytest.mark.guarantee(
    "Kili",
    fault="a newer prediction while an older one of the asset is in flight",
    promise="waits for it, never overtakes",
)
def test_a_newer_prediction_never_overtakes_an_older_one_that_is_under_way(client: redis.Redis) -> None:
    asset_id, admitted, overtaken = derived_asset_id(PROJECT, "a0"), threading.Event(), threading.Event()
    kili = MemoryKili()
    bench = Bench(client, kili, wave_items=10, batch_items=10)
    labelled: list[str] = []

    def rule(step: str, ids: Sequence[str]) -> KiliError | None:
        if step == "existing_external_ids" and asset_id not in ids:
            admitted.wait(5)
        elif step == "append_assets" and asset_id in ids:
            bench.admit(waiting("a0", lane=0, stamp=2, answer="GREY"))
            admitted.set()
        elif step == "append_labels" and asset_id in ids and not labelled:
            labelled.append("first")
            overtaken.wait(0.3)
        elif step == "append_labels" and asset_id in ids:
            overtaken.set()
        return None

    kili.rule = rule
    admit(bench, 30, lane=5)
    while bench.deliver():
        pass
    bench.deliver()
    assert bench.spool.ledger().delivered == 31
    assert "GREY" in kili.labels[asset_id, "m:1"]


@pytest.mark.parametrize("failing", ["append_labels", "existing_external_ids"])
def test_a_failure_ends_the_wave_and_gives_back_what_was_leased_ahead(client: redis.Redis, failing: str) -> None:
    kili = MemoryKili()
    error = ConnectFailed("gone")
    kili.rule = lambda step, ids: error if step == failing and kili.counts[failing] > 2 else None
    bench = Bench(client, kili, wave_items=20, batch_items=10)
    admit(bench, 200)
    bench.deliver()
    ledger = bench.spool.ledger()
    assert ledger.leased == 0
    assert 0 < ledger.delivered < 200
    assert ledger.waiting == 200 - ledger.delivered
