"""What a review policy may look at, from a message and what its model said."""

from __future__ import annotations

from worker.contract import Prediction
from worker.contract.output import ModelOutput
from worker.kili.ids import derived_asset_id
from worker.review import Subject, own_confidence


def subject_of(prediction: Prediction, output: ModelOutput, project: str) -> Subject:
    """The subject of one prediction; the confidence is the message's, else the output's own."""
    stated = prediction.confidence
    return Subject(
        project,
        prediction.external_id,
        derived_asset_id(project, prediction.external_id),
        prediction.model.label,
        output,
        stated if stated is not None else own_confidence(output),
        prediction.metadata,
        prediction.embedding,
        stated is None,
    )
