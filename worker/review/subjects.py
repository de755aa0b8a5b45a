"""What a review policy may look at, from a message and what its model said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import fsum

from worker.contract import Prediction
from worker.contract.output import ModelOutput
from worker.formats import are_independent
from worker.kili.ids import derived_asset_id
from worker.review import Subject, own_confidence
from worker.review.confidence import confidence_in


def subject_of(prediction: Prediction, output: ModelOutput, project: str) -> Subject:
    """The subject of one prediction; the confidence is the message's, else the output's own."""
    stated = prediction.confidence
    return _subject(prediction, output, project, own_confidence(output) if stated is None else stated)


def subject_of_scores(
    prediction: Prediction, scores: Mapping[str, float], read: Callable[[], ModelOutput], project: str
) -> Subject:
    """The same of a prediction of plain scores, whose output ``read`` makes when somebody looks at it."""
    confidence = prediction.confidence
    if confidence is None:
        values = scores.values()
        confidence = confidence_in(values, are_independent(fsum(values)))
    return _subject(prediction, read, project, confidence)


def _subject(
    prediction: Prediction, answer: ModelOutput | Callable[[], ModelOutput], project: str, confidence: float | None
) -> Subject:
    return Subject(
        project,
        prediction.external_id,
        derived_asset_id(project, prediction.external_id),
        prediction.model.label,
        answer,
        confidence,
        prediction.metadata,
        prediction.embedding,
        prediction.confidence is None,
    )
