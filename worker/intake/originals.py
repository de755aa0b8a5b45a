"""Originals that are no messages of the contract, as messages: Celery messages, CloudEvents, and what KServe logs.

Celery's messages are read without its consumer, their compression is undone up to a limit. Format: "Task message
protocol" versions 1 and 2 of the Celery documentation, and the Redis transport's storage format of kombu: a JSON object
with ``body`` (base64), ``content-type``, ``content-encoding``, ``headers`` and ``properties``.

KServe's inference logger posts two events of one id for each call of a model: what the model was asked, and what it
answered. The request says which assets the answer is about, the response holds the answer.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from pydantic_core import PydanticSerializationError, from_json, to_json

from worker.contract import MessageError, ReadingLimits, read_json
from worker.environment import clock
from worker.formats import Event, read_event

TASK = "predictions.ingest"
NAMES_OF_ARGUMENT = ("prediction", "predictions", "message", "messages")
MAX_BODY_BYTES = 64_000_000
MAX_MESSAGES = 10_000
"""Most messages in one envelope: what is admitted in one transaction has to stay small enough for Redis."""

FIX = "send it with gzip, bzip2, lzma or uncompressed"
_CODECS: dict[str, Callable[[], Any]] = {
    name: codec
    for names, codec in (
        (("application/x-gzip", "gzip", "zlib"), zlib.decompressobj),
        (("application/x-bz2", "bzip2", "bzip"), bz2.BZ2Decompressor),
        (("application/x-lzma", "lzma", "xz"), lzma.LZMADecompressor),
    )
    for name in names
}
"""kombu's names of the codecs that Python itself has."""


def decompressed(raw: bytes, compression: Any, *, max_bytes: int) -> bytes:
    """The body as it was before compression.

    Raises:
        MessageError: unknown compression, broken or incomplete data, or more than ``max_bytes``.
    """
    codec = _CODECS.get(compression) if isinstance(compression, str) else None
    if codec is None:
        raise MessageError("broken_envelope", "headers.compression", f"{compression!r} is not known here", FIX)
    worker = codec()
    try:
        found: bytes = worker.decompress(raw, max_bytes + 1)
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError) as error:
        raise MessageError("broken_envelope", "body", f"{compression} cannot be undone: {error}", FIX) from None
    if len(found) > max_bytes:
        raise MessageError("too_large", "body", f"more than {max_bytes:,} bytes uncompressed", "send fewer at once")
    if not worker.eof:
        raise MessageError("broken_envelope", "body", f"{compression} data end too soon", FIX)
    return found


def messages_of(envelope: bytes, *, now: datetime | None = None, check_expiry: bool = True) -> list[bytes]:
    """The messages an envelope carries, each as JSON.

    Raises:
        MessageError: broken envelope, another task's, not JSON, unknown compression, expired, or too large; the
            envelope becomes one dead letter.
    """
    found = _object(envelope)
    headers = _mapping(found, "headers")
    body = _body(found, headers)
    if "task" in headers:
        args, kwargs = _protocol_2(body)
        task, expires = headers["task"], headers.get("expires")
    else:
        args, kwargs = _protocol_1(body)
        task, expires = body.get("task"), body.get("expires")
    if task != TASK:
        raise MessageError("unknown_task", "headers.task", f"is {task!r}, not {TASK!r}", "send it to another queue")
    if check_expiry:
        _check_expiry(expires, now or datetime.fromtimestamp(clock.now(), UTC))
    messages = list(islice(_messages(args, kwargs), MAX_MESSAGES + 1))
    if not messages:
        raise MessageError("invalid_message", "args", "holds no prediction", "pass the prediction as argument")
    if len(messages) > MAX_MESSAGES:
        problem = f"holds more than {MAX_MESSAGES:,} predictions"
        raise MessageError("too_many", "args", problem, "send them in smaller lists")
    return messages


