"""Shapes of the short form: boxes, polygons, masks and points, each with its class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from worker.contract.output import DetectedObject, Shape
from worker.formats.checks import Path, array, describe, fail, integer, mapping, number
from worker.formats.contours import as_hole, as_outline
from worker.formats.coordinates import Canvas, corners_of, numbers, pose_shape, unit_canvas
from worker.formats.masks import placed, shape_of_grid, shape_of_png, shape_of_rle
from worker.formats.options import Kept, LeftOut, ReadOptions, keep
from worker.formats.scores import label_of, probability

Item = Mapping[str, Any]


class Drawing:
    """What is known of all shapes of an item: the options, and the canvas, once a shape has needed it."""

    __slots__ = ("_canvas", "options")

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self._canvas: Canvas | None = None

    def canvas(self, at: Path) -> Canvas:
        """The canvas of the image; raises OutputError where the units, or the image's size, are not known."""
        if self._canvas is None:
            units = self.options.units
            if units is None:
                problem, fix = "missing: what are the coordinates?", "set pixel, relative, percent or per_mille"
                fail((*at[:-2], "units"), problem, fix)
            self._canvas = unit_canvas(units, self.options, at)
        return self._canvas


Reader = Callable[[Item, Drawing, Path], Shape]


def read_shapes(item: Item, options: ReadOptions, at: Path) -> Kept[DetectedObject]:
    """Read the objects under all of an item's shape keys, in the order of ``SHAPES``.

    Raises OutputError for a wrong object, and where ``units`` are needed and nobody says them.
    """
    objects = [
        (key, one, (*at, key, i)) for key in SHAPES if key in item for i, one in enumerate(array(item[key], *at, key))
    ]
    drawing = Drawing(options)
    return keep(objects, lambda one: _object(*one, drawing), options)


def _object(key: str, value: Any, at: Path, drawing: Drawing) -> DetectedObject:
    one = {name: inner for name, inner in mapping(value, *at).items() if inner is not None}
    read, keys = SHAPES[key]
    options = drawing.options
    if not one.keys() <= _KNOWN[key]:
        name = next(name for name in one if name not in _KNOWN[key])
        fail((*at, name), f"is no key of {key}", f"its keys are {', '.join((*_COMMON, *keys))}")
    track = one.get("track")
    return DetectedObject(
        label_of(one.get("label"), options, (*at, "label")),
        read(one, drawing, at),
        probability(one.get("score"), options, (*at, "score")),
        track_id=None if track is None else str(track),
        page=integer(one["page"], *at, "page") if "page" in one else None,
    )


def _box(one: Item, drawing: Drawing, at: Path) -> Shape:
    canvas, options = drawing.canvas(at), drawing.options
    if "corners" in one:
        corners = _points(one["corners"], (*at, "corners"))
        if len(corners) != 4:
            fail((*at, "corners"), f"{len(corners)} corners where 4 are needed")
        return canvas.corners(corners, (*at, "corners"))
    place = (*at, "box")
    x1, y1, x2, y2 = corners_of(numbers(one.get("box"), 4, place), options.box_order or "xyxy")
    angle = number(one["angle"], *at, "angle") if "angle" in one else 0.0
    if not angle:
        return canvas.box(x1, y1, x2, y2, place)
    if options.image_size is None:
        fail((*at, "angle"), "a turned box needs the image's size", "set image_size: [width, height]")
    return canvas.corners(_turned(x1, y1, x2, y2, math.radians(angle), canvas, options), place)


def _turned(
    x1: float, y1: float, x2: float, y2: float, angle: float, canvas: Canvas, options: ReadOptions
) -> list[tuple[float, float]]:
    """The corners of a box turned about its centre, clockwise as seen; turned in pixels, so that it keeps its form."""
    size = options.image_size
    across, down = (size[0] / canvas.width, size[1] / canvas.height) if size else (1.0, 1.0)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    corners = []
    for side_x, side_y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2)):
        dx, dy = (side_x - x) * across, (side_y - y) * down
        corners.append((x + (dx * cos - dy * sin) / across, y + (dx * sin + dy * cos) / down))
    return corners


def _polygon(one: Item, drawing: Drawing, at: Path) -> Shape:
    canvas = drawing.canvas(at)
    outline = canvas.ring(_points(one.get("polygon"), (*at, "polygon")), (*at, "polygon"))
    if "holes" not in one:
        return Shape("polygon", (outline,))
    holes = [
        canvas.ring(_points(hole, (*at, "holes", i)), (*at, "holes", i))
        for i, hole in enumerate(array(one["holes"], *at, "holes"))
    ]
    return Shape("semantic", (as_outline(outline), *(as_hole(hole) for hole in holes)))


def _mask(one: Item, drawing: Drawing, at: Path) -> Shape:
    readers = {"png": shape_of_png, "rle": shape_of_rle, "grid": shape_of_grid}
    given = [name for name in readers if name in one]
    if len(given) != 1:
        fail(at, f"needs one of {', '.join(readers)}; found {' and '.join(given) or 'none'}")
    shape = readers[given[0]](one[given[0]], (*at, given[0]))
    if shape is None:
        raise LeftOut("empty_masks")
    if "box" not in one:
        return shape
    four = numbers(one["box"], 4, (*at, "box"))
    return placed(shape, drawing.canvas(at).ordered(four, drawing.options.box_order or "xyxy", (*at, "box")))


def _point(one: Item, drawing: Drawing, at: Path) -> Shape:
    canvas = drawing.canvas(at)
    if "point" in one:
        x, y = numbers(one["point"], 2, (*at, "point"))
        return Shape("marker", ((canvas.point(x, y, (*at, "point")),),))
    points, place = one.get("points"), (*at, "points")
    named = isinstance(points, Mapping)
    names = tuple(points) if isinstance(points, Mapping) else drawing.options.point_names
    values = list(points.values()) if isinstance(points, Mapping) else array(points, *place)
    found = [_seen(value, (*place, names[i] if named and names else i)) for i, value in enumerate(values)]
    return pose_shape([(x, y) for x, y, _ in found], [seen for *_, seen in found], canvas, names, place)


def _seen(value: Any, at: Path) -> tuple[float, float, float]:
    """A point of a pose with how visible it is; null stands for one that was not found."""
    if value is None:
        return 0.0, 0.0, 0.0
    items = array(value, *at)
    if len(items) == 3:
        x, y, visible = numbers(items, 3, at)
        return x, y, visible
    x, y = numbers(items, 2, at)
    return x, y, 1.0


def _points(value: Any, at: Path) -> list[tuple[float, float]]:
    """Points as pairs, or as one flat list of x and y in turn."""
    items = array(value, *at)
    if items and not isinstance(items[0], list):
        if len(items) % 2:
            fail(at, f"{describe(value)} of {len(items)} numbers is no list of x and y")
        flat = numbers(items, len(items), at)
        return list(zip(flat[::2], flat[1::2], strict=True))
    pairs = [numbers(point, 2, (*at, i)) for i, point in enumerate(items)]
    return [(x, y) for x, y in pairs]


_COMMON = ("label", "score", "track", "page")
SHAPES: Mapping[str, tuple[Reader, tuple[str, ...]]] = {
    "boxes": (_box, ("box", "corners", "angle")),
    "polygons": (_polygon, ("polygon", "holes")),
    "masks": (_mask, ("png", "rle", "grid", "box")),
    "points": (_point, ("point", "points")),
}
"""Readers of shapes and the keys of their objects beside label, score, track and page."""
_KNOWN = {key: frozenset((*_COMMON, *keys)) for key, (_, keys) in SHAPES.items()}
