"""Where a score lies among the scores of the same model."""

from __future__ import annotations

import random

import pytest

from worker.review.histogram import EPOCH, HIGH, JUMP, KEPT_EPOCHS, LOW, Histogram, stale_fields


def scores(count: int, mean: float = -4.0, spread: float = 2.0, seed: int = 3) -> list[float]:
    source = random.Random(seed)
    return [source.gauss(mean, spread) for _ in range(count)]


def in_batches(histogram: Histogram, values: list[float], size: int = 100) -> Histogram:
    for start in range(0, len(values), size):
        histogram.observe(values[start : start + size])
    return histogram


def test_the_rank_of_a_score_is_right_within_half_a_percent() -> None:
    values = scores(EPOCH - 1)
    histogram = in_batches(Histogram(), values)
    ordered = sorted(values)

    errors = [abs(histogram.percentile(value) - rank / len(values)) for rank, value in enumerate(ordered)]

    assert max(errors) < 0.02
    assert sum(errors) / len(errors) < 0.005


def test_a_percentile_grows_with_the_score_and_stays_within_bounds() -> None:
    histogram = in_batches(Histogram(), scores(500))

    found = [histogram.percentile(position) for position in (-100.0, LOW, -8.0, -4.0, -1.0, HIGH, 100.0)]

    assert found == sorted(found)
    assert found[0] > 0
    assert found[-1] < 1


def test_before_any_score_everything_is_in_the_middle() -> None:
    histogram = Histogram()

    assert histogram.percentile(-20.0) == histogram.percentile(5.0) == 0.5


def test_a_quantile_is_the_inverse_of_a_percentile() -> None:
    histogram = in_batches(Histogram(), scores(900))

    for share in (0.05, 0.5, 0.9, 0.99):
        assert histogram.percentile(histogram.quantile(share)) == pytest.approx(share, abs=0.01)


def test_mean_and_spread_are_those_of_the_scores() -> None:
    histogram = in_batches(Histogram(), scores(EPOCH - 1, mean=-5.0, spread=1.5))

    assert histogram.mean == pytest.approx(-5.0, abs=0.2)
    assert histogram.spread == pytest.approx((1.5**2 + 0.25) ** 0.5, abs=0.1)


def test_what_is_old_is_forgotten() -> None:
    histogram = in_batches(Histogram(), scores(EPOCH, mean=-8.0, spread=0.5))
    slowly_higher = [(-8.0 + 4.0 * i / (6 * EPOCH)) for i in range(6 * EPOCH)]
    in_batches(histogram, slowly_higher)

    assert histogram.weight < 2.1 * EPOCH
    assert histogram.percentile(-6.5) < 0.1


def test_a_shifted_distribution_is_noticed_at_once() -> None:
    histogram = in_batches(Histogram(), scores(800, mean=-4.0))

    histogram.observe(scores(100, mean=-9.0, seed=5))

    assert histogram.jumps == 1
    assert histogram.percentile(-9.0) > 0.2


def test_the_same_distribution_is_no_shift() -> None:
    histogram = in_batches(Histogram(), scores(5000))

    assert histogram.jumps == 0


def test_counts_of_two_processes_add_up_to_those_of_one() -> None:
    values = scores(600)
    alone = in_batches(Histogram(), values)
    shared: dict[str, int] = {}
    for part in (values[:300], values[300:]):
        for name, count in in_batches(Histogram(), part).take_pending().items():
            shared[name] = shared.get(name, 0) + count

    together = Histogram.from_counts(shared)

    assert together.bins == alone.bins
    assert together.seen == alone.seen
    assert together.mean == pytest.approx(alone.mean)


def test_a_histogram_rebuilt_from_its_counts_has_forgotten_as_much() -> None:
    histogram = in_batches(Histogram(), scores(3 * EPOCH + 10))
    histogram.observe(scores(100, mean=4.0))

    rebuilt = Histogram.from_counts(histogram.take_pending())

    assert rebuilt.bins == pytest.approx(histogram.bins)
    assert rebuilt.epoch == histogram.epoch == 3 + JUMP


def test_fields_that_count_no_more_are_named() -> None:
    assert stale_fields(["seen", "jumps", "0:7", "1:7", "13:7"], epoch=KEPT_EPOCHS + 1) == ["0:7"]


def test_several_scores_are_placed_as_each_of_them_alone() -> None:
    dice = random.Random(4)
    histogram = Histogram()
    for size in (1, 7, 400, 1300):
        histogram.observe([dice.gauss(-3, 2) for _ in range(size)])
    positions = [-1e9, LOW, *(dice.gauss(-3, 4) for _ in range(200)), HIGH, 1e9]
    assert histogram.percentiles(positions) == [histogram.percentile(one) for one in positions]
    assert histogram.deviations(positions) == [histogram.deviation(one) for one in positions]


def test_scores_that_come_together_count_as_those_that_come_one_by_one() -> None:
    dice = random.Random(5)
    together, single = Histogram(), Histogram()
    positions = [dice.gauss(-3, 2) for _ in range(2_500)]
    for begun in range(0, len(positions), 40):  # fewer than are compared at once
        together.observe(positions[begun : begun + 40])
        for one in positions[begun : begun + 40]:
            single.observe([one])
    assert (together.seen, together.epoch, together.weight) == (single.seen, single.epoch, single.weight)
    assert together.bins == pytest.approx(single.bins)
    assert together.mean == pytest.approx(single.mean)
