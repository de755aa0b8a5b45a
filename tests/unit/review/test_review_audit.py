"""The audit sample."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.review.review_subjects import answers, policy
from worker.review.triage import audit_draw, inclusion_probability, openness

RULE = {"capacity": {"share": 0.2}, "audit": {"rate": 0.05}}
FLAT = {"capacity": {"share": 0.2}, "audit": {"rate": 0.05, "uniform": 1.0}}


def test_the_coin_depends_on_its_arguments_alone() -> None:
    here = audit_draw("salt", "project", "asset", "model:1")
    code = "from worker.review.triage import audit_draw; print(audit_draw('salt', 'project', 'asset', 'model:1'))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert float(elsewhere) == here
    assert len({audit_draw("salt", *names) for names in (("ab", "c"), ("a", "bc"), ("a", "b", "c"))}) == 3


def test_the_coin_is_fair() -> None:
    count = 20_000
    throws = [audit_draw("salt", "p", str(number), "m") for number in range(count)]

    for share in (0.01, 0.05, 0.5):
        deviation = (share * (1 - share) / count) ** 0.5
        assert sum(one < share for one in throws) / count == pytest.approx(share, abs=4 * deviation)


def test_a_flat_sample_is_the_same_in_any_order_and_after_duplicates() -> None:
    stream = answers(600)
    shuffled = random.Random(2).sample(stream + stream[:200], k=800)

    first = {one.external_id: policy(FLAT).decide(one).audit for one in stream}
    again = policy(FLAT)
    second = {
        one.external_id: decision.audit for one, decision in zip(shuffled, again.decide_all(shuffled), strict=True)
    }

    assert first == second
    assert any(first.values())


def test_the_sample_is_as_large_as_it_should_be() -> None:
    ranked = policy(RULE)
    decided = [one for start in range(0, 8000, 500) for one in ranked.decide_all(answers(500, start=start))]
    chances = [one.inclusion_probability or 0.0 for one in decided]

    expected = sum(chances)
    deviation = sum(p * (1 - p) for p in chances) ** 0.5
    assert sum(one.audit for one in decided) == pytest.approx(expected, abs=4 * deviation)
    assert expected / len(decided) == pytest.approx(0.05, rel=0.1)


def test_every_decision_tells_its_inclusion_probability() -> None:
    decided = policy(RULE).decide_all(answers(300))

    assert all(one.inclusion_probability and 0.005 <= one.inclusion_probability <= 1 for one in decided)


def test_open_cases_that_nobody_would_look_at_are_audited_most() -> None:
    decided = sorted(policy(RULE).decide_all(answers(500)), key=lambda one: one.error_probability or 0.0)
    chances = [one.inclusion_probability or 0.0 for one in decided]
    asked = [one.band == 1 for one in decided]

    most = max(range(500), key=chances.__getitem__)
    assert chances[most] > 1.5 * chances[0]
    assert not asked[most]
    assert chances[asked.index(True)] < 0.6 * chances[most]
    assert min(chances) >= 0.5 * 0.05


def test_without_a_rate_there_is_no_sample() -> None:
    decided = policy({"audit": {"rate": 0.0, "floor": 0.0}}).decide_all(answers(200))

    assert not any(one.audit for one in decided)
    assert all(one.inclusion_probability is None for one in decided)


@given(st.floats(0.0001, 0.9999), st.floats(0.01, 0.5), st.floats(0.001, 1), st.floats(0, 1))
def test_an_inclusion_probability_is_a_probability(chance: float, mean: float, rate: float, uniform: float) -> None:
    found = inclusion_probability(chance, mean, rate=rate, uniform=uniform, floor=rate / 10)

    assert rate / 10 <= found <= 1
    assert found >= rate * uniform * (1 - 1e-12)


def test_openness_is_greatest_in_the_middle_and_where_no_review_is_asked_for() -> None:
    assert openness(0.5) == 0.5
    assert openness(0.1) == pytest.approx(openness(0.9))
    assert openness(0.1) < openness(0.3)
    assert openness(0.3, asked=True) == pytest.approx(openness(0.3) * 0.1**0.5)
