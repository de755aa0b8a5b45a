"""A wave goes on leasing while its batches are under way, as long as nobody else should go first."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
import redis
from delivery_doubles import PROJECT, Bench, MemoryKili, waiting

from worker.kili import ConnectFailed, KiliError, derived_asset_id
from worker.spool import Arrival


def admit(bench: Bench, count: int, **changes: int) -> None:
    bench.admit(*(waiting(f"a{n}", **changes) for n in range(count)))


class ScarceBudget:
    """A budget with one call free, and none soon after."""

    def __init__(self) -> None:
        self._waits = iter([0.0])

    def peek(self) -> dict[str, float]:
        return {"next_in": next(self._waits, 1.0)}


def test_a_wave_takes_what_waits_with_one_check_for_every_lease(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili, wave_items=20, batch_items=10)
    admit(bench, 100)
    assert not bench.deliver()
    assert bench.spool.ledger().delivered == 100
    assert kili.counts["existing_external_ids"] == 5
    assert kili.counts["append_assets"] == kili.counts["append_labels"] == 10


def test_less_than_a_whole_lease_is_left_to_the_next_wave(client: redis.Redis) -> None:
    bench = Bench(client, MemoryKili(), wave_items=20, batch_items=10)
    admit(bench, 35)
    assert bench.deliver()
    assert bench.spool.ledger().delivered == 20


def test_while_calls_have_to_be_waited_for_nothing_is_leased_ahead(client: redis.Redis) -> None:
    bench = Bench(client, MemoryKili(), wave_items=20, batch_items=10)
    bench.deliverer._budget = ScarceBudget()
    admit(bench, 100)
    bench.deliver()
    assert bench.spool.ledger().delivered == 20


def test_a_wave_ends_while_others_wait(client: redis.Redis) -> None:
    bench = Bench(client, MemoryKili(), wave_items=20, batch_items=10)
    admit(bench, 100)
    bench.spool.admit([Arrival("", (replace(waiting("b"), project="another"),))])
    bench.deliver()
    assert bench.spool.ledger(PROJECT).delivered == 20


def test_a_probe_leases_nothing_more(client: redis.Redis) -> None:
    bench = Bench(client, MemoryKili(), wave_items=20, batch_items=10)
    admit(bench, 100)
    bench.deliverer.pauses.failed(PROJECT, ConnectFailed("refused"))
    threading.Event().wait(0.02)
    bench.deliver()
    assert bench.spool.ledger().delivered == 10


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
