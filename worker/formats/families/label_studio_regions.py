"""Label Studio's image regions: x, y, width and height in percent, turned by degrees around the top left corner."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from worker.formats.checks import Path, array, fail, member, number
from worker.formats.coordinates import Canvas, numbers, unit_canvas
from worker.formats.options import ReadOptions
from worker.formats.output import Shape

Results = list[tuple[Mapping[str, Any], Path]]
"""Results, each with its path."""

_PLAIN = {"rectangle": "rectanglelabels", "polygon": "polygonlabels", "keypoint": "keypointlabels"}


def joined(results: Results) -> Results:
    """Join a region with the labels that share its id, which separate tags for both send; others stay."""
    labels = {
        result["id"]: value["labels"]
        for result, _ in results
        if result.get("type") == "labels" and isinstance(value := result.get("value"), Mapping) and value.get("labels")
        if isinstance(result.get("id"), str)
    }
    regions = {str(result["id"]) for result, _ in results if _is_plain(result)}
    found: Results = []
    for result, place in results:
        name = result.get("id")
        if not isinstance(name, str) or name not in regions or name not in labels:
            found.append((result, place))
        elif _is_plain(result):
            kind = _PLAIN[str(result["type"])]
            found.append(({**result, "type": kind, "value": {**result["value"], kind: labels[name]}}, place))
    return found


def _is_plain(result: Mapping[str, Any]) -> bool:
    kind = result.get("type")
    is_region = isinstance(kind, str) and kind in _PLAIN
    return is_region and isinstance(result.get("value"), Mapping) and isinstance(result.get("id"), str)


def read_region(
    kind: str, value: Mapping[str, Any], result: Mapping[str, Any], options: ReadOptions, at: Path
) -> Shape:
    """Read one region's shape; the image's size stands beside the value or in it."""
    size = _size(result, at) or _size(value, (*at, "value"))
    canvas = unit_canvas("percent", options, at, size)
    if value.get("rotation"):
        return _turned(value, size, canvas, (*at, "value"))
    return REGIONS[kind](value, canvas, (*at, "value"))


def _size(holder: Mapping[str, Any], at: Path) -> tuple[float, float] | None:
    width, height = (_side(holder, key, at) for key in ("original_width", "original_height"))
    return None if width is None or height is None else (width, height)


def _side(result: Mapping[str, Any], key: str, at: Path) -> float | None:
    if result.get(key) is None:
        return None
    side = number(result[key], *at, key)
    if side < 1:
        fail((*at, key), f"an image side of {side:g} pixels")
    return side


def _value(value: Mapping[str, Any], key: str, at: Path) -> float:
    return number(member(value, key, at), *at, key)


def _rectangle(value: Mapping[str, Any], canvas: Canvas, at: Path) -> Shape:
    x, y, width, height = (_value(value, key, at) for key in ("x", "y", "width", "height"))
    return canvas.box(x, y, x + width, y + height, at)


def _turned(value: Mapping[str, Any], size: tuple[float, float] | None, canvas: Canvas, at: Path) -> Shape:
    """Turn a rectangle: degrees hold in pixels, so the image's proportions are needed."""
    if "width" not in value:
        fail((*at, "rotation"), "only rectangles can be turned")
    if size is None:
        fail((*at, "rotation"), "a turned region needs original_width and original_height")
    image_width, image_height = size
    x, y, width, height = (_value(value, key, at) for key in ("x", "y", "width", "height"))
    if min(width, height) <= 0:
        fail(at, f"a region of {width:g} by {height:g} percent has no area")
    angle = math.radians(_value(value, "rotation", at))
    along = (width * math.cos(angle), width * math.sin(angle) * image_width / image_height)
    down = (-height * math.sin(angle) * image_height / image_width, height * math.cos(angle))
    corners = [(x, y), (x + along[0], y + along[1])]
    corners += [(x + along[0] + down[0], y + along[1] + down[1]), (x + down[0], y + down[1])]
    return canvas.corners(corners, at)


def _polygon(value: Mapping[str, Any], canvas: Canvas, at: Path) -> Shape:
    points = array(member(value, "points", at), *at, "points")
    pairs = [numbers(point, 2, (*at, "points", i)) for i, point in enumerate(points)]
    return canvas.polygon([(x, y) for x, y in pairs], (*at, "points"))


def _marker(value: Mapping[str, Any], canvas: Canvas, at: Path) -> Shape:
    return Shape("marker", ((canvas.point(_value(value, "x", at), _value(value, "y", at), at),),))


REGIONS: Mapping[str, Callable[[Mapping[str, Any], Canvas, Path], Shape]] = {
    "rectanglelabels": _rectangle,
    "polygonlabels": _polygon,
    "keypointlabels": _marker,
}
"""Readers by type of result."""
