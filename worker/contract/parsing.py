"""Read raw bytes into a :class:`Prediction`, or say which field is wrong and how to mend it."""

from __future__ import annotations

import difflib
import logging
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json

from worker.contract.message import AssetContent, Evidence, ModelVersion, Output, Prediction, PredictionBatch
from worker.contract.parts import Part

logger = logging.getLogger(__name__)


class MessageError(ValueError):
    """A message that cannot be admitted: names the field, the problem and the fix.

    ``cause`` is a short stable word by which dead letters are grouped: ``not_json`` (no JSON, or NaN or Infinity in
    it), ``too_large`` and ``too_deep`` (beyond the settings' limits), ``invalid_message`` (JSON that is not
    ``prediction/v1``), ``not_understood`` (raised an error that nobody foresaw).
    """

    def __init__(self, cause: str, field: str, problem: str, fix: str = "") -> None:
        self.cause = cause
        self.field = field
        self.problem = problem
        self.fix = fix
        super().__init__(f"{field}: {problem}" + (f"; {fix}" if fix else ""))


def unforeseen(error: Exception) -> MessageError:
    """An error that no code foresaw, as a rejection: the log has the place, nobody has the payload."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    message, kind = "a message could not be parsed: %s at %s", type(error).__name__
    logger.error(message, kind, place, extra={"action": "message_not_understood", "error": kind, "place": place})
    return MessageError("not_understood", "message", f"raised {kind} at {place}", "report it; replay after an update")


_decode = msgspec.json.Decoder(Prediction).decode
_PREDICTION, _BATCH = TypeAdapter(Prediction), TypeAdapter(PredictionBatch)
DEPTH_OF_CONTRACT = 8
"""Levels of nesting of what the contract itself describes."""


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """Caps on what is read: bytes of one message, and levels of nesting."""

    max_bytes: int = 8_000_000
    max_depth: int = 48


_NO_LIMITS = ReadingLimits(max_bytes=1 << 40, max_depth=10_000)


def read_json(raw: bytes | str, limits: ReadingLimits) -> Any:
    """Parse strict JSON.

    Raises:
        MessageError: too large, too deep, not JSON, or holding NaN or Infinity.
    """
    if len(raw) > limits.max_bytes:
        raise MessageError(
            "too_large",
            "message",
            f"{len(raw):,} bytes, more than {limits.max_bytes:,}",
            "send a link instead of content",
        )
    try:
        value = from_json(raw, allow_inf_nan=True, cache_strings="keys")
    except ValueError as error:
        raise _not_json(error) from None
    check_values(value, limits)
    return value


def check_values(value: Any, limits: ReadingLimits) -> None:
    """Refuse what JSON lets through and nobody downstream can store: depth, NaN, Infinity.

    Raises:
        MessageError: with the path of the first offending value.
    """
    if _is_storable(value, limits.max_depth):
        return
    level: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    for _ in range(limits.max_depth + 1):
        level = [child for path, node in level for child in _children(path, node)]
        if not level:
            return
    raise MessageError("too_deep", "message", f"nested deeper than {limits.max_depth} levels", "flatten it")


def _is_storable(node: Any, deeper: int) -> bool:
    """Whether all numbers are finite and nothing is nested deeper; a quick look that names no place."""
    if isinstance(node, dict):
        node = node.values()
    elif not isinstance(node, list):
        return True
    for child in node:
        kind = type(child)
        if kind is float:
            if not isfinite(child):
                return False
        elif (kind is dict or kind is list) and not (deeper and _is_storable(child, deeper - 1)):
            return False
    return True


def _children(path: tuple[Any, ...], node: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    pairs: Any
    if isinstance(node, dict):
        pairs = node.items()
    elif isinstance(node, list):
        pairs = enumerate(node)
    else:
        return
    for key, child in pairs:
        if isinstance(child, float) and not isfinite(child):
            raise MessageError(
                "not_json", path_text((*path, key)), "is not a finite number", "send a finite number or null"
            )
        if isinstance(child, dict | list):
            yield (*path, key), child


def read_prediction(value: Any) -> Prediction:
    """Validate parsed JSON as ``prediction/v1``.

    Raises:
        MessageError: naming the first wrong field, the problem and the fix.
    """
    try:
        return _PREDICTION.validate_python(value)
    except ValidationError as error:
        raise _first_of(error) from None


def read_message(value: Any) -> Prediction | PredictionBatch:
    """Validate parsed JSON as one prediction, or as a batch when it has ``external_ids``.

    Raises:
        MessageError: naming the first wrong field, the problem and the fix.
    """
    if not (isinstance(value, dict) and "external_ids" in value):
        return read_prediction(value)
    try:
        return _BATCH.validate_python(value)
    except ValidationError as error:
        raise _first_of(error) from None


def read_raw(raw: bytes, limits: ReadingLimits) -> Prediction | PredictionBatch:
    """The same as ``read_message(read_json(raw, limits))``, for less where nothing is wrong with a single prediction.

    Raises:
        MessageError: as both.
    """
    if len(raw) <= limits.max_bytes and limits.max_depth >= DEPTH_OF_CONTRACT:
        try:
            found = _decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass  # the longer way knows the words
        else:
            if raw.count(b"[") + raw.count(b"{") <= limits.max_depth or _is_shallow(found, limits):
                return found
    return read_message(read_json(raw, limits))


def read_stored(payload: bytes) -> Prediction:
    """Read a prediction that admission has let through: neither its size nor its depth are looked at again.

    Raises:
        MessageError: naming the first wrong field, the problem and the fix.
    """
    try:
        return _decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return read_prediction(read_json(payload, _NO_LIMITS))


def _is_shallow(found: Prediction, limits: ReadingLimits) -> bool:
    """What ``check_values`` asks, of the fields that may hold anything; the contract bounds all others."""
    output, asset, deepest = found.output, found.asset, limits.max_depth
    anything = [output.payload, output.json_response, output.answer, asset and asset.json_content]
    masks = [mask.rle for mask in output.masks or ()]
    of_jobs = [mask.rle for job in (output.jobs or {}).values() for mask in job.masks or ()]
    return (
        _is_storable(anything, deepest - 1)
        and _is_storable(masks, deepest - 3)  # message, output, masks, object
        and _is_storable(of_jobs, deepest - 5)
    )


def path_text(path: tuple[Any, ...]) -> str:
    """Write a path as ``output.scores.RED`` or ``labels[2].name``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "message"


