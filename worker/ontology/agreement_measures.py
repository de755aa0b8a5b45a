"""How alike two parts of an answer are: chosen categories, texts, areas, points, lines and poses.

Points, lines and poses are measured by the object keypoint similarity of the COCO evaluation, ``exp(-d² / (2 s² k²))``:
``d`` is the distance of two points, ``s`` the size of the object and ``k`` the spread people show in placing a point.
COCO measures ``k`` per body part, 0.05 to 0.21; here it is 0.1 for all. Distances are relative to the image.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from math import ceil, dist, exp, fsum, sqrt
from typing import Any

from worker.ontology.interface import Job

Pair = tuple[float, int, int]
"""A similarity in (0, 1], an index into the one list, an index into the other."""


def match(pairs: Sequence[Pair], keys_a: Sequence[Any], keys_b: Sequence[Any]) -> list[Pair]:
    """Match greedily: the most similar pair first, each annotation at most once.

    Equal similarities are ordered by the contents of the pair (``keys``, comparable within both lists)
    without regard to which side they are on, so that the outcome does not depend on the order of the two
    responses or of their annotations.
    """
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    matched = []
    for pair in _ordered(pairs, keys_a, keys_b):
        _, i, j = pair
        if i not in taken_a and j not in taken_b:
            taken_a.add(i)
            taken_b.add(j)
            matched.append(pair)
    return matched


def _ordered(pairs: Sequence[Pair], keys_a: Sequence[Any], keys_b: Sequence[Any]) -> list[Pair]:
    if len({pair[0] for pair in pairs}) == len(pairs):
        return sorted(pairs, reverse=True)
    order = {key: rank for rank, key in enumerate(sorted({*keys_a, *keys_b}))}
    ranks_a = [order[key] for key in keys_a]
    ranks_b = [order[key] for key in keys_b]

    def place(pair: Pair) -> tuple[float, int, int, int, int]:
        score, i, j = pair
        one, other = ranks_a[i], ranks_b[j]
        return (-score, min(one, other), max(one, other), i, j)

    return sorted(pairs, key=place)


CIRCUMSTANCES = frozenset({"confidence", "score", "mid", "isKeyFrame"})
"""What two equal answers may differ in."""


def equality(a: object, b: object) -> float:
    """Return 1 when two answers are the same but for confidences, identities and key-frame marks, else 0."""
    return float(bare(a) == bare(b))


def bare(value: Any) -> Any:
    """Leave the circumstances out of an answer, at every depth."""
    if isinstance(value, Mapping):
        return {key: bare(item) for key, item in value.items() if key not in CIRCUMSTANCES}
    return [bare(item) for item in value] if isinstance(value, list) else value


Nested = Callable[[Mapping[str, Any], Mapping[str, Any]], float | None]
"""Agreement of two objects of child jobs; None when neither answers one."""


def choice_agreement(a: Mapping[str, Any], b: Mapping[str, Any], job: Job, nested: Nested) -> float:
    """Return the Jaccard index of two choices, which is exact equality for single choice.

    ``sum of g(c) over the common categories / number of categories in either``, where ``g(c)``, the
    geometric mean of 1 and the agreement of the category's child jobs, is 1 without children.
    Source: Kili's calculation rules for quality metrics (Jaccard; geometric average for nested jobs).
    """
    chosen_a, chosen_b = _chosen(a, job), _chosen(b, job)
    union = chosen_a.keys() | chosen_b.keys()
    if not union:
        return 1.0
    common = chosen_a.keys() & chosen_b.keys()
    return fsum(with_children(1.0, nested(chosen_a[name], chosen_b[name])) for name in common) / len(union)


def with_children(own: float, children: float | None) -> float:
    """Combine an element's agreement with its children's by their geometric mean."""
    return own if children is None else sqrt(own * children)


def children_of(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Collect the child jobs beside and inside the chosen categories of an annotation."""
    children = dict(holder.get("children") or {})
    for item in holder.get("categories") or ():
        children |= item.get("children") or {}
    return children


def _chosen(payload: Mapping[str, Any], job: Job) -> dict[str, Mapping[str, Any]]:
    """Map each chosen category to its child jobs, wherever the response keeps them."""
    beside = payload.get("children") or {}
    chosen: dict[str, Mapping[str, Any]] = {}
    for item in payload.get("categories") or ():
        asked = {name: beside[name] for name in job.children_of((item["name"],)) if name in beside}
        chosen[item["name"]] = {**asked, **(item.get("children") or {})}
    return chosen


def text_agreement(a: str, b: str) -> float:
    """Return ``1 - levenshtein(a, b) / max(len(a), len(b))``, 1 for two empty texts."""
    longest = max(len(a), len(b))
    return 1.0 - levenshtein(a, b) / longest if longest else 1.0


