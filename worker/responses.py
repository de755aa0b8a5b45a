"""From a prediction to the json_response its project accepts: where message, format and interface meet."""

from __future__ import annotations

import re
from typing import Any

from worker.formats.output import Classification, ModelOutput
from worker.messages import Prediction
from worker.ontology import Interface, OntologyError, to_json_response
from worker.outputs import NO_CONFIG, output_of
from worker.projects import ProjectConfig

_SCORE = re.compile(r"answer\.scores\[(\d+)\]")


def response_of(prediction: Prediction, interface: Interface, config: ProjectConfig = NO_CONFIG) -> dict[str, Any]:
    """The json_response of a prediction, valid in the project.

    Raises:
        UnreadableOutput: the output cannot be read.
        OntologyError: the project cannot take it; the field is a path within the message.
    """
    config = config.of_model(prediction.model.name, prediction.model.version)
    output = output_of(prediction, config)
    try:
        return to_json_response(
            output,
            interface,
            classes=config.categories,
            threshold=config.threshold,
            unknown_classes=prediction.output.unknown_classes or config.unknown_classes,
            text=prediction.asset.text if prediction.asset else None,
            partial=config.partial,
        )
    except OntologyError as error:
        field = _field_in_message(prediction, output, error.field)
        raise OntologyError(field, error.problem, error.fix, error.cause) from error


def _field_in_message(prediction: Prediction, output: ModelOutput, field: str) -> str:
    if prediction.output.json_response is not None:
        return f"output.json_response.{field}" if field else "output.json_response"
    score = _SCORE.match(field)
    if prediction.output.scores is not None and score and isinstance(output.answer, Classification):
        return f"output.scores.{output.answer.scores[int(score[1])].label}"
    return f"output.{field}" if field else "output"
