"""What would become of a message, without sending anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from worker.kili import derived_asset_id
from worker.messages import MessageError, ReadingLimits, read_json, read_prediction
from worker.ontology import Interface, OntologyError, to_json_response
from worker.formats import OutputError
from worker.outputs import output_of
from worker.review import Subject, own_confidence
from worker.runtime import policy_of
from worker.settings import Settings


def explain_message(
    settings: Settings, raw: bytes, json_interface: dict[str, Any] | None, input_type: str
) -> dict[str, Any]:
    """What was read, the json_response (when the interface is given), the decision; or ``refused`` and why."""
    found: dict[str, Any] = {}
    try:
        limits = ReadingLimits(settings.intake.max_message_bytes, settings.intake.max_depth)
        prediction = read_prediction(read_json(raw, limits))
        output = output_of(prediction)
        found["output"] = asdict(output)
        project = prediction.project_id or settings.default_project or "-"
        asset_id = derived_asset_id(project, prediction.external_id)
        confidence = prediction.confidence if prediction.confidence is not None else own_confidence(output)
        found |= {"asset_id": asset_id, "confidence": confidence}
        if json_interface is not None:
            interface = Interface.parse(json_interface, input_type)
            text = prediction.asset.text if prediction.asset else None
            found["json_response"] = to_json_response(output, interface, text=text)
        model = prediction.model.label
        subject = Subject(project, prediction.external_id, asset_id, model, output, confidence, prediction.metadata)
        found["decision"] = asdict(policy_of(settings).decide(subject))
    except (MessageError, OutputError, OntologyError) as error:
        found["refused"] = {"field": error.field, "problem": error.problem, "fix": error.fix}
    return found
