"""From a percentile to the probability of an error, with as many verdicts as there are.

A logistic regression by maximum a posteriori:

    log odds of an error = a + b · logit(percentile) + c · deviation + d[class] + e[runner-up]

The prior says what is known without a verdict: b is about 1 (the percentile orders), c, d and e are about 0. Each
verdict moves it as far as the data say, so there is no moment at which one rule replaces another.

The verdicts of assets that were chosen by their score are used as they are, unweighted: the choice depends on the
regressors alone, which leaves the regression consistent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

PERCENTILE_LIMIT = 1e-5
"""Percentiles nearer to 0 or 1 are taken as this far away."""

_INTERCEPT, _SLOPE = -2.5, 1.0


@dataclass(frozen=True, slots=True)
class Features:
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
