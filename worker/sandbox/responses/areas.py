"""Areas of drawn parts and how far two of them overlap, exactly: cut into bands in which no two edges cross."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import atan2

Point = tuple[float, float]
Ring = Sequence[Point]
#: Rings that are drawn together: what lies inside an odd number of them belongs to the part.
Part = Sequence[Ring]
Edge = tuple[float, float, float, float]
Span = tuple[float, float]


def around(corners: Ring) -> list[Point]:
    """Return four corners in the order in which they lie around their middle."""
    x = sum(corner[0] for corner in corners) / len(corners)
    y = sum(corner[1] for corner in corners) / len(corners)
    return sorted(corners, key=lambda corner: atan2(corner[1] - y, corner[0] - x))


def overlap(one: Sequence[Part], other: Sequence[Part]) -> tuple[float, float]:
    """Return the areas of the intersection and of the union of two objects, each the union of its parts."""
    mine, theirs = [_edges(part) for part in one], [_edges(part) for part in other]
    common = total = 0.0
    levels = _levels([edge for part in (*mine, *theirs) for edge in part])
    for low, high in pairwise(levels):
        middle = (low + high) / 2
        left, right = _covered(mine, middle), _covered(theirs, middle)
        shared = _length(_intersection(left, right))
        common += shared * (high - low)
        total += (_length(left) + _length(right) - shared) * (high - low)
    return common, total


def _edges(part: Part) -> list[Edge]:
    """The edges of a part that are not level, each from its lower to its higher end."""
    edges = []
    for ring in part:
        for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], *ring[:1]], strict=True):
            if y1 != y2:
                edges.append((y1, x1, y2, x2) if y1 < y2 else (y2, x2, y1, x1))
    return edges


def _levels(edges: list[Edge]) -> list[float]:
    """The heights at which an edge begins, ends or crosses another one."""
    heights = {edge[0] for edge in edges} | {edge[2] for edge in edges}
    edges.sort()
    for index, edge in enumerate(edges):
        for other in edges[index + 1 :]:
            if other[0] >= edge[2]:
                break
            heights.update(_crossing(edge, other))
    return sorted(heights)


def _crossing(one: Edge, other: Edge) -> Iterator[float]:
    low, high = max(one[0], other[0]), min(one[2], other[2])
    if low < high:
        below, above = _x(one, low) - _x(other, low), _x(one, high) - _x(other, high)
        if below * above < 0:
            yield low + (high - low) * below / (below - above)


def _x(edge: Edge, y: float) -> float:
    y1, x1, y2, x2 = edge
    return x1 + (x2 - x1) * (y - y1) / (y2 - y1)


def _covered(parts: list[list[Edge]], y: float) -> list[Span]:
    """What an object covers of a level line, as spans that do not touch."""
    spans: list[Span] = []
    for edges in parts:
        crossings = sorted(_x(edge, y) for edge in edges if edge[0] < y < edge[2])
        spans += zip(crossings[::2], crossings[1::2], strict=False)
    merged: list[Span] = []
    for left, right in sorted(spans):
        if merged and left <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], right))
        else:
            merged.append((left, right))
    return merged


def _intersection(one: list[Span], other: list[Span]) -> list[Span]:
    common = ((max(a[0], b[0]), min(a[1], b[1])) for a in one for b in other)
    return [(left, right) for left, right in common if left < right]


def _length(spans: list[Span]) -> float:
    return sum(right - left for left, right in spans)
