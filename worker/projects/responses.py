"""From a prediction to the json_response its project accepts: where message, format and interface meet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace
from pydantic_core import to_json

from worker.contract import Prediction
from worker.contract.output import Classification, ModelOutput
from worker.ontology import CompiledChoice, Interface, OntologyError, rich_text_parts, to_json_response
from worker.projects.configuration import ProjectConfig
from worker.projects.outputs import NO_CONFIG, output_of

GEOREFERENCED = frozenset({".tif", ".tiff", ".jp2", ".ntf", ".nitf"})
"""Endings of images that may carry their place on the map."""

_SCORE = re.compile(r"answer\.scores\[(\d+)\]")


MOST_COMPILED = 100
"""So many jobs and configurations are kept compiled for one interface."""


def response_text(prediction: Prediction, interface: Interface, config: ProjectConfig = NO_CONFIG) -> str:
    """The json_response of a prediction as JSON text. Raises as ``response_of``."""
    output = prediction.output

    def respond(scores: Mapping[str, float]) -> dict[str, Any]:
        return response_of(replace(prediction, output=replace(output, scores=scores)), interface, config)

    if output.scores and output.exclusive is None and output.unknown_classes is None and not output.ignored_classes:
        text = _compiled(prediction, interface, config).text(output.scores, respond)
        if text is not None:
            return text
    return to_json(response_of(prediction, interface, config)).decode()


def _compiled(prediction: Prediction, interface: Interface, config: ProjectConfig) -> CompiledChoice:
    """What was compiled for the prediction's job and configuration."""
    config = config.of_model(prediction.model.name, prediction.model.version)
    kept, key = interface.compiled, (prediction.output.job, id(config))
    found = kept.get(key)
    if found is None:
        if len(kept) >= MOST_COMPILED:
            kept.clear()
        found = kept[key] = CompiledChoice(interface), config  # kept, so that its id stays its own
    choice: CompiledChoice = found[0]
    return choice


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
            parts=_rich_text(prediction, interface),
            partial=config.partial,
            georeferenced=is_georeferenced(prediction),
        )
    except OntologyError as error:
        field = _field_in_message(prediction, output, error.field)
        raise OntologyError(field, error.problem, error.fix, error.cause) from error


def _rich_text(prediction: Prediction, interface: Interface) -> dict[str, str] | None:
    """The parts of a rich text by id; nothing where the message does not hold them."""
    if prediction.asset is None or interface.input_type != "TEXT":
        return None
    return rich_text_parts(prediction.asset.json_content) or None


def is_georeferenced(prediction: Prediction) -> bool:
    """Whether the asset may be an image with a place on the map, by the ending of its address.

    An asset that exists already, or whose address has no ending, is known by its name. A jsonContent says it of its
    layers.
    """
    asset = prediction.asset
    if asset is not None and asset.json_content is not None:
        layers = asset.json_content if isinstance(asset.json_content, list) else []
        return any(isinstance(one, Mapping) and one.get("useClassicCoordinates") is False for one in layers)
    address = (asset.url or asset.path or "") if asset is not None else ""
    return (_ending(address) or _ending(prediction.external_id)) in GEOREFERENCED


def _ending(address: str) -> str:
    try:
        return PurePosixPath(urlsplit(address).path).suffix.lower()
    except ValueError:
        return ""


def _field_in_message(prediction: Prediction, output: ModelOutput, field: str) -> str:
    if prediction.output.json_response is not None:
        return f"output.json_response.{field}" if field else "output.json_response"
    score = _SCORE.match(field)
    if prediction.output.scores is not None and score and isinstance(output.answer, Classification):
        return f"output.scores.{output.answer.scores[int(score[1])].label}"
    return f"output.{field}" if field else "output"
