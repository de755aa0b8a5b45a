"""Envelopes of Google Cloud, Azure, Kafka and home-made HTTP services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import Path, describe, fail, mapping, member
from worker.formats.envelopes.wrappers import (
    PUBLISH_SUCCESSES,
    base64_or_text,
    inside_of,
    only,
    reason_of,
    text_or_value,
    wrapper,
)
from worker.formats.structure import ANY, INDEX, TEXT, Envelope, Keys, Match, Unwrapped, ValueKind

_MESSAGE = ValueKind(
    "a message with data, or with its id",
    lambda value: isinstance(value, Mapping) and bool({"data", "messageId", "message_id"} & value.keys()),
)
_PULLED = ValueKind(
    "received messages",
    lambda value: isinstance(value, list) and bool(value) and all(_MESSAGE.test(_inner(one)) for one in value),
)


def _inner(received: Any) -> Any:
    return received.get("message") if isinstance(received, Mapping) else None


def _pubsub(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    message, place = mapping(outer["message"], *at, "message"), (*at, "message", "data")
    if not message.get("data"):
        fail(place, "missing: the message carries attributes alone", "publish the result as the message's data")
    return base64_or_text(message["data"], place), place


def _pulled(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    at = (*at, "receivedMessages")
    return _pubsub(only(outer["receivedMessages"], at), (*at, 0))


def _event_grid(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    if outer["eventType"] == "Microsoft.EventGrid.SubscriptionValidationEvent":
        fail((*at, "eventType"), "confirms a subscription and holds no prediction", "forward other events only")
    return inside_of("data")(outer, at)


def _kafka_value(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
    value, place = member(outer, "value", at), (*at, "value")
    if isinstance(value, str):
        return base64_or_text(value, place), place
    return text_or_value(value, place), place


PUBSUB = wrapper(
    "google-pubsub",
    "Google Cloud Pub/Sub push requests",
    Keys({"message": _MESSAGE, "subscription": TEXT}, open=True),
    _pubsub,
    ("https://cloud.google.com/pubsub/docs/push",),
    rule="an object with `subscription` and a `message` that has `data`",
    limits="The data is JSON in base64.",
)

PUBSUB_PULL = wrapper(
    "google-pubsub-pull",
    "Google Cloud Pub/Sub pull answers",
    Keys({"receivedMessages": _PULLED}, open=True),
    _pulled,
    ("https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/pull",),
    rule="an object whose `receivedMessages` hold a `message`",
    limits="One message, with JSON in base64.",
)

EVENT_GRID = wrapper(
    "azure-event-grid",
    "Azure Event Grid events",
    Keys({"id": TEXT, "subject": TEXT, "eventType": TEXT, "eventTime": TEXT, "data": ANY}, open=True),
    _event_grid,
    ("https://learn.microsoft.com/azure/event-grid/event-schema",),
    rule="an object with `id`, `subject`, `eventType`, `eventTime` and `data`, or a list of them",
    limits="A list is read event by event.",
    evidence={"id": "id", "eventType": "type", "subject": "subject", "eventTime": "time"},
    batches=True,
)

KAFKA = wrapper(
    "kafka-record",
    "Records of Apache Kafka as Lambda and REST proxies hand them over",
    Keys({"topic": TEXT, "partition": INDEX, "offset": INDEX, "value": ANY}, open=True),
    _kafka_value,
    (
        "https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html",
        "https://docs.confluent.io/platform/current/kafka-rest/api.html",
    ),
    rule="an object with `topic`, `partition`, `offset` and `value`",
    limits="The value is JSON, a JSON text, or JSON in base64.",
)

_STATUS_KEYS = ("message", "msg", "status", "code", "success")
_HOLDS = ("data", "result", "results", "prediction", "output")
_MORE = ("error", "errors", "request_id", "requestId", "timestamp", "time", "took", "duration", "version", "model")
_GOOD_TEXTS = ("ok", "success", "succeeded", "done", "completed", "200", "0", "000")


def _answer_key(payload: Any) -> str | None:
    """The key of the answer in a home-made wrapper: the only one beside those that say how it went."""
    if not isinstance(payload, Mapping):
        return None
    stated = [key for key in ("code", "success", "status", "message", "msg") if key in payload]
    held = [key for key in payload if key not in _STATUS_KEYS and key not in _MORE]
    if not stated or len(held) != 1 or held[0] not in _HOLDS:
        return None
    if stated == ["message"] and not str(payload["message"]).casefold().startswith(_GOOD_TEXTS[:2]):
        return None
    plain = all(isinstance(payload[key], str | int | None) for key in stated)
    return held[0] if plain and isinstance(payload[held[0]], Mapping | list | str | None) else None


def _went_well(payload: Mapping[str, Any]) -> bool:
    """Whether everything that is said of the outcome says that it went well; an error code is told by its text."""
    code, success, status = payload.get("code"), payload.get("success"), payload.get("status")
    if payload.get("error") or payload.get("errors"):
        return False
    if code is not None and code not in (0, 200, "0", "200"):
        return False
    if success is not None and success is not True:
        return False
    good = isinstance(status, str) and status.casefold() in _GOOD_TEXTS
    return status is None or good or status in (0, 200, True)


def _unwrap_answer(payload: Any, at: Path = ()) -> Unwrapped:
    outer, key = mapping(payload, *at), _answer_key(payload)
    if key is None:
        fail(at, "holds no answer beside code, success, status or message")
    if not _went_well(outer):
        stated = next((name for name in ("error", "code", "success", "status") if name in outer), "message")
        fail((*at, stated), f"the service answered with an error: {reason_of(outer)}", PUBLISH_SUCCESSES)
    return Unwrapped(text_or_value(outer[key], (*at, key)), (*at, key))


def _detect_answer(payload: Any) -> Match | None:
    key = _answer_key(payload)
    return Match(f"a service's answer: {key} beside what says how it went") if key else None


HTTP_ANSWER = Envelope(
    name="http-answer",
    title="Answers of home-made HTTP services",
    rule="an object with `code`, `success` or `status` (perhaps `message`), and one of "
    + ", ".join(f"`{key}`" for key in _HOLDS),
    detect=_detect_answer,
    needs=tuple((key,) for key in _STATUS_KEYS),
    unwrap=_unwrap_answer,
    limits=f"Code 0 or 200, `success: true` and a status such as {describe('ok')} are good; anything else is refused.",
    sources=("https://jsonapi.org/format/", "https://github.com/omniti-labs/jsend"),
)

ENVELOPES = (PUBSUB, PUBSUB_PULL, EVENT_GRID, KAFKA, HTTP_ANSWER)
