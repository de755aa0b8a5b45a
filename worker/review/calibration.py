"""From a percentile to the probability of an error, with as many verdicts as there are, and how that is fitted.

A logistic regression by maximum a posteriori:

    log odds of an error = a + b · logit(percentile) + c · deviation + d[class] + e[runner-up]

The prior says what is known without a verdict: b is about 1 (the percentile orders), c, d and e are about 0. Each
verdict moves it as far as the data say, so there is no moment at which one rule replaces another.

The verdicts of assets that were chosen by their score are used as they are, unweighted: the choice depends on the
regressors alone, which leaves the regression consistent.

Newton steps, in turn on (a, b, c) together and on every class alone, which the logistic loss allows because the classes
of one kind share no example: block coordinate descent on a strictly convex function. Plain Python; 2,000 examples take
some 50 ms, and that is the most there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import exp
from operator import mul
from typing import Any

import msgspec

from worker.review.expected_errors import STRATA

PERCENTILE_LIMIT = 1e-5
"""Percentiles nearer to 0 or 1 are taken as this far away."""

_INTERCEPT, _SLOPE = -2.5, 1.0


class Features(msgspec.Struct, frozen=True, gc=False):
    """What the calibration looks at; ``percentile`` and ``deviation`` are None for a prediction without a score."""

    percentile: float | None
    deviation: float | None
    predicted: str
    runner_up: str = ""

    @property
    def numbers(self) -> tuple[float, float]:
        """logit(percentile) and the deviation; (0, 0) without a score."""
        if self.percentile is None:
            return 0.0, 0.0
        share = min(max(self.percentile, PERCENTILE_LIMIT), 1 - PERCENTILE_LIMIT)
        return math.log(share / (1 - share)), self.deviation or 0.0


@dataclass(frozen=True, slots=True)
class Example:
    """A prediction and the verdict on it: ``wrong`` is 0 (right) to 1 (wrong)."""

    features: Features
    wrong: float

    def to_list(self) -> list[Any]:
        """For JSON."""
        one = self.features
        return [one.percentile, one.deviation, one.predicted, one.runner_up, self.wrong]

    @classmethod
    def from_list(cls, row: Sequence[Any]) -> Example:
        """Read what ``to_list`` wrote."""
        percentile, deviation, predicted, runner_up, wrong = row
        return cls(Features(percentile, deviation, predicted, runner_up), wrong)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients of one model version; without verdicts those of the prior. ``examples`` counts the verdicts."""

    numbers: tuple[float, float, float] = (_INTERCEPT, _SLOPE, 0.0)
    classes: Mapping[str, float] = field(default_factory=dict)
    runners: Mapping[str, float] = field(default_factory=dict)
    examples: int = 0

    def log_odds(self, features: Features) -> float:
        """Logarithm of the odds of an error."""
        logit, deviation = features.numbers
        a, b, c = self.numbers
        known = self.classes.get(features.predicted, 0.0) + self.runners.get(features.runner_up, 0.0)
        return a + b * logit + c * deviation + known

    def error_probability(self, features: Features) -> float:
        """Probability, in (0, 1), that a human would find an error."""
        return probability(self.log_odds(features))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Calibration:
        """Read what ``to_dict`` wrote."""
        return cls(tuple(found["numbers"]), found["classes"], found["runners"], found["examples"])


def probability(log_odds: float) -> float:
    """The logistic function, kept within (0, 1)."""
    return 1 / (1 + math.exp(-min(max(log_odds, -30.0), 30.0)))


KEPT_EXAMPLES = 2000
"""The newest examples per model version; older ones are let go, which bounds the cost of a fit."""

HALF_LIFE = 1000
"""Examples after which an older one counts half."""

SWEEPS = 12
"""Most rounds of a fit."""

TOLERANCE = 1e-3
"""A fit ends when no coefficient moves further."""

_PRECISIONS = (1.5, 15.0, 15.0)
_INHERITED_PRECISIONS = (2.0, 15.0, 15.0)
_CLASS_PRECISION, _RUNNER_PRECISION, _STRATUM_PRECISION = 3.0, 5.0, 0.5
_LONGEST_STEP = 2.0

_Precision = Callable[[str], float]

_Slopes = tuple[list[float], list[float]]
"""First and second derivative of the loss by the log odds of each example."""


def fit(
    examples: Sequence[Example], start: Calibration | None = None, inherited: Calibration | None = None
) -> Calibration:
    """Fit to the newest examples, oldest first.

    Args:
        examples: verdicts of one model version; only the last ``KEPT_EXAMPLES`` count.
        start: an earlier fit to begin from; it changes the cost, not the result.
        inherited: the fit of the model's previous version, as prior instead of the general one.
    """
    return _Fit(examples[-KEPT_EXAMPLES:], start or inherited or Calibration(), inherited).run()


