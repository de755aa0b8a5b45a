"""How near points, lines and poses are to each other.

The measure is the object keypoint similarity of the COCO evaluation, ``exp(-d² / (2 s² k²))``: ``d`` is the
distance of two points, ``s`` the size of the object and ``k`` the spread people show in placing a point. COCO
measures ``k`` per body part, 0.05 to 0.21; here it is 0.1 for all. Distances are relative to the image.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from math import dist, exp, fsum, sqrt

Point = tuple[float, float]

SPREAD = 0.1

SIZE_OF_A_POINT = 0.25
"""Object size for what has no size of its own, as a share of the image: 1 % apart is 0.92, 5 % is 0.14."""

SAMPLES = 32
"""Points, equally spaced, by which two lines are compared."""


def point_similarity(a: Point, b: Point, size: float = SIZE_OF_A_POINT) -> float:
    """Return the similarity of two points on an object of the given size."""
    return exp(-(dist(a, b) ** 2) / (2.0 * (size * SPREAD) ** 2))


def line_similarity(a: Sequence[Point], b: Sequence[Point], *, directed: bool) -> float:
    """Return the mean similarity of points at equal shares of two lines' lengths.

    A line without direction is compared in both directions; the better one counts.
    """
    if tuple(a) == tuple(b):
        return 1.0
    one, other = _samples(a), _samples(b)
    ahead = _mean(map(point_similarity, one, other))
    return ahead if directed else max(ahead, _mean(map(point_similarity, one, reversed(other))))


def pose_similarity(a: Mapping[str, Point], b: Mapping[str, Point]) -> float:
    """Return the sum of the similarities of common points over the number of points in either pose.

    The object's size is the mean of the two poses' sizes; a pose's size is the diagonal of the box around
    its points over the square root of 2, for a square box its side.
    """
    codes = a.keys() | b.keys()
    if not codes:
        return 1.0
    size = (_size(a.values()) + _size(b.values())) / 2.0 or SIZE_OF_A_POINT
    return sum(point_similarity(a[code], b[code], size) for code in sorted(a.keys() & b.keys())) / len(codes)


def _size(points: Collection[Point]) -> float:
    if not points:
        return 0.0
    xs, ys = zip(*points, strict=True)
    return dist((min(xs), min(ys)), (max(xs), max(ys))) / sqrt(2.0)


def _samples(line: Sequence[Point]) -> list[Point]:
    lengths = [0.0, *accumulate(map(dist, line, line[1:]))]
    return [_at(line, lengths, lengths[-1] * step / (SAMPLES - 1)) for step in range(SAMPLES)]


def _at(line: Sequence[Point], lengths: Sequence[float], where: float) -> Point:
    after = min(max(bisect_left(lengths, where), 1), len(line) - 1)
    span = lengths[after] - lengths[after - 1]
    share = (where - lengths[after - 1]) / span if span else 0.0
    (x0, y0), (x1, y1) = line[after - 1], line[after]
    return (x0 + share * (x1 - x0), y0 + share * (y1 - y0))


def _mean(values: Iterable[float]) -> float:
    return fsum(values) / SAMPLES
