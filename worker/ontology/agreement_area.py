"""How much two areas overlap."""

from __future__ import annotations

from math import ceil

Point = tuple[float, float]
Ring = tuple[Point, ...]
Box = tuple[float, float, float, float]

LINES = 256
"""Scan lines across the two areas; an edge moves by less than 1/512 of their common height."""


def box_iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two upright boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    overlap = width * height
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def area_iou(a: tuple[Ring, ...], b: tuple[Ring, ...]) -> float:
    """Return the intersection over union of two areas, each given by rings under the even-odd rule.

    Any polygon will do: concave, with holes, in parts, crossing itself. Both areas are cut by the same
    horizontal lines, at the middles of equal steps over their common height; along a line, lengths are
    exact (the midpoint rule over ``y``). Two areas without extent agree only when they are the same.
    """
    if a == b:
        return 1.0
    ys = [y for ring in (*a, *b) for _, y in ring]
    low, height = min(ys), max(ys) - min(ys)
    if height <= 0.0:
        return 0.0
    rows_a, rows_b = _rows(a, low, height), _rows(b, low, height)
    inside = sum(map(_overlap, rows_a, rows_b))
    total = sum(map(_length, rows_a)) + sum(map(_length, rows_b)) - inside
    return min(1.0, inside / total) if total > 0.0 else 0.0


def _rows(rings: tuple[Ring, ...], low: float, height: float) -> list[list[float]]:
    """List, for every scan line, where it crosses the rings, from left to right."""
    rows: list[list[float]] = [[] for _ in range(LINES)]
    step = height / LINES
    for ring in rings:
        for start, end in zip(ring, (*ring[1:], ring[0]), strict=True):
            _cross(start, end, low, step, rows)
    for row in rows:
        row.sort()
    return rows


def _cross(start: Point, end: Point, low: float, step: float, rows: list[list[float]]) -> None:
    (x0, y0), (x1, y1) = (start, end) if start[1] <= end[1] else (end, start)
    if y0 == y1:
        return
    slope = (x1 - x0) / (y1 - y0)
    first = max(0, ceil((y0 - low) / step - 0.5))
    last = min(LINES, ceil((y1 - low) / step - 0.5))
    for index in range(first, last):
        rows[index].append(x0 + (low + (index + 0.5) * step - y0) * slope)


def _length(row: list[float]) -> float:
    return sum(row[1::2]) - sum(row[::2])


def _overlap(a: list[float], b: list[float]) -> float:
    if not a or not b:
        return 0.0
    if len(a) == len(b) == 2:
        return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    total, i, j = 0.0, 0, 0
    while i < len(a) and j < len(b):
        total += max(0.0, min(a[i + 1], b[j + 1]) - max(a[i], b[j]))
        if a[i + 1] <= b[j + 1]:
            i += 2
        else:
            j += 2
    return total
