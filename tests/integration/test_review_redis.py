"""What the policy remembers in Redis: shared, added up, bounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from tests.unit.review.review_subjects import NOW, Clock, answers, choice, subject
from worker.cli import main
from worker.environment.embedded_redis import EmbeddedRedis
from worker.review import FixedPolicy, RankedPolicy, RedisState, ScoreSource, Subject, Verdict, parse_policy
from worker.review.calibration import Example, Features
from worker.review.capacity import Kind
from worker.review.histogram import Histogram, UntestedPool
from worker.review.kernel import KernelScorer
from worker.review.triage import rule_key
from worker.review.vectors import OVERHEAD, RedisVectors, Vectors

pytestmark = pytest.mark.servers("all")

PREFIX = "pw:"
RULE = {"name": "all", "capacity": {"share": 0.15}, "audit": {"rate": 0.05, "uniform": 1.0}}
SOURCE = ScoreSource("p", "", "m:1")


def state(client: redis.Redis, **more: Any) -> RedisState:
    return RedisState(client, prefix=PREFIX, refresh_seconds=0, flush_seconds=0, **{"wall_clock": Clock(), **more})


def process(client: redis.Redis, **more: Any) -> RankedPolicy:
    """A policy as one process has it."""
    return RankedPolicy(FixedPolicy(parse_policy({"rules": [RULE]})), state(client), clock=Clock(), **more)


def test_two_processes_rank_among_what_both_have_seen(client: redis.Redis) -> None:
    one, other = process(client), process(client)
    one.decide_all(answers(300))
    other.decide_all(answers(300, start=300))
    alone = RankedPolicy(FixedPolicy(parse_policy({"rules": [RULE]})), clock=Clock())
    alone.decide_all(answers(300))
    alone.decide_all(answers(300, start=300))

    probe = subject("probe", choice(0.7, 0.3))
    found = [policy.decide(probe).percentile for policy in (one, alone)]

    assert found[0] == pytest.approx(found[1], abs=0.005)


def test_a_restarted_process_goes_on_where_it_ended(client: redis.Redis) -> None:
    stream = answers(400)
    before = process(client)
    decided = before.decide_all(stream)
    before.learn(
        Verdict("p", "m:1", decision, 1.0, one.external_id) for one, decision in zip(stream, decided, strict=True)
    )
    probe = subject("probe", choice(0.9, 0.1))

    after = process(client).decide(probe).error_probability
    assert after == pytest.approx(before.decide(probe).error_probability, abs=1e-4)
    assert (after or 0) > 0.9


def test_the_audit_coin_is_the_same_after_a_restart(client: redis.Redis) -> None:
    stream = answers(400)

    first = [one.audit for one in process(client).decide_all(stream)]
    again = [one.audit for one in process(client).decide_all(list(reversed(stream)))]

    assert first == list(reversed(again))
    assert any(first)


def test_budgets_are_spent_together(client: redis.Redis) -> None:
    policies = [process(client), process(client)]

    decided = [one for i in range(40) for one in policies[i % 2].decide_all(answers(50, start=50 * i))]

    counts = state(client)
    counts.refresh((), {rule_key("p", "all")})
    assert counts.rule_statistics(rule_key("p", "all")).counts.day(Kind.SEEN, NOW) == 2000
    assert sum(one.band > 0 for one in decided) == pytest.approx(300, rel=0.1)


def test_what_is_granted_is_noted_once(client: redis.Redis) -> None:
    for _ in range(3):
        given = parse_policy({"rules": [{"name": "all", "capacity": {"per_day": 96}}]})
        RankedPolicy(FixedPolicy(given), state(client), clock=Clock()).decide_all(answers(5))

    fields = client.hgetall(f"{PREFIX}review:counts:{rule_key('p', 'all')}")

    assert [int(value) for name, value in fields.items() if name.endswith(b":granted")] == [1000]  # type: ignore[union-attr]


def test_a_version_knows_the_one_before(client: redis.Redis) -> None:
    policy = process(client)
    stream = answers(100)
    decided = policy.decide_all(stream)
    policy.learn(Verdict("p", "m:1", one, 1.0, str(number)) for number, one in enumerate(decided))

    inherited = process(client).decide(subject("x", choice(0.99, 0.01), model="m:2"))
    stranger = process(client).decide(subject("x", choice(0.99, 0.01), model="n:1"))

    assert (inherited.error_probability or 0) > 2 * (stranger.error_probability or 1)


def test_only_the_newest_verdicts_are_kept(client: redis.Redis) -> None:
    seconds = iter(range(100))
    memory = state(client, wall_clock=lambda: float(next(seconds)))
    for number in range(5):
        memory.add_examples(SOURCE, {f"a{number}": Example(Features(0.5, 0.0, "A"), number / 10)}, keep=3)

    kept = memory.add_examples(SOURCE, {"a3": Example(Features(0.5, 0.0, "A"), 0.9)}, keep=3)

    assert [one.wrong for one in kept] == [0.2, 0.4, 0.9]
    assert client.hlen(f"{PREFIX}review:verdicts:{SOURCE.key}") == 3


def test_every_key_expires(client: redis.Redis) -> None:
    policy = process(client, scorer=KernelScorer(RedisVectors(client, prefix=PREFIX)))
    stream = answers(60)
    decided = policy.decide_all(stream)
    policy.learn(
        Verdict("p", "m:1", decision, 1.0, one.external_id) for one, decision in zip(stream, decided, strict=True)
    )
    policy.set_reviewers("p", "all", 100.0)

    keys = list(client.scan_iter(f"{PREFIX}*"))

    assert len(keys) > 6
    assert all(0 < int(client.ttl(key)) <= 30 * 86_400 for key in keys)  # type: ignore[arg-type]


def test_only_what_is_reviewed_waits_with_its_vectors(client: redis.Redis) -> None:
    policy = process(client, scorer=KernelScorer(RedisVectors(client, prefix=PREFIX)))

    decided = policy.decide_all(answers(200))

    waiting = list(client.scan_iter(f"{PREFIX}review:vector:*"))
    assert len(waiting) == sum(one.band > 0 for one in decided)


def test_waiting_vectors_take_no_more_room_than_they_may(client: redis.Redis) -> None:
    store = RedisVectors(client, prefix=PREFIX, waiting_bytes=40 * (OVERHEAD + 60))
    vectors = {f"a{number}": Vectors({"A": 0.75, "B": 0.25}, (0.5, -2.0)) for number in range(100)}

    for name, one in vectors.items():
        store.remember(SOURCE, {name: one})

    kept = store.recall(SOURCE, vectors)
    assert 30 <= len(kept) <= 50
    assert "a99" in kept
    assert "a0" not in kept
    assert len(list(client.scan_iter(f"{PREFIX}review:vector:*"))) == len(kept)
    assert kept["a99"].shares == {"A": 0.75, "B": 0.25}
    assert kept["a99"].embedding == pytest.approx((0.5, -2.0), rel=1e-3)


def test_the_stronger_scorer_is_shared(client: redis.Redis) -> None:
    def policy(scoring: str = "automatic") -> RankedPolicy:
        given = parse_policy({"scorer": scoring, "rules": [RULE]})
        return RankedPolicy(FixedPolicy(given), state(client), clock=Clock())

    first = policy()
    stream = answers(400)
    decided = first.decide_all(stream)
    reviewed = [(one, decision) for one, decision in zip(stream, decided, strict=True) if decision.band]
    first.learn(
        Verdict("p", "m:1", decision, float(decision.predicted == "A"), one.external_id) for one, decision in reviewed
    )

    probe = subject("probe", choice(0.8, 0.2))
    expected = first.decide(probe).error_probability
    assert policy().decide(probe).error_probability == pytest.approx(expected, abs=0.01)
    assert policy("off").decide(probe).error_probability != pytest.approx(expected, abs=0.02)


def test_the_command_shows_cut_budget_and_learning(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"version": 5, "rules": [{**RULE, "capacity": {"per_day": 50}}]}))
    live = RankedPolicy(
        FixedPolicy(parse_policy({"rules": [RULE]})), RedisState(client, prefix=PREFIX, flush_seconds=0)
    )
    stream = answers(300)
    decided = live.decide_all(stream)
    live.learn(Verdict("p", "m:1", one, 0.0, str(number)) for number, one in enumerate(decided))

    found = CliRunner(env={"REDIS_URL": redis_server.url}).invoke(
        main, ["policy", "show", "--policy", str(path), "--json"]
    )

    shown = json.loads(found.output)
    assert shown["policy"] == "ranked/5"
    assert shown["projects"][0]["predictions_24h"] == 300
    assert shown["projects"][0]["reviews_24h"] == sum(one.band > 0 for one in decided)
    assert shown["projects"][0]["budget_24h"] == 50
    assert shown["models"] == [{**shown["models"][0], "model": "m:1", "verdicts": 300, "predictions": 300}]


SCORES = f"{PREFIX}review:scores:{SOURCE.key}"


def sure(count: int, start: int = 0) -> list[Subject]:
    return [subject(f"s{n}", choice(0.9 + n % 50 / 500, 0.1 - n % 50 / 500)) for n in range(start, start + count)]


def unsure(count: int) -> list[Subject]:
    return [subject(f"u{n}", choice(0.5 + n % 50 / 500, 0.5 - n % 50 / 500)) for n in range(count)]


def counted(client: redis.Redis, key: str = SCORES) -> dict[str, int]:
    found: Any = client.hgetall(key)
    numbers = {name.decode(): int(value) for name, value in found.items()}
    sums = {"scores": sum(count for name, count in numbers.items() if ":" in name)}
    return sums | {name: numbers[name] for name in ("seen", "jumps") if name in numbers}


def one_by_one(client: redis.Redis, subjects: list[Subject]) -> None:
    """Each prediction by itself, in one of two processes; every tenth time one of them is restarted."""
    processes = [process(client), process(client)]
    for number, one in enumerate(subjects):
        if number % 10 == 9:
            processes[number % 2] = process(client)
        processes[number % 2].decide(one)


def test_a_shift_shows_where_little_comes_to_each_of_several_processes(client: redis.Redis) -> None:
    process(client).decide_all(sure(400))

    one_by_one(client, unsure(110))

    assert counted(client) == {"scores": 510, "seen": 510, "jumps": 1}
    assert state_of_scores(client).percentile(-0.7) > 0.3


def state_of_scores(client: redis.Redis) -> Histogram:
    found = state(client)
    found.refresh({SOURCE}, ())
    return found.histogram(SOURCE)


def test_little_that_is_as_before_is_no_shift(client: redis.Redis) -> None:
    process(client).decide_all(sure(400))

    one_by_one(client, sure(160, start=400))

    assert counted(client) == {"scores": 560, "seen": 560}


def test_two_processes_that_see_the_same_shift_write_it_down_once(client: redis.Redis) -> None:
    process(client).decide_all(sure(400))
    one_by_one(client, unsure(49))
    last = process(client)
    last.decide(unsure(50)[-1])
    pool = f"{PREFIX}review:new-scores:{SOURCE.key}"
    read: Any = client.hgetall(pool)
    scores: Any = client.hgetall(SCORES)
    histogram = Histogram.from_counts({name.decode(): int(value) for name, value in scores.items()})

    found = [UntestedPool(client, 60).compare(read, histogram, pool=pool, scores=SCORES) for _ in range(2)]

    assert found == [True, False]
    assert counted(client) == {"scores": 450, "seen": 450, "jumps": 1}
    assert client.hgetall(pool) == {b"taken": b"1"}


def test_what_redis_refuses_is_counted_later(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    one = RankedPolicy(
        FixedPolicy(parse_policy({"rules": [RULE]})), RedisState(client, prefix=PREFIX, flush_seconds=60)
    )
    one.decide_all(sure(30))
    one.decide_all(sure(12, start=30))
    with monkeypatch.context() as away:
        away.setattr(redis.client.Pipeline, "execute", _refuse)
        with pytest.raises(redis.ConnectionError):
            one.keep()

    one.keep()

    assert counted(client) == {"scores": 42, "seen": 42}
    assert counted(client, f"{PREFIX}review:new-scores:{SOURCE.key}") == {"scores": 42}


def _refuse(*_: Any, **__: Any) -> None:
    raise redis.ConnectionError("away")
