"""The arithmetic of the Shiryaev-Roberts detectors: capitals of bets, and sums to bet against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import fsum, sqrt

RISES = ((1.0, 0.1), (3.0, 0.15))
"""What the error rate is bet to have risen by: a factor of the level, but hardly more than so much (harmonic sum)."""

GUARD = 0.8416
"""Standard normal quantile of the upper bound that stands for the level: 80 %."""


@dataclass(slots=True)
class Sums:
    """Count, sum and sum of squares of scores, and the audits among them."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    audits: int = 0

    def add(self, scores: Sequence[float], audits: int) -> None:
        """Take in the scores of a window."""
        self.count += len(scores)
        self.total += fsum(scores)
        self.squares += fsum(score * score for score in scores)
        self.audits += audits

    def merge(self, other: Sums) -> None:
        """Take in another's."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.audits += other.audits

    def guarded(self) -> tuple[float, float]:
        """Return the upper bound of the mean, and the variance; half an error of the usual size is added before."""
        usual = self.squares / self.total if self.total > 0 else 1.0
        mean = (self.total + 0.5 * usual) / self.count
        variance = max((self.squares + 0.5 * usual * usual) / self.count - mean * mean, 1e-12)
        return mean + GUARD * sqrt(variance / self.count), variance

    def upper(self) -> float:
        """The upper bound of the mean, of scores of either sign."""
        mean = self.total / self.count
        return mean + GUARD * sqrt(max(self.squares / self.count - mean * mean, 0.0) / self.count)


@dataclass(slots=True)
class Bets:
    """Capitals of bets that run side by side, and since when each of them has been winning.

    ``R <- (1 + R) g`` for the gain ``g`` of each prediction; the procedure stops when the mean of the capitals reaches
    a threshold, which is then a lower bound of the mean run to a false alarm. Beside each capital runs
    ``S <- max(1, S g)`` (E. Page's CUSUM, 1954): the last time it left 1 tells when the trouble began.
    """

    level: float = 0.0
    stakes: list[float] = field(default_factory=list)
    capitals: list[float] = field(default_factory=list)
    climbs: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    @property
    def since(self) -> float:
        """When the climb of the strongest bet began, seconds since the epoch."""
        return max(zip(self.climbs, self.starts, strict=True), default=(0.0, 0.0))[1]

    def set_odds(self, level: float, variance: float) -> None:
        """Bet against a level with ``lambda = r / (variance + r²)``: nearly the fastest growth after a rise of r."""
        self.level = level
        rises = [1 / (1 / (factor * level) + 1 / most) for factor, most in RISES]
        self.stakes = [rise / (variance + rise * rise) for rise in rises]

    def play(self, scores: Sequence[float], times: Sequence[float], threshold: float, floor: float = 0.0) -> int | None:
        """Bet on scores in a row; the position at which the threshold was reached, or None.

        No score may be below ``-floor``: stakes are such that a tenth of a capital is left at worst.
        """
        if not self.stakes or not scores:
            return None
        stakes = [min(stake, 0.9 / (self.level + floor)) for stake in self.stakes]
        gains = [[1 + stake * (score - self.level) for score in scores] for stake in stakes]
        return self.run(gains, times, threshold)

    def run(self, gains: Sequence[Sequence[float]], times: Sequence[float], threshold: float) -> int | None:
        """Multiply the capitals by gains, of each bet one for each prediction; see ``play``."""
        if not self.capitals:
            self.capitals, self.climbs, self.starts = ([one] * len(gains) for one in (0.0, 1.0, 0.0))
        paths = [
            list(accumulate(row, _grown, initial=capital))[1:]
            for row, capital in zip(gains, self.capitals, strict=True)
        ]
        wanted = threshold * len(gains)
        hit = next((place for place, sums in enumerate(map(sum, zip(*paths, strict=True))) if sums >= wanted), None)
        end = len(times) if hit is None else hit + 1
        for bet, row in enumerate(gains):
            self.capitals[bet] = paths[bet][end - 1]
            self._climb(bet, row[:end], times)
        return hit

    def _climb(self, bet: int, gains: Sequence[float], times: Sequence[float]) -> None:
        climb, start = self.climbs[bet], self.starts[bet]
        for gain, at in zip(gains, times, strict=False):
            if climb == 1:
                start = at
            climb *= gain
            if climb < 1:
                climb = 1.0
        self.climbs[bet], self.starts[bet] = climb, start

    def rearm(self) -> None:
        """Begin to bet again, against the same level: the last alarm was a false one."""
        self.capitals, self.climbs, self.starts = [], [], []


def _grown(capital: float, gain: float) -> float:
    return (1 + capital) * gain
