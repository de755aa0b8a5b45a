"""Where a trace context stands: headers, fields of an inbox entry, a CloudEvent's attributes, Celery's headers.

What is nearest to the prediction counts: a message's own ``traceparent`` before that of what carried it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from worker.tracing.context import parsed

TRACE_FIELDS = ("traceparent", "tracestate")
"""Names of the context in headers, messages, attributes and fields of an inbox entry."""

TRACE_KEY = "prediction_trace"
"""Key of an asset's jsonMetadata: the ``traceparent`` of the prediction that leads, a space, its ``predicted_at``."""

MARK = b'"traceparent"'
WRAPPED = (b"event", b"envelope", b"pair")


def context_of(headers: Mapping[str, Any]) -> str:
    """The context in headers or other named texts; names in lower case."""
    return parsed(headers.get("traceparent"), headers.get("tracestate"))


def own_context(message: bytes) -> str:
    """The context that a message or event names itself; it is not parsed when it cannot name any."""
    return context_of(_object(message)) if MARK in message else ""


def context_of_entry(fields: Mapping[bytes, bytes]) -> str:
    """The context of what carried the messages of an inbox entry: an event's or envelope's own, else the source's."""
    for name in WRAPPED:
        if name in fields:
            found = _wrapped(name, fields[name])
            if found:
                return found
    if b"traceparent" not in fields:
        return ""
    return context_of({name: fields.get(name.encode(), b"").decode("utf-8", "replace") for name in TRACE_FIELDS})


def _wrapped(name: bytes, raw: bytes) -> str:
    value = _object(raw)
    if not value:
        return ""
    if name == b"envelope":
        headers = _mapping(value.get("headers"))
        return context_of(headers) or context_of(_mapping(headers.get("headers")))
    if name == b"pair":
        return context_of(_mapping(value.get("request"))) or context_of(_mapping(value.get("response")))
    return context_of(value)


def _object(raw: bytes) -> Mapping[str, Any]:
    if MARK not in raw:
        return {}
    try:
        return _mapping(from_json(raw))
    except ValueError:
        return {}  # admission says what is wrong with it


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
