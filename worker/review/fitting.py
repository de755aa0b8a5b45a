"""The fit of a calibration.

Newton steps, in turn on (a, b, c) together and on every class alone, which the logistic loss allows because the classes
of one kind share no example: block coordinate descent on a strictly convex function. Plain Python; 2,000 examples take
some 50 ms, and that is the most there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from worker.review.calibration import Calibration, Example, probability
from worker.review.expected_errors import STRATA

KEPT_EXAMPLES = 2000
"""The newest examples per model version; older ones are let go, which bounds the cost of a fit."""

HALF_LIFE = 1000
"""Examples after which an older one counts half."""

SWEEPS = 12
"""Most rounds of a fit."""

TOLERANCE = 1e-3
"""A fit ends when no coefficient moves further."""

_PRECISIONS = (0.5, 5.0, 5.0)
_INHERITED_PRECISIONS = (2.0, 8.0, 8.0)
_CLASS_PRECISION, _RUNNER_PRECISION, _STRATUM_PRECISION = 4.0, 8.0, 0.5
_LONGEST_STEP = 2.0

_Precision = Callable[[str], float]


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
        self.rows = [one.features.numbers for one in examples]
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

    def _slopes(self) -> Iterable[tuple[float, float]]:
        """First and second derivative of the loss by the log odds of each example."""
        for z, wrong, weight in zip(self.log_odds, self.wrong, self.weights, strict=True):
            p = probability(z)
            yield weight * (p - wrong), weight * p * (1 - p)

    def _move_numbers(self) -> float:
        deltas = [value - prior for value, prior in zip(self.numbers, self.prior.numbers, strict=True)]
        g = [precision * delta for precision, delta in zip(self.precisions, deltas, strict=True)]
        h00, h11, h22 = self.precisions
        h01 = h02 = h12 = 0.0
        for (x, y), (first, second) in zip(self.rows, self._slopes(), strict=True):
            g[0] += first
            g[1] += first * x
            g[2] += first * y
            h00 += second
            h01 += second * x
            h02 += second * y
            h11 += second * x * x
            h12 += second * x * y
            h22 += second * y * y
        step = _solve((h00, h01, h02, h11, h12, h22), (g[0], g[1], g[2]))
        longest = max(abs(one) for one in step)
        scale = min(1.0, _LONGEST_STEP / longest) if longest else 1.0
        a, b, c = (scale * one for one in step)
        self.numbers = [self.numbers[0] - a, self.numbers[1] - b, self.numbers[2] - c]
        self.log_odds = [z - a - b * x - c * y for z, (x, y) in zip(self.log_odds, self.rows, strict=True)]
        return scale * longest

    def _move(self, effects: _Effects) -> float:
        moves = effects.moves(self._slopes())
        self.log_odds = [z + moves[label] for z, label in zip(self.log_odds, effects.labels, strict=True)]
        return max(map(abs, moves.values()), default=0.0)


class _Effects:
    """The coefficients of one kind of label (classes or runners-up)."""

    def __init__(
        self, labels: list[str], start: Mapping[str, float], prior: Mapping[str, float], precision: _Precision
    ) -> None:
        self.labels = labels
        self.prior = prior
        self.precision = precision
        self.values = {**prior, **start}

    def moves(self, slopes: Iterable[tuple[float, float]]) -> dict[str, float]:
        """Take one Newton step for every label, and tell how far each went."""
        gradients: dict[str, float] = {}
        curvatures: dict[str, float] = {}
        for label, (first, second) in zip(self.labels, slopes, strict=True):
            gradients[label] = gradients.get(label, 0.0) + first
            curvatures[label] = curvatures.get(label, 0.0) + second
        return {label: self._move(label, gradient, curvatures[label]) for label, gradient in gradients.items()}

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
