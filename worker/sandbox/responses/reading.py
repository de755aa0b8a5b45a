"""Values of a jsonResponse with the form they must have, and what is known of the asset it is about."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NoReturn
from urllib.parse import urlsplit

from worker.sandbox.responses.interface import Interface

#: Endings of files that may carry a position on Earth.
GEOREFERENCED = frozenset({".tif", ".tiff", ".jp2", ".ntf", ".nitf"})
GEOREFERENCED_TYPES = frozenset({"image/tiff", "image/jp2"})


@dataclass(frozen=True, slots=True)
class Range:
    """How far coordinates reach; `words` say it."""

    left: float
    top: float
    right: float
    bottom: float
    limit: str

    def holds(self, x: float, y: float) -> bool:
        """Tell whether a point lies inside."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom


SHARES = Range(0, 0, 1, 1, "outside the range 0 to 1: coordinates are shares of the image, not pixels or degrees")
DEGREES = Range(
    -180, -90, 180, 90, "outside the range of degrees: longitude between -180 and 180, latitude between -90 and 90"
)


@dataclass(frozen=True, slots=True)
class AnnotatedContent:
    """An asset as far as it is known; `parts` are the texts of a rich text by id, in their order."""

    text: str | None = None
    parts: Mapping[str, str] | None = None
    is_georeferenced: bool = False

    def range_in(self, interface: Interface) -> Range:
        """Return the range of the asset's coordinates in a project."""
        if interface.input_type == "GEOSPATIAL":
            return SHARES if interface.pixel_labeling else DEGREES
        return DEGREES if interface.input_type == "IMAGE" and self.is_georeferenced else SHARES


def may_be_georeferenced(url: str, media_type: str = "") -> bool:
    """Tell from an address, and the media type where it is known, whether an image may carry a position on Earth."""
    ending = PurePosixPath(urlsplit(url).path).suffix.lower()
    return ending in GEOREFERENCED or media_type.partition(";")[0].strip() in GEOREFERENCED_TYPES


def rich_text_parts(content: Any) -> dict[str, str]:
    """Return the texts of a rich text by the ids of the elements that hold them, in their order."""
    parts: dict[str, str] = {}
    waiting = [content]
    while waiting:
        element = waiting.pop()
        if isinstance(element, list):
            waiting += reversed(element)
        elif isinstance(element, dict):
            if isinstance(element.get("id"), str) and isinstance(element.get("text"), str):
                parts[element["id"]] = element["text"]
            waiting.append(element.get("children"))
    return parts


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