def levenshtein(a: str, b: str) -> int:
    """Count the insertions, deletions and substitutions between two texts.

    A column of the distance matrix is kept as two integers of one bit per character, so that a step costs a
    few operations on integers. Source: G. Myers, A fast bit-vector algorithm for approximate string matching
    (J. ACM 46, 1999), with H. Hyyrö's horizontal deltas for the distance of whole texts (2003).
    """
    a, b = _without_common_ends(*sorted((a, b), key=len))
    if not a:
        return len(b)
    places = _places(a)
    ones = (1 << len(a)) - 1
    last = 1 << (len(a) - 1)
    rising, falling, distance = ones, 0, len(a)
    for char in b:
        match = places.get(char, 0)
        diagonal = (((match & rising) + rising) ^ rising) | match | falling
        up = falling | ~(diagonal | rising) & ones
        down = rising & diagonal
        distance += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & ones, down << 1 & ones
        rising, falling = down | ~(diagonal | up) & ones, up & diagonal
    return distance


def _places(text: str) -> dict[str, int]:
    places: dict[str, int] = {}
    for index, char in enumerate(text):
        places[char] = places.get(char, 0) | 1 << index
    return places


def _without_common_ends(a: str, b: str) -> tuple[str, str]:
    start = 0
    while start < len(a) and a[start] == b[start]:
        start += 1
    end = 0
    while end < len(a) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    return a[start : len(a) - end], b[start : len(b) - end]


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


Ring = tuple[Point, ...]
Area = tuple[tuple[Ring, ...], ...]
"""The parts of an area, each by its rings: an outline, the holes in it, in any order and direction."""

Box = tuple[float, float, float, float]

LINES = 256
"""Scan lines across two areas, at least; less than twice as many where corners lie at so many heights."""


def box_iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two upright boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    overlap = width * height
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def area_iou(a: Area, b: Area) -> float:
    """Return the intersection over union of two areas.

    A part's rings are read by the even-odd rule, an area is the union of its parts. Any polygon will do: concave,
    with holes, crossing itself. Both areas are cut by the same horizontal lines, at the middles of equal steps
    between one height at which a corner lies and the next; along a line, lengths are exact (the midpoint rule over
    ``y``), so that areas with upright sides are exact. Two areas without extent agree only when they are the same.
    """
    if a == b:
        return 1.0
    lines, weights = _lines(sorted({y for part in (*a, *b) for ring in part for _, y in ring}))
    rows_a, rows_b = _rows(a, lines), _rows(b, lines)
    inside = fsum(weight * _overlap(*rows) for weight, *rows in zip(weights, rows_a, rows_b, strict=True))
    both = fsum(
        weight * (_length(one) + _length(other)) for weight, one, other in zip(weights, rows_a, rows_b, strict=True)
    )
    if both <= 0.0:
        return float(_all_rings(a) == _all_rings(b))
    return min(1.0, inside / (both - inside))


def _all_rings(area: Area) -> list[Ring]:
    return sorted(ring for part in area for ring in part)


def _lines(heights: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return where the scan lines lie, and how much of the height each stands for."""
    every = max(1, (len(heights) - 1) // LINES)
    edges = [*heights[:-1:every], *heights[-1:]]
    steps = ceil(LINES / max(1, len(edges) - 1))
    lines: list[float] = []
    weights: list[float] = []
    for low, high in pairwise(edges):
        step = (high - low) / steps
        lines += [low + (index + 0.5) * step for index in range(steps)]
        weights += [step] * steps
    return lines, weights


def _rows(area: Area, lines: Sequence[float]) -> list[list[float]]:
    """List, for every scan line, where it enters and leaves the area, from left to right."""
    parts = [_crossed(rings, lines) for rings in area]
    return parts[0] if len(parts) == 1 else [_union(rows) for rows in zip(*parts, strict=True)]


def _crossed(rings: tuple[Ring, ...], lines: Sequence[float]) -> list[list[float]]:
    rows: list[list[float]] = [[] for _ in lines]
    for ring in rings:
        for start, end in zip(ring, (*ring[1:], ring[0]), strict=True):
            _cross(start, end, lines, rows)
    for row in rows:
        row.sort()
    return rows


def _cross(start: Point, end: Point, lines: Sequence[float], rows: list[list[float]]) -> None:
    (x0, y0), (x1, y1) = (start, end) if start[1] <= end[1] else (end, start)
    if y0 == y1:
        return
    slope = (x1 - x0) / (y1 - y0)
    for index in range(bisect_left(lines, y0), bisect_left(lines, y1)):
        rows[index].append(x0 + (lines[index] - y0) * slope)


def _union(rows: Sequence[list[float]]) -> list[float]:
    """Join the spans of several parts that meet or overlap."""
    joined: list[float] = []
    for left, right in sorted(span for row in rows for span in _spans(row)):
        if joined and left <= joined[-1]:
            joined[-1] = max(joined[-1], right)
        else:
            joined += (left, right)
    return joined


def _spans(row: list[float]) -> Iterator[tuple[float, float]]:
    return zip(row[::2], row[1::2], strict=True)


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
