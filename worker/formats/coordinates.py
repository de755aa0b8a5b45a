"""From a model's coordinates to relative ones: x and y in [0, 1], origin top left, y down.

The points of a pose are named by their position, as models send them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.contract.output import Point, Shape
from worker.formats.checks import Path, array, describe, fail, finite_numbers, number
from worker.formats.options import BoxOrder, LeftOut, ReadOptions, Units

SLACK_PIXELS = 5.0
"""How far outside the image a coordinate may always lie; it is clipped."""

ROUNDING_PIXELS = 1.0
"""What is outside by no more is rounding: it is clipped whatever the options say."""

ROUNDING_SHARE = 0.002
"""The same as a share of the side, where the image's size is not known (one pixel of 500)."""

EXTENTS: dict[Units, float] = {"relative": 1.0, "percent": 100.0, "per_mille": 1000.0}
"""How far the units run that do not depend on the image's size."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """An image's extent in the model's units, and how far outside it a coordinate may lie.

    ``is_proven`` is False where the units are the family's by rule and nobody has said so of this payload.
    ``exact_x`` and ``exact_y`` are what rounding may put outside; beyond them ``drops`` leaves the object out.
    """

    width: float
    height: float
    slack_x: float
    slack_y: float
    is_proven: bool = True
    drops: bool = False
    exact_x: float = 0.0
    exact_y: float = 0.0

    def point(self, x: float, y: float, at: Path) -> Point:
        """Return a point in relative coordinates, clipped within the slack.

        Raises OutputError when it lies farther outside, LeftOut when such objects are dropped.
        """
        width, height = self.width, self.height
        if 0 <= x <= width and 0 <= y <= height:
            return x / width, y / height
        if self.drops and not (
            -self.exact_x <= x <= width + self.exact_x and -self.exact_y <= y <= height + self.exact_y
        ):
            self._check(x, y, at)
            raise LeftOut("outside")
        self._check(x, y, at)
        return min(max(x / width, 0.0), 1.0), min(max(y / height, 0.0), 1.0)

    def _check(self, x: float, y: float, at: Path) -> None:
        _check_side(x, self.width, self.slack_x, "x", at)
        _check_side(y, self.height, self.slack_y, "y", at)

    def box(self, x1: float, y1: float, x2: float, y2: float, at: Path) -> Shape:
        """Return an upright rectangle, clipped.

        Raises OutputError when it is outside, inverted or empty, or so small that it must be in other units.
        """
        if not self.is_proven and x2 <= 1 and y2 <= 1:
            fail(at, f"the box {_corners(x1, y1, x2, y2)} may be relative or within one pixel", _EITHER)
        if not (x1 < x2 and y1 < y2):
            fail(at, f"the box {_corners(x1, y1, x2, y2)} has no area", "send x1 < x2 and y1 < y2")
        left, top = self.point(x1, y1, at)
        right, bottom = self.point(x2, y2, at)
        if not (left < right and top < bottom):
            fail(at, f"the box {_corners(x1, y1, x2, y2)} lies at the very edge: nothing of it is inside")
        return Shape("rectangle", (((left, top), (right, top), (right, bottom), (left, bottom)),))

    def ordered(self, four: Sequence[float], order: BoxOrder, at: Path) -> Shape:
        """Return an upright rectangle from four numbers in this order."""
        return self.box(*corners_of(four, order), at)

    def corners(self, points: Iterable[tuple[float, float]], at: Path) -> Shape:
        """Return a rectangle from its four corners; it may be turned."""
        return Shape("rectangle", (tuple([self.point(x, y, at) for x, y in points]),))

    def polygon(self, points: Sequence[tuple[float, float]], at: Path) -> Shape:
        """Return a polygon; raises OutputError for fewer than three points."""
        return Shape("polygon", (self.ring(points, at),))

    def ring(self, points: Sequence[tuple[float, float]], at: Path) -> tuple[Point, ...]:
        """Return a closed ring of at least three points, without a repeated last point."""
        closed = len(points) > 1 and points[0] == points[-1]
        kept = points[:-1] if closed else points
        if len(kept) < 3:
            fail(at, f"a polygon of {len(kept)} points", "a polygon needs three or more")
        return tuple(self.point(x, y, at) for x, y in kept)


def corners_of(four: Sequence[float], order: BoxOrder) -> tuple[float, float, float, float]:
    """Return x1, y1, x2, y2 of a box given in this order."""
    a, b, c, d = four
    if order == "xyxy":
        return a, b, c, d
    if order == "yxyx":
        return b, a, d, c
    if order == "xywh":
        return a, b, a + c, b + d
    return a - c / 2, b - d / 2, a + c / 2, b + d / 2


def unit_canvas(units: Units, options: ReadOptions, at: Path, size: tuple[float, float] | None = None) -> Canvas:
    """The canvas for coordinates in these units, for an image of ``size`` in pixels (else of the options' size).

    Raises OutputError for pixels of an image whose size is not known.
    """
    known = size or options.image_size
    extent = EXTENTS.get(units)
    if extent is None and known is None:
        fail(at, "coordinates in pixels need the image's size", "set image_size: [width, height]")
    width, height = (extent, extent) if extent is not None else known or (1, 1)
    pixel_x, pixel_y = (width / known[0], height / known[1]) if known else (0.0, 0.0)
    if options.outside == "refuse":
        share, pixels = 0.0, ROUNDING_PIXELS
    else:
        share, pixels = options.outside_tolerance, SLACK_PIXELS if options.outside_tolerance else ROUNDING_PIXELS
    slack_x, slack_y = max(share * width, pixels * pixel_x), max(share * height, pixels * pixel_y)
    exact_x = min(slack_x, max(ROUNDING_PIXELS * pixel_x, ROUNDING_SHARE * width))
    exact_y = min(slack_y, max(ROUNDING_PIXELS * pixel_y, ROUNDING_SHARE * height))
    drops = options.outside == "drop"
    return Canvas(width, height, max(slack_x, exact_x), max(slack_y, exact_y), True, drops, exact_x, exact_y)


def canvas_for(options: ReadOptions, at: Path, default: Units = "pixel") -> Canvas:
    """The canvas for a family whose unit is fixed, unless ``options.units`` says otherwise."""
    units = options.units or default
    canvas = unit_canvas(units, options, at)
    return canvas if units != "pixel" or options.units else replace(canvas, is_proven=False)


def canvas_of(values: Iterable[float], options: ReadOptions, at: Path) -> Canvas:
    """The canvas for a family that sends either unit: a value above 1 proves pixels, nothing proves relative.

    Raises OutputError when ``options.units`` is unset and every value could be either.
    """
    if options.units is None and all(value <= 1 for value in values):
        fail(at, "coordinates up to 1 may be relative or pixels", _EITHER)
    return unit_canvas(options.units or "pixel", options, at)


def numbers(value: Any, count: int, at: Path) -> list[float]:
    """Read a list of exactly ``count`` numbers."""
    items = array(value, *at)
    if len(items) != count:
        fail(at, f"{len(items)} numbers where {count} are needed")
    exact = finite_numbers(items)
    return [number(item, *at, i) for i, item in enumerate(items)] if exact is None else exact


def _check_side(value: float, extent: float, slack: float, axis: str, at: Path) -> None:
    if not -slack <= value <= extent + slack:
        size = f"{extent:g} {'wide' if axis == 'x' else 'high'}"
        fail(at, f"{axis} = {describe(value)} lies outside the image, which is {size}", _OUTSIDE)


def _corners(*values: float) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


_OUTSIDE = "check image_size and units"
_EITHER = "set units: relative (or pixel)"


VISIBLE = 0.5
"""Least visibility of a point that counts as seen: Ultralytics sends 0 to 1, COCO and torchvision 0, 1 or 2."""


def pose_shape(
    points: Sequence[tuple[float, float]],
    visibility: Sequence[float] | None,
    canvas: Canvas,
    names: Sequence[str] | None,
    at: Path,
) -> Shape:
    """Return a pose; a point at exactly 0, 0 was not found: it stays there and is marked unseen.

    Raises OutputError when ``names`` does not name every point.
    """
    if names is None:
        fail(at, f"{len(points)} points without names", "set point_names, in the model's order")
    if len(names) != len(points):
        fail(at, f"{len(points)} points for {len(names)} names", "point_names must name every point")
    levels = visibility if visibility is not None else [1.0] * len(points)
    visible = [level >= VISIBLE and (x, y) != (0, 0) for level, (x, y) in zip(levels, points, strict=True)]
    ring = tuple(
        [_placed(x, y, seen, canvas, (*at, i)) for i, ((x, y), seen) in enumerate(zip(points, visible, strict=True))]
    )
    return Shape("pose", (ring,), tuple(names), tuple(visible))


def _placed(x: float, y: float, seen: bool, canvas: Canvas, at: Path) -> Point:
    """An unseen point is not sent, so it may lie anywhere; it is moved onto the image."""
    if seen:
        return canvas.point(x, y, at)
    return min(max(x / canvas.width, 0.0), 1.0), min(max(y / canvas.height, 0.0), 1.0)
