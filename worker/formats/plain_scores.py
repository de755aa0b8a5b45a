"""The message contract's own short form: ``{"scores": {"RED": 0.61, "BLACK": 0.3}}``."""

from __future__ import annotations

import math
from collections.abc import Mapping

from worker.formats.checks import Path, fail, mapping, number, string
from worker.formats.options import ReadOptions
from worker.formats.output import ModelOutput
from worker.formats.scores import SUM_TOLERANCE, label_scores

_AT: Path = ("scores",)


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
    independent = math.fsum(values) > 1 + SUM_TOLERANCE
    options = ReadOptions(job=job, exclusive=False if independent else None)
    return options.output(label_scores(labels, values, options, _AT, lambda i: (*_AT, labels[i])))
