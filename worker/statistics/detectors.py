"""Three drift detectors with three meanings, each of a few numbers of state and one knob.

:class:`AccuracyFell` counts errors over the whole traffic, :class:`WorseThanConfidence` holds the answers against the
stored P(error), :class:`ScoresChanged` looks at the scores alone. The knob is the mean number of predictions between
false alarms. Plain agreement of the reviewed predictions feeds none of them: it moves with the reviewers' capacity.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import exp, fsum, sqrt
from typing import Any, Protocol, Self

from worker.statistics.windows import Bets, Sums, Window, error_scores

RUN_LENGTH = 140_000.0

BLOCK_AUDITS = 25
"""Audits, or answers, that are summed up before they grow old together."""

LEAST_CHANCE = 0.002
"""P(error) below this counts as this: nobody knows better, and a single error is no proof."""


MOST_CHANCE = 0.01
"""Chance of a false alarm that one window may have, however many predictions it holds."""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """An alarm: at which prediction, and since when the trouble seems to last; seconds since the epoch."""

    at: float
    since: float
    position: int


class Detector(Protocol):
    """Looks at windows in the order of time; its state is plain data."""

    name: str
    meaning: str
    run_length: float

    def update(self, window: Window) -> ChangePoint | None:
        """Look at the next window."""
        ...

    def state(self) -> dict[str, Any]:
        """Plain data from which ``restore`` of the class makes the same detector."""
        ...


@dataclass(slots=True)
class AccuracyFell:
    """Bets that errors have become more frequent than they used to be (Shiryaev-Roberts procedure of betting scores).

    The mean of the scores ``Z`` (``error_scores``) is the error rate of the traffic, whoever was reviewed. The capital
    of a bet is ``R <- (1 + R) (1 + lambda (Z - m))``; it rises only when the mean of Z is above ``m``, the upper 80 %
    bound of the mean of everything older than the last 100 audits (of the older half, while there are fewer than 200).
    Two bets: on a small and on a large rise (``RISES``). With a known ``m`` the mean run to a false alarm is at least
    ``run_length`` (J. Shin, A. Ramdas, A. Rinaldo, E-detectors, 2022).
    """

    run_length: float = RUN_LENGTH
    warmup: int = 60
    lag: int = 100
    old: Sums = field(default_factory=Sums)
    recent: list[Sums] = field(default_factory=list)
    bets: Bets = field(default_factory=Bets)
    name = "accuracy_fell"
    meaning = "the model is wrong more often than it used to be"

    def update(self, window: Window) -> ChangePoint | None:
        """Bet on a closed window, then learn from what has grown old enough."""
        if not window.counts:
            return None
        scores, floor = error_scores(window)
        position = self.bets.play(scores, [sample.at for sample in window.samples], self.run_length, floor)
        self._learn(scores, window.audits)
        return _change_point(window, position, self.bets.since)

    def state(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return asdict(self)

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """The detector that ``state`` described."""
        parts = {
            "old": Sums(**state["old"]),
            "recent": [Sums(**part) for part in state["recent"]],
            "bets": Bets(**state["bets"]),
        }
        return cls(**{**state, **parts})

    def _learn(self, scores: Sequence[float], audits: int) -> None:
        """Let the scores grow old; bet against what is old enough, once there are enough audits."""
        total = age(self.old, self.recent, scores, audits, self.lag)
        if self.old.audits and total >= self.warmup:
            self.bets.set_odds(*self.old.guarded())


@dataclass(slots=True)
class WorseThanConfidence:
    """Tests whether the answered predictions are worse than their stored P(error) said.

    The alternatives: a share ``d`` of what would have been right is wrong, ``Q = P + d (1 - P)``, so ``R <- (1 + R) g``
    with ``g = error · Q/P + (1 - error) · (1 - Q)/(1 - P)`` (a risk-adjusted chart as of S. Steiner et al.,
    Biostatistics 1, 2000, in Shiryaev-Roberts form). Which predictions are reviewed does not matter, how many does:
    the threshold is ``run_length`` times the share answered.

    Once its alarm is accepted, the model is known to be worse: ``P`` is then ``P + a (1 - P)``, where ``a`` makes the
    mean of ``P`` the upper 80 % bound of the errors among the answers older than the last ``lag`` (of the older half,
    while there are few); nothing is tested before ``warmup`` answers.
    """

    run_length: float = RUN_LENGTH
    shares: tuple[float, ...] = (0.02, 0.05, 0.1)
    accepting: bool = False
    warmup: int = 100
    lag: int = 100
    seen: int = 0
    answered: int = 0
    right: float = 0.0
    old: Sums = field(default_factory=Sums)
    recent: list[Sums] = field(default_factory=list)
    bets: Bets = field(default_factory=Bets)
    name = "worse_than_confidence"
    meaning = "the model is worse than its confidence says: recalibrate or retrain"

    def update(self, window: Window) -> ChangePoint | None:
        """Test the answered predictions of a closed window."""
        known = [
            (place, sample)
            for place, sample in enumerate(window.samples)
            if sample.answered and sample.p_error is not None
        ]
        self.seen += len(window.samples)
        self.answered += len(known)
        if not known:
            return None
        pairs = [(max(LEAST_CHANCE, sample.p_error or 0.0), sample.error or 0.0) for _, sample in known]
        hit = self._test(pairs, [sample.at for _, sample in known])
        if self.accepting:
            self.right += fsum(1 - p for p, _ in pairs)
            age(self.old, self.recent, [error - p for p, error in pairs], len(pairs), self.lag)
        return None if hit is None else _change_point(window, known[hit][0], self.bets.since)

    def _accepted(self) -> float:
        """The share of what would have been right that is known to be wrong."""
        return min(0.9, max(0.0, self.old.upper() * self.answered / max(self.right, 1e-9)))

    def _test(self, pairs: Sequence[tuple[float, float]], times: Sequence[float]) -> int | None:
        if self.accepting and (not self.old.count or self.answered < self.warmup):
            return None
        accepted = self._accepted() if self.accepting else 0.0
        threshold = max(1.0, self.run_length * self.answered / self.seen)
        known = [(p + accepted * (1 - p), error) for p, error in pairs]
        gains = [[_likelier(p, error, share) for p, error in known] for share in self.shares]
        return self.bets.run(gains, times, threshold)

    def state(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return asdict(self)

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """The detector that ``state`` described."""
        parts = {
            "old": Sums(**state["old"]),
            "recent": [Sums(**part) for part in state["recent"]],
            "bets": Bets(**state["bets"]),
        }
        return cls(**{**state, **parts, "shares": tuple(state["shares"])})


@dataclass(slots=True)
class ScoresChanged:
    """Compares the scores of each window with those of the first ones; needs no answers.

    The two-sample Kolmogorov-Smirnov distance at up to 64 quantiles of the reference; an alarm when its p-value falls
    below window length / ``run_length``. Blind to a model that has become wrong with unchanged confidence.
    """

    run_length: float = RUN_LENGTH
    warmup: int = 1000
    reference: list[float] = field(default_factory=list)
    edges: list[float] = field(default_factory=list)
    below: list[float] = field(default_factory=list)
    size: int = 0
    name = "scores_changed"
    meaning = "the inputs or the model's scores changed; says nothing about right or wrong"

    def update(self, window: Window) -> ChangePoint | None:
        """Compare a window, or take it into the reference."""
        if not window.scores:
            return None
        if not self.edges:
            self._learn(window.scores)
            return None
        ordered, length = sorted(window.scores), len(window.scores)
        shares = [bisect_right(ordered, edge) / length for edge in self.edges]
        distance = max(abs(share - known) for share, known in zip(shares, self.below, strict=True))
        if smirnov(distance, length, self.size) >= min(MOST_CHANCE, len(window.samples) / self.run_length):
            return None
        return _change_point(window, len(window.samples) - 1, window.samples[0].at)

    def state(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return asdict(self)

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """The detector that ``state`` described."""
        return cls(**state)

    def _learn(self, scores: Sequence[float]) -> None:
        self.reference += scores
        if len(self.reference) < self.warmup:
            return
        ordered = sorted(self.reference)
        self.size = len(ordered)
        self.edges = sorted({ordered[(self.size - 1) * part // 64] for part in range(64)})
        self.below = [bisect_right(ordered, edge) / self.size for edge in self.edges]
        self.reference = []


def age(old: Sums, recent: list[Sums], scores: Sequence[float], weight: int, lag: int) -> int:
    """Take scores in, and move to the old ones what is older than the lag, or than half of all while there are few.

    ``weight`` counts as ``Sums.audits`` does; returns the sum of all weights.
    """
    if not recent or recent[-1].audits >= BLOCK_AUDITS:
        recent.append(Sums())
    recent[-1].add(scores, weight)
    total = old.audits + sum(part.audits for part in recent)
    while len(recent) > 1 and sum(part.audits for part in recent[1:]) >= min(lag, total / 2):
        old.merge(recent.pop(0))
    return total


def _likelier(p: float, error: float, share: float) -> float:
    """How much likelier the answer is when a share of what would have been right is wrong."""
    return error * (1 + share * (1 - p) / p) + (1 - error) * (1 - share)


def smirnov(distance: float, n: int, m: int) -> float:
    """p-value of a two-sample Kolmogorov-Smirnov distance, M. Stephens' approximation (1970); ties make it larger."""
    size = sqrt(n * m / (n + m))
    x = (size + 0.12 + 0.11 / size) * distance
    if x < 0.2:
        return 1.0
    return min(1.0, max(0.0, 2 * fsum(_terms(x))))


def _terms(x: float) -> Iterator[float]:
    return ((-1) ** (k - 1) * exp(-2 * k * k * x * x) for k in range(1, 101))


def _change_point(window: Window, position: int | None, since: float) -> ChangePoint | None:
    return None if position is None else ChangePoint(window.samples[position].at, since, position)