class _Fit:
    """One fit; ``log_odds`` holds the current log odds of every example."""

    def __init__(self, examples: Sequence[Example], start: Calibration, inherited: Calibration | None) -> None:
        self.prior = inherited or Calibration()
        self.precisions = _INHERITED_PRECISIONS if inherited else _PRECISIONS
        self.wrong = [one.wrong for one in examples]
        self.weights = [0.5 ** (age / HALF_LIFE) for age in range(len(examples) - 1, -1, -1)]
        rows = [one.features.numbers for one in examples]
        self.xs, self.ys = [x for x, _ in rows], [y for _, y in rows]
        self.numbers = list(start.numbers)
        features = [one.features for one in examples]
        self.classes = _Effects([one.predicted for one in features], start.classes, self.prior.classes, _class)
        self.runners = _Effects([one.runner_up for one in features], start.runners, self.prior.runners, _runner)
        begin = Calibration(start.numbers, self.classes.values, self.runners.values)
        self.log_odds = [begin.log_odds(one) for one in features]

    def run(self) -> Calibration:
        """Sweep until nothing moves."""
        for _ in range(SWEEPS):
            moved = max(self._move_numbers(), self._move(self.classes), self._move(self.runners))
            if moved < TOLERANCE:
                break
        a, b, c = self.numbers
        return Calibration((a, b, c), self.classes.values, self.runners.values, len(self.wrong))

    def _slopes(self) -> _Slopes:
        chances = [1 / (1 + exp(-z)) if -30 < z < 30 else probability(z) for z in self.log_odds]
        first = [weight * (p - wrong) for p, wrong, weight in zip(chances, self.wrong, self.weights, strict=True)]
        return first, [weight * p * (1 - p) for p, weight in zip(chances, self.weights, strict=True)]

    def _move_numbers(self) -> float:
        deltas = [value - prior for value, prior in zip(self.numbers, self.prior.numbers, strict=True)]
        g = [precision * delta for precision, delta in zip(self.precisions, deltas, strict=True)]
        first, second = self._slopes()
        by_x, by_y = list(map(mul, second, self.xs)), list(map(mul, second, self.ys))
        g = [g[0] + sum(first), g[1] + sum(map(mul, first, self.xs)), g[2] + sum(map(mul, first, self.ys))]
        h00, h11, h22 = self.precisions
        h00, h01, h02 = h00 + sum(second), sum(by_x), sum(by_y)
        h11, h12, h22 = (
            h11 + sum(map(mul, by_x, self.xs)),
            sum(map(mul, by_x, self.ys)),
            h22 + sum(map(mul, by_y, self.ys)),
        )
        step = _solve((h00, h01, h02, h11, h12, h22), (g[0], g[1], g[2]))
        longest = max(abs(one) for one in step)
        scale = min(1.0, _LONGEST_STEP / longest) if longest else 1.0
        a, b, c = (scale * one for one in step)
        self.numbers = [self.numbers[0] - a, self.numbers[1] - b, self.numbers[2] - c]
        self.log_odds = [z - a - b * x - c * y for z, x, y in zip(self.log_odds, self.xs, self.ys, strict=True)]
        return scale * longest

    def _move(self, effects: _Effects) -> float:
        self.numbers[0] -= effects.take_over(self.numbers[0] - self.prior.numbers[0], self.precisions[0])
        moves = effects.moves(*self._slopes())
        self.log_odds = [z + moves[place] for z, place in zip(self.log_odds, effects.places, strict=True)]
        return max(map(abs, moves), default=0.0)


class _Effects:
    """The coefficients of one kind of label (classes or runners-up).

    ``places`` has the number in ``labels`` of each example's label.
    """

    def __init__(
        self, labels: list[str], start: Mapping[str, float], prior: Mapping[str, float], precision: _Precision
    ) -> None:
        self.labels = list(dict.fromkeys(labels))
        numbers = {label: place for place, label in enumerate(self.labels)}
        self.places = [numbers[label] for label in labels]
        self.prior = prior
        self.precision = precision
        self.values = {**prior, **start}

    def moves(self, first: Sequence[float], second: Sequence[float]) -> list[float]:
        """Take one Newton step for every label, and tell how far each went."""
        gradients, curvatures = [0.0] * len(self.labels), [0.0] * len(self.labels)
        for place, slope, curvature in zip(self.places, first, second, strict=True):
            gradients[place] += slope
            curvatures[place] += curvature
        return [self._move(*one) for one in zip(self.labels, gradients, curvatures, strict=True)]

    def take_over(self, excess: float, precision: float) -> float:
        """Take what suits the priors best out of the intercept and into all labels, which changes no log odds.

        Steps one by one along this valley would be many.
        """
        precisions = [self.precision(label) for label in self.labels]
        if math.inf in precisions:
            return 0.0
        deltas = [self.values.get(label, 0.0) - self.prior.get(label, 0.0) for label in self.labels]
        taken: float = (precision * excess - sum(map(mul, precisions, deltas))) / (precision + sum(precisions))
        for label in self.labels:
            self.values[label] = self.values.get(label, 0.0) + taken
        return taken

    def _move(self, label: str, gradient: float, curvature: float) -> float:
        precision = self.precision(label)
        if math.isinf(precision):
            return 0.0
        value = self.values.get(label, 0.0)
        gradient += precision * (value - self.prior.get(label, 0.0))
        move = -gradient / (curvature + precision)
        move = min(max(move, -_LONGEST_STEP), _LONGEST_STEP)
        self.values[label] = value + move
        return move


def _class(label: str) -> float:
    """A stratum such as "nothing found" is no class like the others: its own rate counts soon."""
    return _STRATUM_PRECISION if label in STRATA else _CLASS_PRECISION


def _runner(label: str) -> float:
    return _RUNNER_PRECISION if label else math.inf


def _solve(
    matrix: tuple[float, float, float, float, float, float], right: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Solve a symmetric positive definite system of three, given by its upper triangle row by row (Cramer's rule)."""
    a, b, c, d, e, f = matrix
    x, y, z = right
    m0, m1, m2 = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * m0 + b * m1 + c * m2
    return (
        (x * m0 + y * m1 + z * m2) / determinant,
        (x * m1 + y * (a * f - c * c) + z * (b * c - a * e)) / determinant,
        (x * m2 + y * (b * c - a * e) + z * (a * d - b * b)) / determinant,
    )
