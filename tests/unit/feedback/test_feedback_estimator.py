"""Agreement of live traffic, from answers to what was doubtful and to a random sample of the rest."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from worker.statistics.estimator import compare, estimate_agreement, estimate_of
from worker.statistics.samples import Sample, weigh


def sample(number: int, **options) -> Sample:
    return Sample(asset_id=f"a{number}", at=float(number), **options)


def population(
    count: int = 600, seed: int = 0, audit: float = 0.2, response: float = 1.0
) -> tuple[list[Sample], float]:
    """Predictions of known doubt, the doubtful ones and a flat audit sample answered; and the true agreement."""
    dice = random.Random(seed)
    samples, errors = [], 0
    for number in range(count):
        doubt = dice.random() ** 4
        wrong = dice.random() < doubt
        errors += wrong
        audited = dice.random() < audit
        answered = dice.random() < response if audited else doubt > 0.6
        error = float(wrong) if answered else None
        samples.append(
            sample(
                number, audited=audited, inclusion=audit, doubt=doubt, p_error=doubt, error=error, answered_at=number
            )
        )
    return samples, 1 - errors / count


def test_nothing_is_known_of_an_empty_population() -> None:
    found = estimate_agreement([])

    assert (found.value, found.low, found.high, found.naive) == (None, 0.0, 1.0, None)


def test_a_population_with_every_answer_is_a_sample_of_as_many() -> None:
    found = estimate_agreement([sample(n, error=float(n < 3)) for n in range(20)])

    assert found.value == pytest.approx(0.85)
    assert (found.low, found.high) == (pytest.approx(0.6396, abs=1e-4), pytest.approx(0.9476, abs=1e-4))


def test_without_an_answered_audit_only_bounds_are_given() -> None:
    samples = [sample(n, error=1.0) for n in range(5)] + [sample(n) for n in range(5, 20)]

    found = estimate_agreement(samples)

    assert found.value is None
    assert (found.low, found.high) == (0.0, 0.75)
    assert found.naive == 0.0


def test_the_naive_average_is_far_off_and_the_estimate_is_not() -> None:
    off, naive_off = 0.0, 0.0
    for seed in range(40):
        samples, truth = population(seed=seed)
        found = estimate_agreement(samples)
        off += (found.value or 0) - truth
        naive_off += (found.naive or 0) - truth

    assert abs(off / 40) < 0.006
    assert naive_off / 40 < -0.15


def test_the_interval_covers_the_truth() -> None:
    inside = 0
    for seed in range(200):
        samples, truth = population(seed=seed, count=400)
        found = estimate_agreement(samples)
        inside += found.low <= truth <= found.high

    assert inside >= 0.91 * 200


def test_audits_without_an_answer_do_not_bias_the_estimate() -> None:
    off = 0.0
    for seed in range(60):
        samples, truth = population(seed=seed, audit=0.3, response=0.5)
        off += (estimate_agreement(samples).value or 0) - truth

    assert abs(off / 60) < 0.01


def test_audits_that_are_answered_by_their_doubt_are_weighed_by_classes() -> None:
    """Reviewers took the doubtful audits first and then stopped."""
    off = 0.0
    for seed in range(40):
        samples, truth = population(seed=seed, audit=0.3)
        samples = [
            replace(one, error=None) if one.audited and one.doubt < 0.3 and number % 2 else one
            for number, one in enumerate(samples)
        ]
        off += (estimate_agreement(samples).value or 0) - truth

    assert abs(off / 40) < 0.015


def test_counts_stand_beside_every_figure() -> None:
    samples, _ = population(audit=0.3, response=0.5)
    found = estimate_agreement(samples)

    assert found.population == 600
    assert found.verdicts == sum(one.answered for one in samples)
    assert found.audits == sum(one.audited and one.answered for one in samples)
    assert found.missing_audits == sum(one.audited and not one.answered for one in samples)
    assert found.youngest == max(one.answered_at for one in samples)


def test_knowing_the_doubt_narrows_the_interval() -> None:
    widths = [0.0, 0.0]
    for seed in range(30):
        samples, _ = population(seed=seed)
        widths[0] += estimate_agreement(samples).width
        widths[1] += estimate_agreement([replace(one, p_error=None) for one in samples]).width

    assert widths[0] < 0.97 * widths[1]


def test_an_audit_that_would_have_been_answered_anyway_stands_for_nobody() -> None:
    samples = [sample(n, doubt=0.9, error=0.0) for n in range(20)] + [sample(20 + n, doubt=0.1) for n in range(20)]
    doubtful = sample(50, doubt=0.9, audited=True, inclusion=0.1, error=1.0)
    sure = sample(51, doubt=0.1, audited=True, inclusion=0.1, error=0.0)

    weights = weigh([*samples, doubtful, sure])

    assert weights[-2:] == [0.0, 20.0]


def test_weights_sum_up_to_the_unanswered() -> None:
    samples, _ = population(count=3000, audit=0.1, response=0.8)

    assert sum(weigh(samples)) == pytest.approx(sum(not one.answered for one in samples))


def test_predictions_that_were_not_uploaded_are_represented_by_copies() -> None:
    """Only a quarter of the untouched rest was uploaded; each of it counts four times."""
    off = 0.0
    for seed in range(40):
        samples, truth = population(seed=seed, count=1200)
        dice = random.Random(seed)
        kept = [
            replace(one, copies=1.0 if one.audited or one.answered else 4.0)
            for one in samples
            if one.audited or one.answered or dice.random() < 0.25
        ]
        off += (estimate_agreement(kept).value or 0) - truth

    assert abs(off / 40) < 0.006


def test_a_part_is_estimated_with_the_weights_of_the_whole() -> None:
    samples, _ = population(count=2000, audit=0.3)
    weights = weigh(samples)
    parts = [[place for place in range(2000) if place % 2 == side] for side in (0, 1)]

    halves = [estimate_of([samples[p] for p in part], [weights[p] for p in part]) for part in parts]

    whole = estimate_of(samples, weights)
    assert sum(half.value or 0 for half in halves) / 2 == pytest.approx(whole.value, abs=0.02)
    assert sum(half.population for half in halves) == 2000


def test_the_order_of_the_predictions_does_not_matter() -> None:
    samples, _ = population()
    shuffled = random.Random(1).sample(samples, len(samples))

    assert estimate_agreement(shuffled).value == pytest.approx(estimate_agreement(samples).value)


def pairs(count: int, gain: float, seed: int = 0) -> tuple[list[tuple[Sample, Sample]], float]:
    """A challenger that is right on a share ``gain`` of the champion's errors; and the true difference."""
    dice = random.Random(seed)
    champions, _ = population(count, seed, audit=0.3)
    found, better = [], 0
    for one in champions:
        wrong = dice.random() < one.doubt
        healed = wrong and dice.random() < gain
        better += healed
        if one.answered:
            found.append((replace(one, error=float(wrong and not healed)), replace(one, error=float(wrong))))
        else:
            found.append((one, one))
    return found, better / count


def test_a_challenger_is_compared_on_shared_assets() -> None:
    inside = 0
    for seed in range(60):
        found, truth = pairs(500, 0.5, seed)
        result = compare(found)
        inside += result.low <= truth <= result.high

    assert inside >= 55


def test_a_clear_difference_is_decided_and_none_is_not() -> None:
    better, _ = pairs(1500, 0.9)
    same, _ = pairs(1500, 0.0)

    assert compare(better).decided
    assert compare(better).only_first > 0
    assert not compare(same).decided
    assert compare(same).value == 0.0


def test_a_difference_without_audits_is_unknown() -> None:
    found = compare([(sample(1, error=0.0), sample(1, error=1.0)), (sample(2), sample(2))])

    assert found.value is None
    assert (found.low, found.high) == (0.0, 1.0)
