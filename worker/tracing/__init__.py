"""Traces of predictions from producer to verdict: a port that everybody may call, and OpenTelemetry behind it.

A trace context is a text: a W3C ``traceparent``, and after a space its ``tracestate`` where there is one; an empty text
is none. It is kept in this form beside the message, from the source to the settlement. What is not as W3C describes it
counts as no context: a message is never refused for its trace.

A context stands in headers, in fields of an inbox entry, in a CloudEvent's attributes or in Celery's headers. What is
nearest to the prediction counts: a message's own ``traceparent`` before that of what carried it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_core import from_json

from worker.kili import CallRecord
from worker.spool import Admission, Arrival, Leased, Settlement

PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?=-|$)")
STATE = re.compile(r"[ !#-\[\]-~]*=[ !#-\[\]-~]*")
"""Of a ``tracestate`` what needs no escape in JSON; one with quotes or backslashes is left out, as W3C allows."""

LONGEST_STATE = 512
SAMPLED = 1
ODD = "13579bdf"
VERSION = "00"


def parsed(parent: object, state: object = None) -> str:
    """The context that two headers give; empty when the first is none."""
    if not isinstance(parent, str):
        return ""
    found = PARENT.match(parent.strip())
    if found is None or (parent.startswith(VERSION) and len(parent.strip()) != len(found[0])):
        return ""
    text = f"{VERSION}{found[0][2:]}"
    if isinstance(state, str) and 0 < len(state) <= LONGEST_STATE and STATE.fullmatch(state.strip()):
        return f"{text} {state.strip()}"
    return text


def is_sampled(context: str) -> bool:
    """Whether its spans are recorded."""
    return bool(context) and context[54] in ODD


def with_flag(context: str, *, sampled: bool) -> str:
    """The same context, with its sampled flag set or not."""
    flags = int(context[53:55], 16) & ~SAMPLED | sampled
    return f"{context[:53]}{flags:02x}{context[55:]}"


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


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A human's verdict on a traced prediction.

    ``label_id`` is that of the human label, ``label_type`` DEFAULT or REVIEW, ``at`` when it was written in seconds
    since the epoch, ``agreement`` 0 to 1. ``context`` is the prediction's.
    """

    context: str
    project: str
    model: str
    label_id: str
    label_type: str
    at: float
    agreement: float


class Tracer(Protocol):
    """Told of what happens to predictions; every method is quick and raises nothing."""

    def carried(self, fields: Mapping[bytes, bytes]) -> str:
        """The context of what carried the messages of an inbox entry."""

    def received(self, message: bytes, carried: str) -> str:
        """The context to keep with a prediction: its own, else the carrier's, else that of a trace that begins here."""

    def admitted(self, arrivals: Sequence[Arrival], result: Admission) -> None:
        """Items were admitted."""

    def batch(self, project: str, entries: Iterable[Leased], step: str) -> AbstractContextManager[None]:
        """What this thread does meanwhile is done with these predictions; ``step`` is deliver or update."""

    def called(self, record: CallRecord) -> None:
        """This thread made a call to Kili."""

    def settled(self, project: str, settlements: Sequence[Settlement]) -> None:
        """The outcomes of leased entries were recorded."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """A human has judged a prediction."""

    def close(self) -> None:
        """Send what is left, and no more."""


class _NoTraces:
    """Does nothing."""

    _nothing = nullcontext()

    def carried(self, _fields: Mapping[bytes, bytes]) -> str:
        return ""

    def received(self, _message: bytes, carried: str) -> str:
        return carried  # of a letter that is replayed: it is kept

    def admitted(self, _arrivals: Sequence[Arrival], _result: Admission) -> None:
        pass

    def batch(self, _project: str, _entries: Iterable[Leased], _step: str) -> AbstractContextManager[None]:
        return self._nothing

    def called(self, _record: CallRecord) -> None:
        pass

    def settled(self, _project: str, _settlements: Sequence[Settlement]) -> None:
        pass

    def evaluated(self, _evaluation: Evaluation) -> None:
        pass

    def close(self) -> None:
        pass


NO_TRACES: Tracer = _NoTraces()
