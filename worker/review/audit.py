"""Which predictions humans check whatever their score: the sample that honest statistics rest on.

The draw is a hash, so it is the same for the same prediction in every process, however often and in whichever order.
The inclusion probability leans towards predictions whose outcome is open:

    π = τ·a + (1 - τ)·a · g / mean(g),   g = √(P(1 - P)(1 - d)),   at least the floor, at most 1

with the audit rate a and d, how surely the prediction is reviewed without the draw: what an audit saves of the variance
of an estimate is P(1 - P)(1 - d) / π (J. Neyman's allocation, 1934). Of the predictions, those whose draw lies below
τ·a are a uniform sub-sample at any time.
"""

from __future__ import annotations

import hashlib
import math

_SCALE = 2.0**-64

DONE = 0.9
"""Share of the reviews asked for because of the score that are expected to get done: ``d`` of those asked for."""


def audit_draw(salt: str, *names: str) -> float:
    """A number in [0, 1) that looks random and depends on the arguments alone."""
    text = "\x1f".join((salt, *names))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) * _SCALE


def openness(error_probability: float, *, asked: bool = False) -> float:
    """How much of the outcome stays open without an audit: √(P(1 - P)(1 - d)), ``d`` being 0 unless ``asked`` for."""
    return math.sqrt(error_probability * (1 - error_probability) * (1 - DONE if asked else 1.0))


def inclusion_probability(
    error_probability: float,
    mean_openness: float | None,
    *,
    rate: float,
    uniform: float,
    floor: float,
    asked: bool = False,
) -> float:
    """Probability of being chosen for the audit sample.

    Args:
        error_probability: calibrated, before any verdict on this prediction.
        mean_openness: over the recent predictions, or None when there were none.
        rate: share of the traffic that is audited, 0 to 1.
        uniform: τ, the part of the rate that does not look at the score; 1 makes a flat sample.
        floor: least inclusion probability, unless the rate is 0.
        asked: whether a review is asked for because of the score, whatever the draw says.
    """
    if not rate:
        return 0.0
    relative = openness(error_probability, asked=asked) / mean_openness if mean_openness else 1.0
    return min(1.0, max(floor, rate * (uniform + (1 - uniform) * relative)))
