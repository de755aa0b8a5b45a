"""Read one value out of a raw payload, or raise the error that names the field and what to do.

OutputError              a field, its problem, the fix
├── UnknownFormat        no family has this structure; names the nearest and the field that did not fit
├── AmbiguousFormat      two families have this structure with different meanings; names both
└── ResultPointer        the payload only says where the result is; fetch it and read that instead

A path is a tuple of keys and positions; it becomes text (``payload[3].box.xmin``) only when an error is raised,
so that reading thousands of numbers builds no strings.
"""

from __future__ import annotations

import ast
import base64
import binascii
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeGuard

from worker.contract.output import OutputError


class UnknownFormat(OutputError):
    """No family has the payload's structure."""

    def __init__(self, field: str, problem: str, fix: str, nearest: str | None = None) -> None:
        super().__init__(field, problem, fix)
        self.nearest = nearest


class AmbiguousFormat(OutputError):
    """Several families have the payload's structure and would read different things from it."""

    def __init__(self, field: str, problem: str, families: Sequence[str], fix: str = "") -> None:
        super().__init__(field, problem, fix or f"set format to one of {', '.join(families)}")
        self.families = tuple(families)


class ResultPointer(OutputError):
    """The result was not sent along: it lies at ``location``.

    Fetch it where the settings allow that place, then read the payload again with the body as ``ReadOptions.result``.
    ``evidence`` is what the payload says beside it.
    """

    def __init__(self, field: str, location: str, content_type: str | None, evidence: Mapping[str, Any]) -> None:
        super().__init__(
            field,
            f"the result is not inline, it is at {location}",
            "allow that place to be fetched, or have the notification include the response",
        )
        self.location = location
        self.content_type = content_type
        self.evidence = dict(evidence)


Path = tuple[str | int, ...]

MOST_EXACT = 1 << 53
"""Whole numbers up to this one are floats without loss."""

ROOT: Path = ("payload",)


def show(path: Path) -> str:
    """Write a path as a reader of JSON would: ``payload[3].box.xmin``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def describe(value: Any) -> str:
    """Name a JSON value shortly, without printing what is inside an object or a list."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:37] + "…")
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a huge integer"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"


def fail(path: Path, problem: str, fix: str = "") -> NoReturn:
    """Raise OutputError for the field at ``path``."""
    raise OutputError(show(path), problem, fix)


def number(value: Any, *path: str | int) -> float:
    """Return a finite number as float.

    Raises OutputError for anything else; NaN and Infinity are refused.
    """
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int and -MOST_EXACT < value < MOST_EXACT:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        fail(path, f"{describe(value)} is not a number")
    try:
        result = float(value)
    except OverflowError:
        fail(path, f"{describe(value)} is too large")
    if not math.isfinite(result):
        fail(path, f"{describe(value)} is not a finite number", "send null or leave the item out")
    return result


_NUMBERS = frozenset((int, float))


def finite_numbers(values: Sequence[Any]) -> list[float] | None:
    """Return plain finite numbers as floats; None where any is something else, for a slower look at each."""
    if not _NUMBERS.issuperset(map(type, values)):
        return None
    try:
        exact = list(map(float, values))
    except OverflowError:
        return None
    return exact if math.isfinite(sum(exact)) else None


def sides(box: Any, names: Sequence[str], at: Path) -> list[float]:
    """Return the numbers under these keys of an object."""
    outer = mapping(box, *at)
    exact = finite_numbers([outer.get(name) for name in names])
    return [number(member(outer, name, at), *at, name) for name in names] if exact is None else exact


def integer(value: Any, *path: str | int) -> int:
    """Return a whole number; ``3.0`` counts as 3, true and false do not count."""
    result = number(value, *path)
    if result != int(result):
        fail(path, f"{describe(value)} is not a whole number")
    return int(result)


def string(value: Any, *path: str | int) -> str:
    """Return a string that holds more than white space."""
    if not isinstance(value, str):
        fail(path, f"{describe(value)} is not a string")
    if not value.strip():
        fail(path, "an empty string")
    return value


def array(value: Any, *path: str | int) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        fail(path, f"{describe(value)} is not a list")
    return value


def mapping(value: Any, *path: str | int) -> Mapping[str, Any]:
    """Return an object."""
    if not is_object(value):
        fail(path, f"{describe(value)} is not an object")
    return value


def member(value: Mapping[str, Any], key: str, at: Path) -> Any:
    """Return ``value[key]``."""
    if key not in value:
        fail((*at, key), "missing")
    return value[key]


def same_length(lists: Mapping[str, Sequence[Any]], at: Path, fix: str = "") -> int:
    """Return the common length of parallel lists."""
    lengths = {key: len(value) for key, value in lists.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        fail(at, f"lists of different length: {counts}", fix)
    return next(iter(lengths.values()))


def is_object(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Tell whether a value is a JSON object; the usual types are told without asking the slow abstract class."""
    kind = type(value)
    return kind is dict or (kind is not list and isinstance(value, Mapping))


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a number (true and false are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def looks_like_json(text: str) -> bool:
    """Tell whether a string is meant to be a JSON object or list."""
    stripped = text.strip()
    return stripped[:1] + stripped[-1:] in ("{}", "[]")


def parse_json(text: str, at: Path) -> Any:
    """Parse JSON; NaN and Infinity are refused."""
    try:
        return json.loads(text, parse_constant=lambda name: _refuse_constant(name, at))
    except OutputError:
        raise
    except json.JSONDecodeError as error:
        fail(at, f"not JSON: {error.msg} at character {error.pos}")
    except ValueError:
        fail(at, "not JSON that can be read: a number has too many digits")
    except RecursionError:
        fail(at, "nested too deeply")


def parse_object(text: str, at: Path) -> Any:
    """Parse JSON, or an object as Python writes it (``{0: 0.03, 1: 0.97}``), whose keys become texts."""
    if not _PYTHON_KEYS.search(text):
        return parse_json(text, at)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return parse_json(text, at)
    if not isinstance(value, dict) or not all(isinstance(inner, int | float | str) for inner in value.values()):
        return parse_json(text, at)
    return {str(key): inner for key, inner in value.items()}


_PYTHON_KEYS = re.compile(r"""^\s*\{\s*(\d+|'[^']*')\s*:""")
"""How an object begins that Python has written and JSON cannot read."""


def decode_base64(value: Any, at: Path) -> bytes:
    """Decode standard base64; a ``data:`` URL's prefix is dropped."""
    text = string(value, *at)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        fail(at, "not base64")


def parse_base64_json(value: Any, at: Path) -> Any:
    """Decode base64 and parse the JSON inside; a bare text, such as a class, is given as it is."""
    try:
        text = decode_base64(value, at).decode("utf-8")
    except UnicodeDecodeError:
        fail(at, "the decoded bytes are not UTF-8 text")
    return parse_json_or_text(text, at)


def parse_json_or_text(text: str, at: Path) -> Any:
    """Parse JSON; a text that is meant to be none is given as it is. Markup is no answer, and no text either."""
    if not _BARE.match(text):
        return parse_json(text, at)
    return text


_BARE = re.compile(r"\s*(?!(?:true|false|null|NaN|-?Infinity)\s*$)[^\W\d_]")
"""How a text begins that is no JSON: with a letter, and it is no constant of JSON."""


def _refuse_constant(name: str, at: Path) -> NoReturn:
    fail(at, f"{name} is not a finite number", "send null or leave the item out")
