"""The HTTP source as an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from worker import __version__
from worker.contract.schemas import EXAMPLE, json_schema, moved

EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1},
        "type": {"type": "string", "minLength": 1},
        "time": {"type": "string", "format": "date-time"},
        "data": {},
        "data_base64": {"type": "string"},
    },
}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "wrong": {"type": "integer", "description": "Errors in all; the first of them are shown."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "field", "problem", "fix", "cause"],
                "properties": {
                    "index": {"type": "integer", "description": "Place of the message in the body, from 0."},
                    **{key: {"type": "string"} for key in ("field", "problem", "fix", "cause")},
                },
            },
        },
    },
}
ACCEPTED = {
    "type": "object",
    "required": ["ids", "states"],
    "properties": {
        "ids": {"type": "array", "items": {"type": ["string", "null"]}},
        "states": {"type": "array", "items": {"enum": ["new", "repeated", "waiting", "joined"]}},
    },
}
REJECTIONS = {
    "400": "The body or the request cannot be read.",
    "401": "No valid token and no valid signature.",
    "403": "A topic of SNS that is not allowed.",
    "408": "The body did not arrive in time.",
    "413": "The body or a message is too large.",
    "415": "A content type or coding that is not read.",
    "422": "A message is wrong, or an idempotency key is known with another body. Nothing was stored.",
    "429": "Too much waits; Retry-After says when to send again.",
    "503": "Redis is away, or too many requests are handled; Retry-After says when to send again.",
}
PARAMETERS = [
    {
        "name": "on_error",
        "in": "query",
        "schema": {"enum": ["keep"]},
        "description": "Store wrong messages too; they become dead letters.",
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
        "description": "A request that is sent again with the same key and body is stored once.",
    },
]


def openapi_document() -> dict[str, Any]:
    """The document; the same in every process of one version."""
    schema = json_schema()
    definitions = schema.pop("$defs", {})
    schemas = moved({"Message": schema, **definitions}) | {"Event": EVENT, "Problem": PROBLEM, "Accepted": ACCEPTED}
    message, event = _reference("Message"), _reference("Event")
    predictions = {
        "application/json": {"schema": {"anyOf": [message, _list(message)]}, "example": EXAMPLE},
        "application/x-ndjson": {"schema": {"type": "string", "description": "One message a line."}},
    }
    events = {
        "application/cloudevents+json": {"schema": event},
        "application/cloudevents-batch+json": {"schema": _list(event)},
        "application/json": {"schema": {"description": "A push of Pub/Sub, SNS or Event Grid, or an event's data."}},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "prediction-worker",
            "version": __version__,
            "description": "Predictions on their way to Kili. A request is answered when what it holds is durable.",
        },
        "paths": {
            "/v1/predictions": {
                "post": _post("sendPredictions", "Send one message, a list, or JSON Lines.", predictions)
            },
            "/v1/events": {"post": _post("sendEvents", "Send CloudEvents, or pushes of a cloud.", events)},
            "/": {"post": _post("sendEventsToRoot", "The same as /v1/events, for senders without a path.", events)},
            "/livez": {"get": _get("isAlive", "The process lives.", {})},
            "/readyz": {"get": _get("isReady", "Messages can be stored.", {"503": {"description": "They cannot."}})},
            "/openapi.json": {"get": _get("openapi", "This document.", {})},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "webhook-signature",
                    "description": "As Standard Webhooks describes: v1,BASE64 of HMAC-SHA256 over id.timestamp.body.",
                },
            },
        },
    }


def _post(name: str, summary: str, content: dict[str, Any]) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": _reference("Problem")}}
    rejections = {code: {"description": text, "content": problem} for code, text in REJECTIONS.items()}
    stored = {"description": "Stored.", "content": {"application/json": {"schema": _reference("Accepted")}}}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": PARAMETERS,
        "security": [{"bearer": []}, {"token": []}, {"signature": []}, {}],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "A handshake is answered."}, "202": stored, **rejections},
    }


def _get(name: str, summary: str, further: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": {"200": {"description": summary}, **further}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(of: dict[str, str]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": of}
