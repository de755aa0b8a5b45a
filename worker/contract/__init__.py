"""The message contract: what a producer may send, read from raw bytes, exported as schemas."""

from worker.contract.message import (
    READING,
    SCHEMA_NAME,
    AssetContent,
    Evidence,
    ModelVersion,
    Output,
    Prediction,
    PredictionBatch,
)
from worker.contract.parsing import (
    MessageError,
    ReadingLimits,
    check_values,
    path_text,
    read_json,
    read_message,
    read_prediction,
    read_raw,
    read_stored,
    unforeseen,
)
from worker.contract.part import plain
from worker.contract.schemas import asyncapi_document, json_schema
from worker.contract.short_form import SHAPES, SHORT

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
    "path_text",
    "plain",
    "read_json",
    "read_message",
    "read_prediction",
    "read_raw",
    "read_stored",
    "unforeseen",
]
