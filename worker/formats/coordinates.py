"""From a model's coordinates to relative ones: x and y in [0, 1], origin top left, y down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from worker.formats.checks import Path, array, describe, fail, number
from worker.formats.options import ReadOptions
from worker.formats.output import Point, Shape

SLACK_PIXELS = 1.0
"""How far outside the image a coordinate may lie from rounding; it is clipped."""

SLACK_RELATIVE = 0.002
"""The same for relative coordinates where the image size is unknown (one pixel of 500)."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """An image's extent in the model's units, and how far outside it a coordinate may lie.

    ``is_proven`` is False where the units are the family's by rule and nobody has said so of this payload.
    """

    width: float
    height: float
    slack_x: float
    slack_y: float
    is_proven: bool = True

    def point(self, x: float, y: float, at: Path) -> Point:
        """Return a point in relative coordinates; raises OutputError when it lies outside the image."""
        return _side(x, self.width, self.slack_x, "x", at), _side(y, self.height, self.slack_y, "y", at)

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

    def corners(self, points: Iterable[tuple[float, float]], at: Path) -> Shape:
        """Return a rectangle from its four corners; it may be turned."""
        return Shape("rectangle", (tuple(self.point(x, y, at) for x, y in points),))

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


def pixel_canvas(options: ReadOptions, at: Path) -> Canvas:
    """The canvas for pixel coordinates; raises OutputError when no image size is known."""
    if options.image_size is None:
        fail(at, "coordinates in pixels need the image's size", "set image_size: [width, height]")
    return sized_canvas(*options.image_size)


def sized_canvas(width: float, height: float) -> Canvas:
    """The canvas for pixel coordinates in an image of this size."""
    return Canvas(width, height, SLACK_PIXELS, SLACK_PIXELS)


def relative_canvas(options: ReadOptions) -> Canvas:
    """The canvas for coordinates that already run from 0 to 1."""
    if options.image_size is None:
        return Canvas(1, 1, SLACK_RELATIVE, SLACK_RELATIVE)
    width, height = options.image_size
    return Canvas(1, 1, SLACK_PIXELS / width, SLACK_PIXELS / height)


def percent_canvas(width: float | None, height: float | None) -> Canvas:
    """The canvas for coordinates from 0 to 100, for an image of this size in pixels (None: unknown)."""
    return Canvas(
        100,
        100,
        100 * (SLACK_PIXELS / width if width else SLACK_RELATIVE),
        100 * (SLACK_PIXELS / height if height else SLACK_RELATIVE),
    )


def canvas_for(options: ReadOptions, at: Path, default: Literal["pixel", "relative"] = "pixel") -> Canvas:
    """The canvas for a family whose unit is fixed, unless ``options.units`` says otherwise."""
    units = options.units or default
    if units == "relative":
        return relative_canvas(options)
    return replace(pixel_canvas(options, at), is_proven=options.units is not None)


def canvas_of(values: Iterable[float], options: ReadOptions, at: Path) -> Canvas:
    """The canvas for a family that sends either unit: a value above 1 proves pixels, nothing proves relative.

    Raises OutputError when ``options.units`` is unset and every value could be either.
    """
    if options.units is None and all(value <= 1 for value in values):
        fail(at, "coordinates up to 1 may be relative or pixels", _EITHER)
    return replace(canvas_for(options, at), is_proven=True)


def numbers(value: Any, count: int, at: Path) -> list[float]:
    """Read a list of exactly ``count`` numbers."""
    items = array(value, *at)
    if len(items) != count:
        fail(at, f"{len(items)} numbers where {count} are needed")
    return [number(item, *at, i) for i, item in enumerate(items)]


def _side(value: float, extent: float, slack: float, axis: str, at: Path) -> float:
    if 0 <= value <= extent:
        return value / extent
    if not -slack <= value <= extent + slack:
        size = f"{extent:g} {'wide' if axis == 'x' else 'high'}"
        fail(at, f"{axis} = {describe(value)} lies outside the image, which is {size}", _OUTSIDE)
    return 0.0 if value < 0 else 1.0


def _corners(*values: float) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


_OUTSIDE = "check image_size and units"
_EITHER = "set units: relative (or pixel)"
