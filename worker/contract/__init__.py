"""The message contract: what a producer may send, read from raw bytes, exported as schemas."""

from worker.contract.message import (
    READING,
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
    read_json,
    read_message,
    read_prediction,
    read_raw,
    read_stored,
    unforeseen,
)
from worker.contract.parts import SHAPES, SHORT, plain
from worker.contract.schemas import asyncapi_document, json_schema

__all__ = [
    "READING",
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
    "json_schema",
    "plain",
    "read_json",
    "read_message",
    "read_prediction",
    "read_raw",
    "read_stored",
    "unforeseen",
]
