"""The message contract's own short form: ``{"scores": {"RED": 0.61, "BLACK": 0.3}}``."""

from __future__ import annotations

import math
from collections.abc import Mapping

from worker.formats.checks import Path, fail, mapping, number, string
from worker.formats.options import ReadOptions
from worker.formats.output import ModelOutput
from worker.formats.scores import SUM_TOLERANCE, label_scores

_AT: Path = ("scores",)
_OPEN = ReadOptions()
_INDEPENDENT = ReadOptions(exclusive=False)


def read_scores(scores: Mapping[str, float], job: str | None = None) -> ModelOutput:
    """Read class probabilities by class name.

    A sum above 1 can only come from independent classes, so the answer is then multi-label (``exclusive`` is
    False) and a single-choice job will refuse it; otherwise the job decides. Raises OutputError for a value
    outside [0, 1], an empty name, or no score at all.
    """
    if not mapping(scores, *_AT):
        fail(_AT, "no scores")
    labels = [string(label, *_AT) for label in scores]
    values = [number(value, *_AT, label) for label, value in scores.items()]
    options = _INDEPENDENT if math.fsum(values) > 1 + SUM_TOLERANCE else _OPEN
    return ModelOutput(label_scores(labels, values, options, _AT, lambda i: (*_AT, labels[i])), job=job)
