"""The contract as documents: JSON Schema 2020-12 and AsyncAPI 3.1."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from worker.contract.message import SCHEMA_NAME, Prediction, PredictionBatch

OTHER_CHANNELS = {
    "kafka": "Topics of WORKER_KAFKA__TOPICS; a record's value is one prediction as JSON, or a CloudEvent.",
    "rabbitmq": "Queue of WORKER_RABBITMQ__QUEUE; a body is one prediction as JSON, or a CloudEvent.",
    "sqs": "Queues of WORKER_SQS__QUEUE_URLS; a body is one prediction as JSON, or a notification of SNS.",
}
"""Sources whose addresses are not the same for everybody."""

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
    """AsyncAPI document of the sources that are queues.

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
            **{name: _channel(None, text) for name, text in OTHER_CHANNELS.items()},
        },
        "operations": {
            f"receiveFrom{channel.capitalize()}": {"action": "receive", "channel": {"$ref": f"#/channels/{channel}"}}
            for channel in ("celery", "stream", *OTHER_CHANNELS)
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
            "schemas": moved({"Message": schema, **definitions}),
        },
    }


def _channel(address: str | None, description: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {"prediction": {"$ref": "#/components/messages/prediction"}},
    }


def moved(node: Any) -> Any:
    """A JSON Schema whose definitions lie under components/schemas, where OpenAPI and AsyncAPI have them."""
    if isinstance(node, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else moved(value)
            for key, value in node.items()
            if key not in ("$schema", "$id")
        }
    return [moved(item) for item in node] if isinstance(node, list) else node
