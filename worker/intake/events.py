"""CloudEvents as messages: an event that carries a prediction, and the request and response that KServe logs.

KServe's inference logger posts two events of one id for each call of a model: what the model was asked, and what it
answered. The request says which assets the answer is about, the response holds the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic_core import from_json

from worker.contract import MessageError, ReadingLimits, read_json
from worker.formats import Event, read_event
from worker.intake.celery_messages import as_json

PROJECT_ANNOTATION = "prediction-worker/project"
VERSION_ANNOTATION = "prediction-worker/model-version"
"""Annotations of an InferenceService that say where its predictions belong; its logger sends those that are listed in
``metadataAnnotations``."""

MESSAGE_ID_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class EventRules:
    """How logged requests and responses are read.

    ``mode`` is that of KServe's logger: with ``all`` a response needs its request, with ``response`` it stands alone.
    The keys name fields of a request's instances, or its input tensors. ``model_version`` is used where the event has
    no annotation that names one.
    """

    mode: Literal["all", "response"] = "all"
    id_key: str = "external_id"
    url_key: str = "image_url"
    text_key: str = "text"
    model_version: str = "unversioned"


def message_of_event(raw: bytes, rules: EventRules, limits: ReadingLimits) -> bytes:
    """The prediction that a CloudEvent in its JSON format carries.

    Raises:
        MessageError: it carries none, or is a response whose request has not come.
        OutputError: an attribute or the data is missing or cannot be decoded.
    """
    event = read_event(read_json(raw, limits))
    if is_message(event.data):
        return as_json(_with_id(event))
    if event.side == "other":
        problem = f"holds no prediction, and {event.type} is no inference response"
        raise MessageError("invalid_message", "data", problem, "send a prediction/v1 message as the event's data")
    if event.side == "request":
        problem = f"{event.type} logs a request, which holds no prediction"
        raise MessageError(
            "invalid_message", "type", problem, "set the logger's mode to response, or WORKER_KSERVE__MODE to all"
        )
    if rules.mode == "all":
        problem = f"the request {event.id} that this response answers has not come in time"
        fix = "set the logger's mode to all, or WORKER_KSERVE__MODE to response and replay"
        raise MessageError("request_missing", "id", problem, fix)
    name = event.attributes.get("subject") or event.id
    return as_json({"external_id": name, **_common(event, event, rules)})


def message_of_pair(raw: bytes, rules: EventRules, limits: ReadingLimits) -> bytes:
    """The batch of predictions of a logged request and its response: ``{"request": event, "response": event}``.

    Raises:
        MessageError: the request names no assets.
        OutputError: an event cannot be read.
    """
    found = read_json(raw, replace(limits, max_bytes=2 * limits.max_bytes + 100, max_depth=limits.max_depth + 1))
    request = read_event(found["request"], ("request",))
    response = read_event(found["response"], ("response",))
    assets = list(_assets(request, rules))
    batch = {"external_ids": [name for name, _ in assets], "assets": [asset for _, asset in assets]}
    return as_json({**batch, **_common(response, request, rules)})


def pair_of(event: Event) -> tuple[str, Literal["request", "response"]] | None:
    """The key that a logged request and its response share, and which of both an event is; None for other events."""
    return ("\n".join(event.key), event.side) if event.side != "other" and not is_message(event.data) else None


def is_message(value: Any) -> bool:
    """Whether JSON is meant to be a message of our contract."""
    return isinstance(value, Mapping) and "output" in value and ("external_id" in value or "external_ids" in value)


def _with_id(event: Event) -> dict[str, Any]:
    """The message, with the event's id for tracing unless it has one or the id is too long."""
    message = dict(event.data)
    if len(event.id) <= MESSAGE_ID_CHARACTERS and event.id.isprintable():
        message.setdefault("message_id", event.id)
    return message


def _common(response: Event, request: Event, rules: EventRules) -> dict[str, Any]:
    notes = {**_annotations(request), **_annotations(response)}
    service = response.attributes.get("inferenceservicename")
    moment = response.attributes.get("time") or request.attributes.get("time")
    if not service:
        raise MessageError(
            "invalid_message", "inferenceservicename", "is missing", "send the attribute, as KServe does"
        )
    if not moment:
        raise MessageError("invalid_message", "time", "is missing", "send the attribute, as KServe does")
    message = {
        "project_id": notes.get(PROJECT_ANNOTATION),
        "model": {"name": service, "version": notes.get(VERSION_ANNOTATION, rules.model_version)},
        "output": {"payload": response.data},
        "predicted_at": moment,
    }
    return {key: value for key, value in message.items() if value is not None}


def _annotations(event: Event) -> dict[str, str]:
    text = event.attributes.get("annotations", "")
    try:
        found = from_json(text) if text else {}
    except ValueError as error:
        raise MessageError(
            "invalid_message", "annotations", f"are no JSON: {error}", "send them as KServe does"
        ) from None
    return (
        {str(key): value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
    )


def _assets(request: Event, rules: EventRules) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Name and content of each asset that the model was asked about, in the order of the request."""
    rows = _rows(request.data, rules)
    for number, row in enumerate(rows):
        asset = _asset(row, rules)
        name = row.get(rules.id_key)
        if not name and asset is None:
            place = f"request.instances[{number}]"
            problem = f"names no asset: it has none of {rules.id_key}, {rules.url_key}, {rules.text_key}"
            fix = "send one with each instance or as a tensor, or set WORKER_KSERVE__ID_KEY, __URL_KEY or __TEXT_KEY"
            raise MessageError("invalid_message", place, problem, fix)
        service = request.attributes.get("inferenceservicename", "")
        yield str(name or f"{service}/{request.id}/{number}"), asset


def _asset(row: Mapping[str, Any], rules: EventRules) -> dict[str, str] | None:
    for kind, key in (("url", rules.url_key), ("text", rules.text_key)):
        if isinstance(row.get(key), str) and row[key]:
            return {kind: row[key]}
    return None


def _rows(data: Any, rules: EventRules) -> list[Mapping[str, Any]]:
    """The instances of a request of protocol v1, or the rows of the input tensors of v2."""
    instances = data.get("instances") if isinstance(data, Mapping) else None
    if isinstance(instances, list) and instances:
        return [one if isinstance(one, Mapping) else {} for one in instances]
    tensors = data.get("inputs") if isinstance(data, Mapping) else None
    if isinstance(tensors, list) and tensors:
        return _tensor_rows(tensors, data.get("parameters"), rules)
    fix = "log requests of KServe's protocol v1 or v2"
    raise MessageError("invalid_message", "request.data", "has neither instances nor inputs", fix)


def _tensor_rows(tensors: list[Any], parameters: Any, rules: EventRules) -> list[Mapping[str, Any]]:
    keys = (rules.id_key, rules.url_key, rules.text_key)
    named = {one.get("name"): _flat(one.get("data")) for one in tensors if isinstance(one, Mapping)}
    columns = {key: named[key] for key in keys if key in named}
    if columns:
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            problem = f"{', '.join(columns)} are of different lengths"
            raise MessageError("invalid_message", "request.inputs", problem, "send one value for each row")
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [{key: parameters[key] for key in keys if key in parameters}] if isinstance(parameters, Mapping) else [{}]


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return []
    return [leaf for one in data for leaf in (_flat(one) if isinstance(one, list) else [one])]
