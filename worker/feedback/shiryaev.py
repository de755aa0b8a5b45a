"""The arithmetic of the Shiryaev-Roberts detectors: capitals of bets, and sums to bet against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import fsum, log, sqrt

FACTORS = (0.5, 1.0, 2.0)
"""By how much of the level the error rate is bet to have risen."""

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


@dataclass(slots=True)
class Bets:
    """Capitals of bets that run side by side, and since when each of them has been winning.

    ``R <- (1 + R) g`` for the gain ``g`` of each prediction; the procedure stops when the mean of the capitals reaches
    a threshold, which is then a lower bound of the mean run to a false alarm. Beside each capital runs
    ``S <- max(0, S + log g)`` (E. Page's CUSUM, 1954): the last time it left 0 tells when the trouble began.
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
        """Bet against a level with ``lambda = c m / (variance + (c m)²)``: nearly the fastest growth of log capital."""
        self.level = level
        rises = [factor * level for factor in FACTORS]
        self.stakes = [min(rise / (variance + rise * rise), 0.9 / level) for rise in rises]

    def play(self, scores: Sequence[float], times: Sequence[float], threshold: float) -> int | None:
        """Bet on scores in a row; the position at which the threshold was reached, or None."""
        if not self.stakes:
            return None
        last = -1
        for position in _hits(scores):
            self._lose(position - last - 1)
            if position < len(scores):
                gains = [1 + stake * (scores[position] - self.level) for stake in self.stakes]
                if self.step(gains, times[position]) >= threshold:
                    return position
            last = position
        return None

    def step(self, gains: Sequence[float], at: float) -> float:
        """Multiply the capitals by the gains of one prediction; their mean."""
        if not self.capitals:
            self.capitals, self.climbs, self.starts = ([0.0] * len(gains) for _ in range(3))
        for index, gain in enumerate(gains):
            self.capitals[index] = (1 + self.capitals[index]) * gain
            if self.climbs[index] == 0:
                self.starts[index] = at
            self.climbs[index] = max(0.0, self.climbs[index] + log(gain)) if gain > 0 else 0.0
        return fsum(self.capitals) / len(self.capitals)

    def rearm(self) -> None:
        """Begin to bet again, against the same level: the last alarm was a false one."""
        self.capitals, self.climbs, self.starts = [], [], []

    def _lose(self, count: int) -> None:
        """Take ``count`` predictions with a score of 0 at once: a geometric series."""
        if not count or not self.capitals:
            return
        for index, stake in enumerate(self.stakes):
            gain = 1 - stake * self.level
            shrunk = gain**count
            self.capitals[index] = self.capitals[index] * shrunk + gain * (1 - shrunk) / (1 - gain)
            self.climbs[index] = max(0.0, self.climbs[index] + count * log(gain))


def _hits(scores: Sequence[float]) -> Iterator[int]:
    """Positions of the scores above 0, and the end."""
    yield from (position for position, score in enumerate(scores) if score > 0)
    yield len(scores)
