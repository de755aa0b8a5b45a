"""What a jsonResponse is read with: the project's interface, what is known of the asset, and values in their form.

An interface is read once: the jobs, what they ask, and what may be chosen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, NoReturn
from urllib.parse import urlsplit

#: Inputs that take one category.
SINGLE_INPUTS = frozenset({"radio", "singleDropdown"})
#: Levels of a conversation whose answers to one job are several.
REPEATED_LEVELS = frozenset({"round", "completion"})
#: In an interface's relation ends: every category.
ANY = "ANY"


class InterfaceError(ValueError):
    """A jsonInterface cannot be read; the message names the job."""


@dataclass(frozen=True, slots=True)
class Category:
    """A category of a job; `points`, `starts` and `ends` are None where the interface does not limit them."""

    name: str
    shown: str = ""
    children: tuple[str, ...] = ()
    points: frozenset[str] | None = None
    starts: frozenset[str] | None = None
    ends: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job; `categories` holds the options of a comparison as well."""

    name: str
    task: str
    categories: Mapping[str, Category] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    input: str = ""
    level: str = ""
    required: bool = False
    is_child: bool = False

    @property
    def takes_one(self) -> bool:
        """Whether a classification takes one category."""
        return self.input in SINGLE_INPUTS and self.level not in REPEATED_LEVELS


@dataclass(frozen=True, slots=True)
class Interface:
    """The jobs of a project; `pixel_labeling` says that a map is labeled in shares of the image."""

    jobs: Mapping[str, Job]
    input_type: str = "IMAGE"
    pixel_labeling: bool = False


@lru_cache(maxsize=256)
def read_interface(json_interface: str, input_type: str = "IMAGE", pixel_labeling: bool = False) -> Interface:
    """Return the interface of a project; one that was never written has no jobs. Raises InterfaceError."""
    if json_interface.strip() in ("", "{}"):
        return Interface({}, input_type, pixel_labeling)
    try:
        content = json.loads(json_interface)
    except ValueError as error:
        raise InterfaceError(f"it is not valid JSON: {error}") from error
    jobs = content.get("jobs") if isinstance(content, dict) else None
    if not isinstance(jobs, dict):
        raise InterfaceError("it must be an object with the key jobs, an object")
    return Interface({name: _job(name, source) for name, source in jobs.items()}, input_type, pixel_labeling)


def _job(name: str, source: Any) -> Job:
    if not isinstance(source, dict) or not isinstance(source.get("mlTask"), str):
        raise InterfaceError(f"jobs.{name} must be an object with the key mlTask")
    content = source.get("content") or {}
    listed = content.get("categories") or content.get("options") or {} if isinstance(content, dict) else None
    if not isinstance(listed, dict):
        raise InterfaceError(f"jobs.{name}.content must be an object, and so must its categories")
    return Job(
        name=name,
        task=source["mlTask"],
        categories={key: _category(key, value) for key, value in listed.items()},
        tools=tuple(source.get("tools") or ()),
        input=str(content.get("input") or ""),
        level=str(source.get("level") or ""),
        required=bool(source.get("required")),
        is_child=bool(source.get("isChild")),
    )


def _category(name: str, source: Any) -> Category:
    source = source if isinstance(source, dict) else {}
    points = source.get("points")
    return Category(
        name=name,
        shown=str(source.get("name") or name),
        children=tuple(source.get("children") or ()),
        points=frozenset(point["code"] for point in points) if points else None,
        starts=_ends(source, "start"),
        ends=_ends(source, "end"),
    )


def _ends(source: Mapping[str, Any], end: str) -> frozenset[str] | None:
    listed = source.get(f"{end}Objects", source.get(f"{end}Entities"))
    return None if listed is None or ANY in listed else frozenset(listed)


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
