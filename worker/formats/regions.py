"""Regions of a shape that may fall into several parts: each an outline with the holes in it.

Rings tell their part by their direction: with y down, an outline runs clockwise as seen, which makes its
shoelace sum Σ (x_i y_{i+1} - x_{i+1} y_i) positive; a hole runs the other way. Holes follow their outline.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.contract.output import Point, Shape

Ring = tuple[Point, ...]


def regions_of(shape: Shape) -> tuple[tuple[Ring, ...], ...]:
    """Split a shape's rings into regions, each an outline followed by its holes."""
    regions: list[tuple[Ring, ...]] = []
    for ring in shape.rings:
        if regions and doubled_area(ring) < 0:
            regions[-1] = (*regions[-1], ring)
        else:
            regions.append((ring,))
    return tuple(regions)


def as_outline(ring: Ring) -> Ring:
    """Turn a ring clockwise as seen, so that it is an outline."""
    return ring if doubled_area(ring) >= 0 else (ring[0], *reversed(ring[1:]))


def as_hole(ring: Ring) -> Ring:
    """Turn a ring counter-clockwise as seen, so that it is a hole."""
    return ring if doubled_area(ring) < 0 else (ring[0], *reversed(ring[1:]))


def doubled_area(ring: Sequence[tuple[float, float]]) -> float:
    """Return the shoelace sum: twice the area, positive for outlines and negative for holes."""
    pairs = zip(ring, (*ring[1:], ring[0]), strict=True)
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)
