"""Batches in one document on a real spool and a Kili in memory: what went through stays, what failed goes apart."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import redis
from delivery_doubles import PROJECT, Bench, MemoryKili, waiting

from worker.delivery.circuit_breaker import Documents
from worker.kili import (
    ConnectFailed,
    KiliError,
    RefusedItems,
    ServerFault,
    TimedOut,
    TooLarge,
    Unauthorized,
    UnknownOperation,
    UnknownOutcome,
    derived_asset_id,
)
from worker.spool.dead_letters import DeadLetters


def bench_of(client: redis.Redis, kili: MemoryKili, **rules: int) -> Bench:
    return Bench(client, kili, one_document=True, **rules)


def admit(bench: Bench, count: int = 10) -> None:
    bench.admit(*(waiting(f"a{n}", priority=5) for n in range(count)))


def single_attempt(step: str, error: KiliError) -> object:
    """A rule: the step fails at its first call."""
    seen: list[str] = []

    def rule(operation: str, ids: Sequence[str]) -> KiliError | None:
        seen.append(operation)
        return error if operation == step and seen.count(step) == 1 else None

    return rule


def is_whole(bench: Bench, kili: MemoryKili, count: int = 10) -> bool:
    ledger = bench.spool.ledger()
    assert (ledger.delivered, ledger.dead, ledger.leased, ledger.waiting) == (count, 0, 0, 0)
    return len(kili.assets) == len(kili.labels) == len(kili.priorities) == count


def test_a_batch_costs_one_call(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = bench_of(client, kili, batch_items=10)
    admit(bench, 50)
    bench.deliver()
    assert is_whole(bench, kili, 50)
    assert kili.counts == {"project_interface": 1, "existing_external_ids": 1, "write_batch": 5}


def test_a_batch_that_needs_labels_alone_is_no_document(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = bench_of(client, kili)
    bench.admit(waiting("a"))
    bench.deliver()
    bench.admit(waiting("a", stamp=2, answer="GREY"))
    bench.deliver()
    assert (kili.counts["write_batch"], kili.counts["append_labels"]) == (1, 1)


@pytest.mark.parametrize("error", [ServerFault("x"), UnknownOutcome("x"), RefusedItems("x"), Unauthorized("x")])
@pytest.mark.parametrize("step", ["append_assets", "append_labels", "update_assets"])
def test_what_one_mutation_of_a_document_left_undone_alone_is_sent_again(
    client: redis.Redis, step: str, error: KiliError
) -> None:
    kili = MemoryKili()
    kili.rule = single_attempt(step, error)  # type: ignore[assignment]
    bench = bench_of(client, kili)
    admit(bench)
    bench.deliver()
    assert is_whole(bench, kili)
    written = {name: count for name, count in kili.counts.items() if name.startswith(("append", "update", "write"))}
    assert written == {"write_batch": 1, step: 1}


@pytest.mark.parametrize("step", ["append_assets", "append_labels", "update_assets"])
def test_a_culprit_within_a_document_is_found_and_its_neighbours_are_delivered(client: redis.Redis, step: str) -> None:
    culprit = derived_asset_id(PROJECT, "a3")
    kili = MemoryKili()
    kili.rule = lambda name, ids: RefusedItems("no", server_message="no") if name == step and culprit in ids else None
    bench = bench_of(client, kili)
    admit(bench)
    bench.deliver()
    ledger = bench.spool.ledger()
    assert (ledger.delivered, ledger.dead, ledger.waiting) == (9, 1, 0)
    [letter] = DeadLetters(client, "t:").letters()
    assert letter.about["external_id"] == "a3"
    assert letter.about["words"] == "no"


@pytest.mark.parametrize(
    "error", [UnknownOperation("x"), RefusedItems("too complex"), UnknownOutcome("400"), TimedOut("504")]
)
def test_a_server_that_takes_no_documents_gets_separate_calls_and_is_not_asked_again(
    client: redis.Redis, error: KiliError, caplog: pytest.LogCaptureFixture
) -> None:
    kili = MemoryKili(rule=lambda name, ids: error if name == "write_batch" else None)
    bench = bench_of(client, kili)
    admit(bench)
    bench.deliver()
    bench.admit(*(waiting(f"b{n}", priority=5) for n in range(10)))
    bench.deliver()
    assert is_whole(bench, kili, 20)
    assert kili.counts["write_batch"] == 1
    said = [record for record in caplog.records if getattr(record, "action", "") == "one_document_refused"]
    assert len(said) == 1
    rejection = Documents(client, "t:", wanted=True).rejection()
    assert rejection is not None
    assert rejection.reason == str(error)


def test_a_document_that_is_too_large_makes_batches_smaller_and_documents_stay(client: redis.Redis) -> None:
    kili = MemoryKili()
    kili.rule = lambda name, ids: TooLarge("413") if name == "write_batch" and len(ids) > 10 else None
    bench = bench_of(client, kili, batch_items=40)
    for round_ in "abc":
        bench.admit(*(waiting(f"{round_}{n}", priority=5) for n in range(40)))
        bench.deliver()
    assert is_whole(bench, kili, 120)
    assert any(len(ids) <= 10 for name, ids in kili.calls if name == "write_batch")
    assert Documents(client, "t:", wanted=True).rejection() is None


@pytest.mark.parametrize("error", [ConnectFailed("x"), Unauthorized("x")])
def test_a_server_that_is_away_is_not_asked_the_same_in_other_words(client: redis.Redis, error: KiliError) -> None:
    kili = MemoryKili(rule=lambda name, ids: error if name == "write_batch" else None)
    bench = bench_of(client, kili)
    admit(bench)
    bench.deliver()
    assert bench.spool.ledger().waiting == 10
    assert [name for name in kili.counts if name.startswith(("append", "update"))] == []
    assert bench.deliverer.breaker.all()


@pytest.mark.parametrize("step", ["append_assets", "append_labels"])
def test_a_refused_item_does_not_speak_against_documents(client: redis.Redis, step: str) -> None:
    culprit = derived_asset_id(PROJECT, "a3")
    kili = MemoryKili()
    kili.rule = lambda name, ids: RefusedItems("no") if culprit in ids and name in ("write_batch", step) else None
    bench = bench_of(client, kili)
    admit(bench)
    bench.deliver()
    assert bench.spool.ledger().dead == 1
    assert Documents(client, "t:", wanted=True).are_taken


def test_documents_are_opt_in(client: redis.Redis) -> None:
    kili = MemoryKili()
    bench = Bench(client, kili)
    admit(bench)
    bench.deliver()
    assert kili.counts["write_batch"] == 0
