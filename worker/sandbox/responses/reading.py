"""Values of a json_response with the form they must have, and the one way to say that they have not."""

from __future__ import annotations

import math
from typing import Any, NoReturn

Json = dict[str, Any]


class Malformed(ValueError):
    """The reason why a json_response is refused."""


def refuse(where: str, problem: str) -> NoReturn:
    """Raise Malformed for a place in the response."""
    raise Malformed(f"{where or 'json_response'}: {problem}")


def inside(where: str, key: str | int) -> str:
    """Return the place of a value inside another one."""
    if isinstance(key, int):
        return f"{where}[{key}]"
    return f"{where}.{key}" if where else key


def an_object(value: Any, where: str) -> Json:
    """Return a JSON object."""
    if not isinstance(value, dict):
        refuse(where, "it must be an object")
    return value


def a_list(value: Any, where: str) -> list[Any]:
    """Return a JSON array."""
    if not isinstance(value, list):
        refuse(where, "it must be a list")
    return value


def a_text(value: Any, where: str) -> str:
    """Return a JSON string."""
    if not isinstance(value, str):
        refuse(where, "it must be a text")
    return value


def a_name(value: Any, where: str) -> str:
    """Return a JSON string that is not empty."""
    if not a_text(value, where):
        refuse(where, "it must not be empty")
    return str(value)


def a_whole_number(value: Any, where: str) -> int:
    """Return a whole number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != math.floor(value) or value < 0:
        refuse(where, f"{value!r} is outside the whole numbers of at least 0")
    return int(value)


def a_coordinate(value: Any, where: str) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        refuse(where, f"{value!r} is no number")
    return float(value)


def check_percentage(source: Json, key: str, where: str, *, whole: bool) -> None:
    """Refuse what is neither missing, null nor a number of percents (`whole`: no fraction); no probability is."""
    value = source.get(key)
    if value is None:
        return
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= 100
        or (value % 1 and (whole or value < 1))
    ):
        kind = "a whole number" if whole else "a number"
        refuse(inside(where, key), f"{value!r} is no percentage: {kind} between 0 and 100")


def check_key_frame(source: Json, where: str) -> None:
    """Refuse a mark of key frames that is no boolean."""
    if not isinstance(source.get("isKeyFrame", False), bool):
        refuse(inside(where, "isKeyFrame"), "it must be true or false")
