"""From a message's ``output`` to what the model said: the one place where the contract meets the formats."""

from __future__ import annotations

from worker.formats import OutputError, ReadOptions, read_kili_response, read_payload, read_scores
from worker.formats.output import ModelOutput
from worker.messages import Output, Prediction


def output_of(prediction: Prediction) -> ModelOutput:
    """What the model said about the one asset of a prediction.

    Raises:
        OutputError: the payload cannot be read, or speaks of more or fewer than one asset.
    """
    output = prediction.output
    if output.json_response is not None:
        return read_kili_response(output.json_response)
    if output.scores is not None:
        return read_scores(output.scores, output.job)
    reading = read_payload(output.payload, _options(output, prediction))
    if len(reading.outputs) != 1:
        raise OutputError(
            "output.payload", f"holds {len(reading.outputs)} answers for one external_id", "send one message per asset"
        )
    return reading.outputs[0]


def _options(output: Output, prediction: Prediction) -> ReadOptions:
    return ReadOptions(
        format=output.format or "auto",
        classes=output.classes,
        image_size=(output.image_size[0], output.image_size[1]) if output.image_size else None,
        score_kind=output.score_kind,
        job=output.job,
        text=prediction.asset.text if prediction.asset else None,
    )
