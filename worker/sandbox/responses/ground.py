"""What is known of the asset that a response is about: its text, and the range of its coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from worker.sandbox.interface import Interface

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
    words: str

    def holds(self, x: float, y: float) -> bool:
        """Tell whether a point lies inside."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom


SHARES = Range(0, 0, 1, 1, "outside the range 0 to 1: coordinates are shares of the image, not pixels or degrees")
DEGREES = Range(
    -180, -90, 180, 90, "outside the range of degrees: longitude between -180 and 180, latitude between -90 and 90"
)


@dataclass(frozen=True, slots=True)
class Ground:
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
