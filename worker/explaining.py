"""What would become of a message, without sending anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from worker.formats import Catalogue, OutputError
from worker.messages import MessageError, Prediction, ReadingLimits, read_json, read_message
from worker.ontology import Interface, OntologyError, unknown_labels
from worker.outputs import ResultElsewhere, output_of, reading_of, rows_of
from worker.parts import policy_of, projects_of
from worker.projects import ProjectConfig
from worker.responses import response_of
from worker.results import ResultPlaces
from worker.settings import Settings
from worker.subjects import subject_of


def explain_message(
    settings: Settings, raw: bytes, interface: Interface | None, tried: Catalogue | None = None
) -> dict[str, Any]:
    """The format and why it was recognised, and per asset what was read, the json_response (when the interface is
    given), the confidence and the decision; ``result`` where the payload only points to it; or ``refused`` with field,
    problem and fix, and what was known by then. ``tried`` are mappings that are known beside the project's own.
    """
    found: dict[str, Any] = {}
    try:
        limits = ReadingLimits(settings.intake.max_message_bytes, settings.intake.max_depth)
        message = read_message(read_json(raw, limits))
        config = projects_of(settings).of(message.project_id or settings.default_project or "-")
        if tried is not None:
            config = config.with_mappings(
                tried if config.mappings is None else config.mappings.with_mappings(tried.mappings)
            )
        reading = reading_of(message, config)
        found |= {"format": reading.format, "why": reading.why, "predictions": []}
        for row in [message] if isinstance(message, Prediction) else rows_of(message, config):
            found["predictions"].append(about := {"external_id": row.external_id})
            _explain(settings, row, interface, config, about)
    except ResultElsewhere as elsewhere:
        found |= _elsewhere(settings, elsewhere)
    except (MessageError, OutputError, OntologyError) as error:
        if isinstance(error, OutputError) and error.format:
            found |= {"format": error.format, "why": error.why}
        found["refused"] = _refused(error)
    return found


def _elsewhere(settings: Settings, elsewhere: ResultElsewhere) -> dict[str, Any]:
    """Where the result would be read; nothing is read now."""
    try:
        address = ResultPlaces(settings.intake.result_places).address(elsewhere.location)
    except OutputError as error:
        return {"refused": _refused(error)}
    return {"result": {"location": elsewhere.location, "read_from": address}}


def _refused(error: MessageError | OutputError | OntologyError) -> dict[str, str]:
    return {"field": error.field, "problem": error.problem, "fix": error.fix}


def _explain(
    settings: Settings,
    prediction: Prediction,
    interface: Interface | None,
    config: ProjectConfig,
    about: dict[str, Any],
) -> None:
    output = output_of(prediction, config)
    project = prediction.project_id or settings.default_project or "-"
    subject = subject_of(prediction, output, project)
    about |= {"asset_id": subject.asset_id, "output": asdict(output), "confidence": subject.confidence}
    about["decision"] = asdict(policy_of(settings).decide(subject))
    if interface is not None:
        about["json_response"] = response_of(prediction, interface, config)
        config = config.of_model(prediction.model.name, prediction.model.version)
        if (prediction.output.unknown_classes or config.unknown_classes) == "ignore":
            about["unknown_classes"] = unknown_labels(output, interface, config.categories)
