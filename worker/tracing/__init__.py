"""Traces of predictions from producer to verdict: a port that everybody may call, and OpenTelemetry behind it."""

from worker.tracing.carriers import TRACE_FIELDS, TRACE_KEY, context_of, context_of_entry, own_context
from worker.tracing.context import parsed
from worker.tracing.port import NO_TRACES, Evaluation, Tracer

__all__ = [
    "NO_TRACES",
    "TRACE_FIELDS",
    "TRACE_KEY",
    "Evaluation",
    "Tracer",
    "context_of",
    "context_of_entry",
    "own_context",
    "parsed",
]
