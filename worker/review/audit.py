"""Which predictions humans check whatever their score: the sample that honest statistics rest on.

The coin is a hash, so it falls the same way for the same prediction whoever throws it, how often, and in which order.
The inclusion probability leans towards predictions whose outcome is open:

    π = τ·a + (1 - τ)·a · g / mean(g),   g = √(P(1 - P)),   at least the floor, at most 1

with the audit rate a. Of the predictions, those whose coin lies below τ·a are a uniform sub-sample at any time.
"""

from __future__ import annotations

import hashlib
import math

_SCALE = 2.0**-64


def coin(salt: str, *names: str) -> float:
    """A number in [0, 1) that looks random and depends on the arguments alone."""
    text = "\x1f".join((salt, *names))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) * _SCALE


def openness(error_probability: float) -> float:
    """Standard deviation of the outcome: √(P(1 - P))."""
    return math.sqrt(error_probability * (1 - error_probability))


def inclusion_probability(
    error_probability: float, mean_openness: float | None, *, rate: float, uniform: float, floor: float
) -> float:
    """Probability of being chosen for the audit sample.

    Args:
        error_probability: calibrated, before any verdict on this prediction.
        mean_openness: over the recent predictions, or None when there were none.
        rate: share of the traffic that is audited, 0 to 1.
        uniform: τ, the part of the rate that does not look at the score; 1 makes a flat sample.
        floor: least inclusion probability, unless the rate is 0.
    """
    if not rate:
        return 0.0
    relative = openness(error_probability) / mean_openness if mean_openness else 1.0
    return min(1.0, max(floor, rate * (uniform + (1 - uniform) * relative)))
