"""The message contract's own short form: ``{"scores": {"RED": 0.61, "BLACK": 0.3}}``."""

from __future__ import annotations

import math
from collections.abc import Mapping

from worker.formats.checks import Path, fail, mapping, number, string
from worker.formats.output import Classification, ClassScore, ModelOutput
from worker.formats.scores import SUM_TOLERANCE, in_range

_AT: Path = ("scores",)


def read_scores(scores: Mapping[str, float], job: str | None = None) -> ModelOutput:
    """Read class probabilities by class name.

    A sum above 1 can only come from independent classes, so the answer is then multi-label (``exclusive`` is
    False) and a single-choice job will refuse it; otherwise the job decides. Raises OutputError for a value
    outside [0, 1], an empty name, or no score at all.
    """
    if not mapping(scores, *_AT):
        fail(_AT, "no scores")
    found = [(_name(label), _probability(label, value)) for label, value in scores.items()]
    total = math.fsum([score for _, score in found])
    exclusive = False if total > 1 + SUM_TOLERANCE else None
    complete = exclusive is None and len(found) > 1 and total >= 1 - SUM_TOLERANCE
    pairs = tuple([ClassScore(*one) for one in found])
    return ModelOutput(Classification(pairs, exclusive=exclusive, complete=complete), job=job)


def _name(label: str) -> str:
    return label if type(label) is str and label.strip() else string(label, *_AT)


def _probability(label: str, value: float) -> float:
    if type(value) is float and 0.0 <= value <= 1.0:
        return value
    return in_range(number(value, *_AT, label), (*_AT, label), "send probabilities between 0 and 1")
