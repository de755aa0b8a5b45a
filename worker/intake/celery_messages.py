"""Celery's message format on Redis, read without Celery's consumer; compression undone up to a limit.

Format: "Task message protocol" versions 1 and 2 of the Celery documentation, and the Redis transport's storage
format of kombu: a JSON object with ``body`` (base64), ``content-type``, ``content-encoding``, ``headers`` and
``properties``.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from worker.contract import MessageError
from worker.environment import clock

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


TASK = "predictions.ingest"
NAMES_OF_ARGUMENT = ("prediction", "predictions", "message", "messages")
MAX_BODY_BYTES = 64_000_000
MAX_MESSAGES = 10_000
"""Most messages in one envelope: what is admitted in one transaction has to stay small enough for Redis."""


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
