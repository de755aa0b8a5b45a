"""The contract as documents: JSON Schema 2020-12 and AsyncAPI 3.1."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from worker.contract.message import SCHEMA_NAME, Prediction, PredictionBatch

EXAMPLE: dict[str, Any] = {
    "schema": SCHEMA_NAME,
    "project_id": "clx0000000000000000000000",
    "external_id": "cam-3/000123.jpg",
    "asset": {"url": "https://example.com/cam-3/000123.jpg"},
    "model": {"name": "car-colour", "version": "2026-11-01"},
    "output": {"scores": {"RED": 0.61, "BLACK": 0.30, "GREY": 0.09}, "job": "CLASSIFICATION_JOB"},
    "predicted_at": "2026-11-23T10:15:00Z",
    "metadata": {"camera": "3"},
}


def json_schema() -> dict[str, Any]:
    """JSON Schema of one message: a prediction, or a batch of them."""
    schema = TypeAdapter(Prediction | PredictionBatch).json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$id"] = SCHEMA_NAME
    schema["title"] = SCHEMA_NAME
    schema["examples"] = [EXAMPLE]
    return schema


def asyncapi_document(*, version: str, queue: str, inbox: str) -> dict[str, Any]:
    """AsyncAPI document of the two doors.

    Args:
        version: of the product.
        queue: name of the Celery queue.
        inbox: key of the Redis stream.
    """
    schema = json_schema()
    definitions = schema.pop("$defs", {})
    return {
        "asyncapi": "3.1.0",
        "info": {"title": "prediction-worker", "version": version, "description": "Predictions on their way to Kili."},
        "defaultContentType": "application/json",
        "channels": {
            "celery": _channel(
                queue, "Celery task predictions.ingest; its argument is a prediction or a list of them."
            ),
            "stream": _channel(inbox, "Redis stream; the field `payload` holds one prediction as JSON."),
        },
        "operations": {
            f"receiveFrom{door.capitalize()}": {"action": "receive", "channel": {"$ref": f"#/channels/{door}"}}
            for door in ("celery", "stream")
        },
        "components": {
            "messages": {
                "prediction": {
                    "name": SCHEMA_NAME,
                    "contentType": "application/json",
                    "payload": {"$ref": "#/components/schemas/Message"},
                    "correlationId": {"location": "$message.payload#/message_id"},
                    "examples": [{"name": "classification", "payload": EXAMPLE}],
                }
            },
            "schemas": _moved({"Message": schema, **definitions}),
        },
    }


def _channel(address: str, description: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {"prediction": {"$ref": "#/components/messages/prediction"}},
    }


def _moved(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(value)
            for key, value in node.items()
            if key not in ("$schema", "$id")
        }
    return [_moved(item) for item in node] if isinstance(node, list) else node
