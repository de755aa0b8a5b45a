"""The message contract: what a producer may send, read from raw bytes, exported as schemas."""

from worker.messages.contract import (
    READING,
    SCHEMA_NAME,
    SHAPES,
    SHORT,
    AssetContent,
    Evidence,
    ModelVersion,
    Output,
    Prediction,
    PredictionBatch,
)
from worker.messages.errors import MessageError, not_understood
from worker.messages.export import asyncapi_document, json_schema
from worker.messages.reading import (
    ReadingLimits,
    check_values,
    path_text,
    read_json,
    read_message,
    read_prediction,
    read_raw,
)

__all__ = [
    "READING",
    "SCHEMA_NAME",
    "SHAPES",
    "SHORT",
    "AssetContent",
    "Evidence",
    "MessageError",
    "ModelVersion",
    "Output",
    "Prediction",
    "PredictionBatch",
    "ReadingLimits",
    "asyncapi_document",
    "check_values",
    "json_schema",
    "not_understood",
    "path_text",
    "read_json",
    "read_message",
    "read_prediction",
    "read_raw",
]
