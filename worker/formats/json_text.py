"""JSON that travels inside a string or as base64."""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
from typing import Any, NoReturn

from worker.formats.checks import Path, fail, string
from worker.formats.output import OutputError


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
    """Decode base64 and parse the JSON inside."""
    try:
        text = decode_base64(value, at).decode("utf-8")
    except UnicodeDecodeError:
        fail(at, "the decoded bytes are not UTF-8 text")
    return parse_json(text, at)


def _refuse_constant(name: str, at: Path) -> NoReturn:
    fail(at, f"{name} is not a finite number", "send null or leave the item out")
