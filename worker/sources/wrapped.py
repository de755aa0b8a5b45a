"""What clouds and brokers wrap around a message: taken off, so that the same message may come by any way.

CloudEvents are known in their binary form (attributes in headers), their structured form (one JSON object) and in
batches. Pub/Sub pushes, SNS notifications, Lambda events of SQS and SNS, and Event Grid events are unpacked, notices of
SageMaker's asynchronous inference become messages. What is none of these is the message itself; admission says what is
wrong with it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from pydantic_core import from_json

from worker.formats import OutputError, read_event
from worker.intake import RawMessage, pair_of
from worker.intake.originals import as_json, is_message
from worker.tracing import context_of

MAX_DEPTH = 4
"""Wrappers around wrappers: SNS in SQS in a Lambda event, for example."""

NOTIFICATION_MARK = b'"invocationStatus"'
MARKS = (b'"specversion"', b'"Records"', b'"subscription"', b'"TopicArn"', b'"eventType"', NOTIFICATION_MARK)
"""Every wrapper has one of these keys; a body without them need not be parsed to know that it is none."""

SAGEMAKER_VERSION = "unversioned"
"""SageMaker names endpoints; which version of a model answers behind one is not in the notice."""

PREFIXES = ("ce-", "ce_", "cloudevents:", "cloudevents_")
"""Of CloudEvents' attributes in the headers of HTTP, Kafka and AMQP."""


def messages_in(
    body: bytes, name: str = "", headers: Mapping[str, str] | None = None, *, pairs: bool
) -> list[RawMessage]:
    """The messages of one that a source has received; never none.

    Args:
        body: what arrived.
        name: what the source knows it by; may be empty.
        headers: that came with it; ``content-type`` among them, if it is known.
        pairs: whether logged requests and responses are joined.
    """
    fields = {key.lower(): value for key, value in (headers or {}).items()}
    attributes = _attributes(fields)
    if "specversion" in attributes:
        return traced([_event({**attributes, **_data(body, fields.get("content-type", ""))}, pairs)], fields)
    return traced(list(_unwrapped(body, name, pairs, MAX_DEPTH)) or [RawMessage(body, id=name)], fields)


def traced(messages: list[RawMessage], headers: Mapping[str, str]) -> list[RawMessage]:
    """The messages with the trace context that came in the headers; names in lower case."""
    parent, _, state = context_of(headers).partition(" ")
    return [replace(message, trace=(parent, state)) for message in messages] if parent else messages


def values_in(value: Any, name: str, *, pairs: bool, depth: int = MAX_DEPTH) -> Iterator[RawMessage]:
    """The messages of parsed JSON; none for an empty list."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from values_in(one, numbered(name, number), pairs=pairs, depth=depth)
    elif not isinstance(value, Mapping) or is_message(value):
        yield RawMessage(as_json(value), id=name)
    elif "specversion" in value:
        yield _event(value, pairs)
    elif _is_notification(value):
        yield RawMessage(as_json(_message_of_notification(value)), id=name)
    else:
        inside = list(_inside(value)) if depth else []
        for text, inner in inside:
            yield from _unwrapped(text, inner or name, pairs, depth - 1)
        if not inside:
            yield RawMessage(as_json(value), id=name)


def numbered(name: str, number: int) -> str:
    """The id of one of several messages that came under one id; empty without one."""
    return f"{name}#{number}" if name and number else name


def _unwrapped(body: bytes, name: str, pairs: bool, depth: int) -> Iterator[RawMessage]:
    if not any(mark in body for mark in MARKS):
        yield RawMessage(body, id=name)
        return
    try:
        value = from_json(body)
    except ValueError:
        yield RawMessage(body, id=name)
        return
    if is_message(value):
        yield RawMessage(body, id=name)
    else:
        yield from values_in(value, name, pairs=pairs, depth=depth)


def _inside(value: Mapping[str, Any]) -> Iterator[tuple[bytes, str]]:
    """What a wrapper holds, each with the id that the wrapper gives it; nothing for what is no wrapper."""
    pushed = value.get("message")
    if "subscription" in value and isinstance(pushed, Mapping):
        yield _decoded(str(pushed.get("data", ""))), str(pushed.get("messageId") or pushed.get("message_id") or "")
    elif value.get("Type") == "Notification" and "TopicArn" in value:
        yield str(value.get("Message", "")).encode("utf-8", "surrogatepass"), str(value.get("MessageId", ""))
    elif "eventType" in value and "data" in value and "eventTime" in value:
        yield as_json(value["data"]), str(value.get("id", ""))
    elif isinstance(value.get("Records"), list):
        for record in value["Records"]:
            yield from _record(record)


def _record(record: Any) -> Iterator[tuple[bytes, str]]:
    held = record if isinstance(record, Mapping) else {}
    notification = held.get("Sns")
    if isinstance(notification, Mapping):
        yield (
            str(notification.get("Message", "")).encode("utf-8", "surrogatepass"),
            str(notification.get("MessageId", "")),
        )
    elif isinstance(held.get("body"), str):
        yield held["body"].encode("utf-8", "surrogatepass"), str(held.get("messageId", ""))
    else:
        yield as_json(record), ""


def _decoded(text: str) -> bytes:
    """What base64 holds; the text itself where it is none, for the dead letter."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "surrogatepass")


def _event(value: Mapping[str, Any], pairs: bool) -> RawMessage:
    """A CloudEvent; its source, id and type together tell it from all others."""
    parts = [value.get(key) for key in ("source", "id", "type")]
    name = "\n".join(map(str, parts)) if all(parts) else ""
    found = RawMessage(as_json(value), "event", name)
    if not pairs:
        return found
    try:
        return replace(found, pair=pair_of(read_event(value)))
    except OutputError:
        return found  # admission says what is wrong with it


def _attributes(fields: Mapping[str, str]) -> dict[str, str]:
    return {
        key[len(prefix) :]: unquote(value)
        for key, value in fields.items()
        for prefix in PREFIXES
        if key.startswith(prefix)
    }


def _data(body: bytes, content_type: str) -> dict[str, Any]:
    try:
        return {"datacontenttype": content_type or "application/json", "data": from_json(body)}
    except ValueError:
        return {"datacontenttype": content_type, "data_base64": base64.b64encode(body).decode()}


def _is_notification(value: Mapping[str, Any]) -> bool:
    """Whether JSON is a notice of SageMaker's asynchronous inference, of success or of failure."""
    return "invocationStatus" in value and "inferenceId" in value


def _message_of_notification(notification: Mapping[str, Any]) -> dict[str, Any]:
    """The prediction that a notice tells of: about the asset that the call named as its ``InferenceId``.

    What the notice lacks is left out; admission names it.
    """
    request = notification.get("requestParameters")
    endpoint = request.get("endpointName") if isinstance(request, Mapping) else None
    message = {
        "external_id": notification["inferenceId"],
        "model": {"name": endpoint, "version": SAGEMAKER_VERSION} if endpoint else None,
        "output": {"payload": dict(notification)},
        "predicted_at": notification.get("eventTime"),
    }
    return {key: value for key, value in message.items() if value is not None}
