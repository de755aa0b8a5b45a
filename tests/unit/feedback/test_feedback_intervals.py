"""Score intervals: their defining property, published figures, coverage."""

from __future__ import annotations

import random
from math import comb, log, sqrt

import pytest

from worker.statistics.estimator import tango, wilson, wilson_of_rare


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # R. Newcombe, Stat. Med. 17 (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_figures(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits / n, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_without_trials_nothing_is_known() -> None:
    assert wilson(0.5, 0) == (0.0, 1.0)
    assert tango(0, 0, 0) == (-1.0, 1.0)


def test_an_interval_narrows_with_its_level() -> None:
    low, high = wilson(0.3, 50, level=0.8)
    wide_low, wide_high = wilson(0.3, 50, level=0.99)

    assert wide_low < low < 0.3 < high < wide_high


def test_no_hits_leave_nothing_excluded_at_the_bottom() -> None:
    assert wilson_of_rare(0.1, 20, 0)[0] == 0.0


def coverage(interval, p: float, n: int) -> float:
    inside = 0.0
    for hits in range(n + 1):
        low, high = interval(hits, n)
        inside += comb(n, hits) * p**hits * (1 - p) ** (n - hits) * (low <= p <= high)
    return inside


def test_rare_hits_are_covered_where_plain_wilson_is_not() -> None:
    """At p just below the lower bound of one hit, the plain interval misses every sample that has one."""
    p, n = 0.0028, 60

    assert coverage(lambda hits, n: wilson(hits / n, n), p, n) < 0.88
    assert coverage(lambda hits, n: wilson_of_rare(hits / n, n, hits), p, n) > 0.94


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(12, 5, 60), (1, 0, 40), (0, 7, 30), (3, 3, 25)])
def test_tango_bounds_are_where_the_score_reaches_the_quantile(only_a: int, only_b: int, n: int) -> None:
    """The score computed anew, with the nuisance share found by maximising the likelihood on a fine grid."""

    def score(delta: float) -> float:
        def likelihood(share: float) -> float:
            a, b, rest = share + delta, share, 1 - 2 * share - delta
            parts = ((only_a, a), (only_b, b), (n - only_a - only_b, rest))
            return sum(count * log(value) for count, value in parts if count)

        low, high = max(1e-9, -delta + 1e-9), (1 - delta) / 2 - 1e-9
        best = max((low + (high - low) * step / 20_000 for step in range(20_001)), key=likelihood)
        return (only_a - only_b - n * delta) / sqrt(n * (2 * best + delta * (1 - delta)))

    low, high = tango(only_a, only_b, n)

    assert score(low) == pytest.approx(1.95996, abs=0.01)
    assert score(high) == pytest.approx(-1.95996, abs=0.01)


def test_tango_is_antisymmetric_and_includes_no_difference_when_there_is_none() -> None:
    low, high = tango(4, 9, 50)

    assert tango(9, 4, 50) == (pytest.approx(-high), pytest.approx(-low))
    assert tango(0, 0, 20) == (pytest.approx(-0.1611, abs=1e-3), pytest.approx(0.1611, abs=1e-3))


def test_tango_covers_as_often_as_it_says() -> None:
    dice = random.Random(4)
    covered = 0
    for _ in range(1500):
        throws = [dice.random() for _ in range(60)]
        low, high = tango(sum(one < 0.12 for one in throws), sum(0.12 <= one < 0.17 for one in throws), 60)
        covered += low <= 0.07 <= high

    assert 0.935 < covered / 1500 < 0.97
