"""Named points of a pose; models send them by position only."""

from __future__ import annotations

from collections.abc import Sequence

from worker.contract.output import Point, Shape
from worker.formats.checks import Path, fail
from worker.formats.coordinates import Canvas

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
