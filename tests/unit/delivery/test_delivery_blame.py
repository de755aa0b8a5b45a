"""Faults that nobody can lay to an item: those of our own, and Kili's in general words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
import redis
from delivery_doubles import PROJECT, Bench, MemoryKili, waiting

from worker.delivery.failure_policy import PROBE_SECONDS
from worker.delivery.failures import FAULT
from worker.kili import ConnectFailed, KiliError, ServerFault, UnknownOutcome, derived_asset_id
from worker.spool.dead_letters import DeadLetters
from worker.spool.entries import tried_again

STEPS = ["append_assets", "append_labels", "update_assets"]


def outcome(bench: Bench) -> tuple[int, int, int]:
    ledger = bench.spool.ledger()
    assert (ledger.leased, ledger.conservation_error) == (0, 0)
    return ledger.delivered, ledger.dead, ledger.waiting


def bug_for(step: str, *names: str) -> Any:
    """A rule: our own code fails at this step, for some or for all."""
    ids = {derived_asset_id(PROJECT, name) for name in names}
    return lambda name, found: KeyError("a bug") if name == step and (not ids or ids & set(found)) else None


@pytest.mark.guarantee(
    "Data",
    fault="one that our own code cannot deliver",
    promise="a dead letter; its neighbours go",
)
@pytest.mark.parametrize("step", STEPS)
def test_a_prediction_that_our_own_code_cannot_deliver_dies_alone(client: redis.Redis, step: str) -> None:
    bench = Bench(client, MemoryKili(rule=bug_for(step, "a3")), batch_items=10)
    bench.admit(*(waiting(f"a{n}", priority=5) for n in range(20)))
    bench.deliver()
    bench.deliver()
    [letter] = DeadLetters(client, "t:").letters()
    assert (letter.cause, letter.about["external_id"]) == ("worker_fault", "a3")
    assert outcome(bench) == (19, 1, 0)
    assert bench.deliverer.breaker.all() == []


@pytest.mark.parametrize("step", STEPS)
def test_where_our_own_code_can_deliver_nothing_nobody_is_condemned(client: redis.Redis, step: str) -> None:
    bench = Bench(client, MemoryKili(rule=bug_for(step)), batch_items=10)
    bench.admit(*(waiting(f"a{n}", priority=5) for n in range(20)))
    bench.deliver()
    assert outcome(bench) == (0, 0, 20)
    assert [pause.kind for pause in bench.deliverer.breaker.all()] == ["WorkerFault"]


def suspected_for(client: redis.Redis, hours: float) -> None:
    """As if every wave of so many hours had failed with the entry."""
    now = int(time.time() * 1000)
    known = tried_again(b"", FAULT, now, int(PROBE_SECONDS * 1000))
    known = tried_again(
        known.replace(b'"for":0', f'"for":{int(hours * 3_600_000)}'.encode()), FAULT, now, int(PROBE_SECONDS * 1000)
    )
    for lane in range(10):
        for entry_id, _ in client.xrange(f"t:lane:{lane}:{PROJECT}"):
            client.hset(f"t:tries:{PROJECT}", f"{lane}/{entry_id.decode()}", known)


def general(step: str) -> ServerFault:
    error = ServerFault(f"{step}: unexpected error", server_message="unexpected error")
    error.may_be_items = True
    return error


@pytest.mark.guarantee(
    "Kili",
    fault="one that alone fails in general words, day and night, while Kili answers other calls",
    promise="a dead letter after a day",
)
@pytest.mark.parametrize("error", [general("labels"), UnknownOutcome("500"), KeyError("a bug")])
def test_one_that_alone_fails_for_a_day_while_kili_answers_other_calls_is_a_dead_letter(
    client: redis.Redis, error: KiliError
) -> None:
    bench = Bench(client, MemoryKili(rule=lambda step, ids: error if step == "append_labels" else None))
    bench.admit(waiting("a"))
    bench.deliver()
    assert outcome(bench) == (0, 0, 1)
    suspected_for(client, 23.9)
    try_again(bench)
    assert outcome(bench) == (0, 0, 1)
    suspected_for(client, 24.1)
    try_again(bench)
    assert outcome(bench) == (0, 1, 0)
    [letter] = DeadLetters(client, "t:").letters()
    assert "so for 24.1 h, while Kili answered other calls" in letter.about["problem"]
    assert letter.about["external_id"] == "a"


@pytest.mark.parametrize("error", [UnknownOutcome("503"), ConnectFailed("refused")])
def test_nobody_is_suspected_of_an_outage(client: redis.Redis, error: KiliError) -> None:
    def down(step: str, ids: Sequence[str]) -> KiliError | None:
        return error if step != "project_interface" else None

    bench = Bench(client, MemoryKili(rule=down), fault=0.0)
    bench.admit(waiting("a"))
    for _ in range(3):
        bench.deliver()
        wake(bench)
    assert outcome(bench) == (0, 0, 1)
    assert client.exists(f"t:tries:{PROJECT}") == 0


def try_again(bench: Bench) -> None:
    wake(bench)
    bench.deliver()


def wake(bench: Bench) -> None:
    for pause in bench.deliverer.breaker.all():
        bench.spool.redis.hdel("t:pauses", pause.scope)