def _not_json(error: ValueError) -> MessageError:
    message = str(error)
    if "recursion" in message:
        return MessageError("too_deep", "message", "nested too deep to be read", "flatten it")
    return MessageError("not_json", "message", f"is not valid JSON: {message}", "send one JSON object in UTF-8")


def _first_of(error: ValidationError) -> MessageError:
    details = error.errors(include_url=False, include_context=True)
    detail = min(details, key=lambda one: one["type"] != "extra_forbidden")
    path = tuple(detail["loc"])
    if path[:1] == ("metadata",):
        path = path[:2]  # what follows is only the branch of the union that failed
    return MessageError("invalid_message", path_text(path), _problem(detail), _fix(detail))


def _problem(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return "unknown key"
    if detail["type"] == "missing":
        return "is missing"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if detail["type"] == "string_pattern_mismatch":
        padded = detail["input"] != detail["input"].strip()
        message = "must not begin or end with white space" if padded else "must not hold control characters"
    shown = repr(detail["input"])
    return f"{message} (found {shown[:80]})" if not isinstance(detail["input"], dict | list) else message


def _fix(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(detail["loc"][-1]), _known_keys(detail["loc"]), n=1)
        return f"did you mean {near[0]}?" if near else "remove it"
    if detail["type"] == "missing":
        return "add it"
    if detail["type"] == "model_type":
        return "send one JSON object" if not detail["loc"] else "make it an object"
    if "time" in detail["type"]:
        return 'write it as "2026-11-23T10:15:00Z"'
    return "correct it"


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    if path[:2] == ("output", "evidence") and len(path) > 2:
        return list(Evidence.__struct_encode_fields__)
    parts: dict[str, type[Part]] = {"asset": AssetContent, "model": ModelVersion, "output": Output}
    part = parts.get(str(path[0]), Prediction) if len(path) > 1 else Prediction
    return list(part.__struct_encode_fields__)