def _object(envelope: bytes) -> dict[str, Any]:
    try:
        found = from_json(envelope)
    except ValueError as error:
        raise MessageError(
            "broken_envelope", "envelope", f"is not valid JSON: {error}", "use a Celery producer"
        ) from None
    if not isinstance(found, dict):
        raise MessageError("broken_envelope", "envelope", "is not a JSON object", "use a Celery producer")
    return found


def _mapping(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name) or {}
    if not isinstance(value, dict):
        raise MessageError("broken_envelope", name, "is not an object", "use a Celery producer")
    return value


def _body(found: Mapping[str, Any], headers: Mapping[str, Any]) -> Any:
    content_type = found.get("content-type", "application/json")
    if content_type != "application/json":
        raise MessageError(
            "content_type_refused", "content-type", f"{content_type} is not read", "set task_serializer to json"
        )
    raw, compression = _decoded(found), headers.get("compression")
    if compression:
        raw = decompressed(raw, compression, max_bytes=MAX_BODY_BYTES)
    elif len(raw) > MAX_BODY_BYTES:
        raise MessageError("too_large", "body", f"more than {MAX_BODY_BYTES:,} bytes", "send fewer at once")
    try:
        return _parsed(raw)
    except (ValueError, RecursionError) as error:
        raise MessageError("broken_envelope", "body", f"is not valid JSON: {error}", "use a Celery producer") from None


def _parsed(raw: bytes) -> Any:
    """Python's own JSON takes some texts that the faster parser refuses; each message is judged on its own later."""
    try:
        return from_json(raw, cache_strings="keys")
    except ValueError:
        return json.loads(raw)


def _decoded(found: Mapping[str, Any]) -> bytes:
    body = found.get("body")
    if not isinstance(body, str):
        raise MessageError("broken_envelope", "body", "is missing", "use a Celery producer")
    if _mapping(found, "properties").get("body_encoding") != "base64":
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageError("broken_envelope", "body", f"is not base64: {error}", "use a Celery producer") from None


def _protocol_1(body: Any) -> tuple[Any, Any]:
    if not isinstance(body, dict):
        raise MessageError("broken_envelope", "headers", "name no task, and body is no object", "use a Celery producer")
    return body.get("args") or [], body.get("kwargs") or {}


def _protocol_2(body: Any) -> tuple[Any, Any]:
    if not isinstance(body, list) or len(body) < 2:
        raise MessageError("broken_envelope", "body", "is not [args, kwargs, embed]", "use a Celery producer")
    return body[0] or [], body[1] or {}


def _check_expiry(expires: Any, now: datetime) -> None:
    if not expires:
        return
    try:
        moment = datetime.fromisoformat(expires)
    except (TypeError, ValueError):
        raise MessageError(
            "broken_envelope", "headers.expires", f"{expires!r} is no date", "use a Celery producer"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment <= now:
        raise MessageError("expired", "headers.expires", f"expired at {expires}", "replay it if it is still wanted")


def _messages(args: Any, kwargs: Any) -> Iterator[bytes]:
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise MessageError("broken_envelope", "body", "args is no list or kwargs no object", "use a Celery producer")
    unknown = sorted(set(kwargs) - set(NAMES_OF_ARGUMENT))
    if unknown:
        raise MessageError("invalid_message", unknown[0], "unknown keyword argument", "pass the prediction as argument")
    for value in [*args, *kwargs.values()]:
        for message in value if isinstance(value, list) else [value]:
            yield as_json(message)


def as_json(message: Any) -> bytes:
    """One message as JSON; a text is taken as JSON already.

    Raises:
        MessageError: nested too deep to be written.
    """
    if isinstance(message, str):
        return message.encode("utf-8", "surrogatepass")
    try:
        return to_json(message, inf_nan_mode="constants")
    except PydanticSerializationError:  # lone surrogates, or nested too deep
        pass
    try:
        return json.dumps(message, separators=(",", ":")).encode()
    except RecursionError:
        raise MessageError("too_deep", "args", "nested too deep to be read", "flatten it") from None


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
