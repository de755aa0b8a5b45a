"""What the drift detectors reckon with: time cut into windows of predictions, and bets on the scores of these.

The bets are those of the Shiryaev-Roberts detectors: capitals that run side by side, and sums to bet against.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import fsum, inf, sqrt

from worker.statistics.samples import Sample, base_weights

WINDOW_SAMPLES = 250

DISPLACED = 0.02
"""Share of a window that may belong to a later one by the time of prediction; else it is made longer.

Kili gets the predictions that need a review first, so the first part of a backlog is no fair sample of it.
"""

SWING = 8.0
"""How far below 0 the score of an audit without an error may fall: the further, the better P(error) is made use of."""

_MARGIN = 1.5
"""Weights may be that much greater than the mean response says, where responses differ by doubt."""

_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class Window:
    """Predictions that follow each other in time.

    Attributes:
        units: in their order.
        weights: for each unit, how many unanswered ones it stands for: unbiased, not scaled.
        scores: the model's own confidences, where known.
        closed: whether no answer is waited for any more, so that the answers may be counted.
    """

    samples: Sequence[Sample]
    weights: Sequence[float]
    scores: Sequence[float]
    closed: bool

    @property
    def audits(self) -> int:
        """Answered audits."""
        return sum(sample.audited and sample.answered for sample in self.samples)

    @property
    def counts(self) -> bool:
        """Whether its answers say something of all its units: not when every audit went without an answer."""
        return self.audits > 0 or not any(sample.audited for sample in self.samples)


SETTLING_SECONDS = 600.0
"""After so long Kili has what was sent together with a prediction, unless there is a backlog."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long answers are waited for: those to predictions taken before these times no longer (Unix seconds).

    Attributes:
        audits: for audits.
        asked: for other reviews that were asked for.
        settled: what Kili took since then may lack what was sent together with it.
    """

    audits: float
    asked: float
    settled: float = inf

    @classmethod
    def at(cls, now: float, audit_sla: float, settling: float = SETTLING_SECONDS) -> Patience:
        """As usual: audits until they are overdue, other reviews a third of that time."""
        return cls(now - audit_sla, now - audit_sla / 3, now - settling)

    def waits(self, sample: Sample) -> bool:
        """Whether an answer is still waited for."""
        if sample.answered or not (sample.audited or sample.asked):
            return False
        return sample.place[0] >= (self.audits if sample.audited else self.asked)


def displaced(times: Sequence[float]) -> list[int]:
    """For each number of first ones, how many of them would not be among so many in the order of their times.

    ``times`` are those of predictions, in the order in which Kili took them.
    """
    order = sorted(range(len(times)), key=lambda place: times[place])
    rank = [0] * len(times)
    for number, place in enumerate(order):
        rank[place] = number
    found, fitting = [0], 0
    for last in range(len(times)):
        fitting += (rank[last] <= last) + (order[last] < last)
        found.append(last + 1 - fitting)
    return found


def window_end(strangers: Sequence[int], start: int, size: int) -> int | None:
    """Where the first window from ``start`` on ends that has the size, and few that belong to a later one.

    It takes with it what brings their number down further, so a backlog is in one window. ``strangers`` comes from
    :func:`displaced`; None where no such window is complete.
    """
    ends = range(start + size, len(strangers))
    end = next((end for end in ends if strangers[end] <= DISPLACED * (end - start)), None)
    while end is not None and end + 1 < len(strangers) and strangers[end + 1] < strangers[end]:
        end += 1
    return end


def windows_of(
    samples: Iterable[tuple[Sample, float | None]], *, overdue_before: float, size: int = WINDOW_SAMPLES
) -> list[Window]:
    """Cut units, each with the model's own confidence, into full windows; the rest waits for more.

    Reviews of predictions that came before ``overdue_before`` (seconds since the epoch) are no longer waited for.
    """
    ordered = sorted(samples, key=lambda pair: pair[0].place)
    starts = range(0, len(ordered) - size + 1, size)
    return [window_of(ordered[start : start + size], Patience(overdue_before, overdue_before)) for start in starts]


def window_of(pairs: Sequence[tuple[Sample, float | None]], patience: Patience, *, weighed: bool = True) -> Window:
    """One window of units in their order; weights only if they are needed, they take the most time."""
    samples = [sample for sample, _ in pairs]
    scores = [score for _, score in pairs if score is not None]
    return Window(
        samples, base_weights(samples) if weighed else (), scores, closed=not any(map(patience.waits, samples))
    )


def error_scores(window: Window) -> tuple[list[float], float]:
    """Scores whose mean is the error rate of the traffic, whoever was reviewed; and how far below 0 they may fall.

    ``Z = P + (1 + w)(error - P)`` when answered, else ``P``: the difference estimator, prediction by prediction. ``P``
    is the stored P(error), but at most ``SWING / w`` for the weight ``w`` that an audit of it would have, whether or
    not it was one; 0 where none was stored. The bound depends on nothing that the draw or the answers say.
    """
    audits = sum(sample.audited for sample in window.samples)
    response = window.audits / audits if audits else 1.0
    odds = [sample.inclusion * response / max(_NOTHING, 1 - sample.inclusion) for sample in window.samples]
    expected = [min(sample.p_error or 0.0, SWING * one) for sample, one in zip(window.samples, odds, strict=True)]
    floor = _MARGIN * max((p / one for p, one in zip(expected, odds, strict=True) if one > 0), default=0.0)
    scores = [
        p if sample.error is None else max(-floor, p + (1 + weight) * (sample.error - p))
        for sample, weight, p in zip(window.samples, window.weights, expected, strict=True)
    ]
    return scores, floor


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
