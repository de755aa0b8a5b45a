"""Intervals for shares: Wilson's, also for few hits, and Tango's for paired differences. Never Wald's."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist

LEVEL = 0.95

_FEW = {0: 0.0, 1: 0.0513, 2: 0.178, 3: 0.273}
"""Lower bounds of a Poisson mean as shares of 0 to 3 hits: half the 5 % quantile of chi squared over the hits."""


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of a share seen in ``n`` trials, which need not be a whole number.

    ``(p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)`` (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927).
    Without trials nothing is known: (0, 1).
    """
    if n <= 0:
        return 0.0, 1.0
    z = _quantile(level)
    middle = share + z * z / (2 * n)
    spread = z * sqrt(max(0.0, share * (1 - share)) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def wilson_of_rare(share: float, n: float, hits: int, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's interval with the lower bound of a Poisson mean for at most three hits.

    Source: L. D. Brown, T. T. Cai, A. DasGupta, Interval estimation for a binomial proportion (Stat. Sci. 16, 2001),
    the modified Wilson interval; ``hits`` is how many trials contributed to the share at all.
    """
    low, high = wilson(share, n, level)
    return (min(low, share * _FEW[hits]) if hits in _FEW else low), high


def tango(only_a: float, only_b: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of a difference of paired shares, ``(only_a - only_b) / n``.

    ``only_a`` of ``n`` pairs are hits for a alone, ``only_b`` for b alone (T. Tango, Stat. Med. 17, 1998). The bounds
    are the differences at which the score statistic equals the normal quantile.
    """
    if n <= 0:
        return -1.0, 1.0
    z = _quantile(level)
    estimate = (only_a - only_b) / n
    low = _root(lambda delta: _tango_score(only_a, only_b, n, delta) - z, -1.0, estimate)
    high = _root(lambda delta: _tango_score(only_a, only_b, n, delta) + z, estimate, 1.0)
    return low, high


def _tango_score(only_a: float, only_b: float, n: float, delta: float) -> float:
    """Standardised distance of the counts from a difference ``delta``; falls as ``delta`` grows."""
    gap = only_a - only_b - n * delta
    linear = -only_a - only_b + (2 * n - only_a + only_b) * delta
    constant = -only_b * delta * (1 - delta)
    share_b = (sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * share_b + delta * (1 - delta))
    if variance <= 0:
        return 0.0 if gap == 0 else float("inf") if gap > 0 else float("-inf")
    return gap / sqrt(variance)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0, or the end that is nearer to it."""
    if function(low) <= 0:
        return low
    if function(high) >= 0:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)
