"""Named points of a pose; models send them by position only."""

from __future__ import annotations

from collections.abc import Sequence

from worker.formats.checks import Path, fail
from worker.formats.coordinates import Canvas
from worker.formats.options import ReadOptions
from worker.formats.output import Shape

VISIBLE = 0.5
"""Least visibility of a point that counts as seen: Ultralytics sends 0 to 1, COCO and torchvision 0, 1 or 2."""


def pose_shape(
    points: Sequence[tuple[float, float]],
    visibility: Sequence[float] | None,
    canvas: Canvas,
    options: ReadOptions,
    at: Path,
) -> Shape:
    """Return a pose; an unseen point without a place (0, 0) stays at the origin and is marked unseen.

    Raises OutputError when ``options.point_names`` does not name every point.
    """
    names = options.point_names
    if names is None:
        fail(at, f"{len(points)} points without names", "set point_names, in the model's order")
    if len(names) != len(points):
        fail(at, f"{len(points)} points for {len(names)} names", "point_names must name every point")
    ring = tuple(canvas.point(x, y, (*at, i)) for i, (x, y) in enumerate(points))
    visible = tuple(value >= VISIBLE for value in visibility) if visibility is not None else ()
    return Shape("pose", (ring,), tuple(names), visible)
