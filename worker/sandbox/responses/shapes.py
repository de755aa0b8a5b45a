"""The shapes of objects: which key each tool draws into, and how far two areas overlap.

Areas are cut into bands in which no two edges cross, so the overlap is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import atan2
from typing import Any

from worker.sandbox.responses.reading import (
    Category,
    Json,
    Range,
    a_coordinate,
    a_list,
    a_name,
    a_whole_number,
    an_object,
    inside,
    refuse,
)

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


#: Fewest and most vertices of a ring.
CORNERS = {"rectangle": (4, 4), "polygon": (3, None), "semantic": (3, None), "area of a text": (3, None)}
AREAS = frozenset({"rectangle", "polygon", "semantic"})
LINES = frozenset({"polyline", "vector"})


def check_shape(tool: str, annotation: Json, category: Category, where: str, limits: Range) -> None:
    """Refuse an annotation whose shape is not that of its tool; tools that draw nothing known are let through."""
    if tool in AREAS:
        _check_area(tool, annotation, where, limits)
    elif tool in LINES:
        key = inside(where, "polyline")
        _check_vertices(annotation.get("polyline"), key, limits, least=2, most=None, tool=tool)
    elif tool == "pose":
        _check_points(annotation, category, where, limits)
    elif tool == "marker":
        _check_vertex(annotation.get("point"), inside(where, "point"), limits)


def _check_area(tool: str, annotation: Json, where: str, limits: Range) -> None:
    key = inside(where, "boundingPoly")
    areas = a_list(annotation.get("boundingPoly"), key)
    if not areas:
        refuse(key, f"a {tool} has no vertices")
    if tool != "semantic" and len(areas) > 1:
        refuse(key, f"the tool {tool} draws one ring, not {len(areas)}")
    for index, area in enumerate(areas):
        if tool == "semantic" and isinstance(area, list):
            _check_group(tool, area, inside(key, index), limits)
        else:
            _check_ring(tool, area, inside(key, index), limits)


def _check_group(tool: str, group: list[Any], where: str, limits: Range) -> None:
    if not group:
        refuse(where, "a part without vertices")
    for index, ring in enumerate(group):
        _check_ring(tool, ring, inside(where, index), limits)


def _check_ring(tool: str, ring: Any, where: str, limits: Range) -> None:
    key = inside(where, "normalizedVertices")
    vertices = an_object(ring, where).get("normalizedVertices")
    least, most = CORNERS[tool]
    _check_vertices(vertices, key, limits, least=least, most=most, tool=tool)


def _check_vertices(vertices: Any, where: str, limits: Range, *, least: int, most: int | None, tool: str) -> None:
    listed = a_list(vertices, where)
    if len(listed) < least or (most is not None and len(listed) > most):
        refuse(where, f"{len(listed)} vertices are no {tool}: it has {least}{'' if most else ' or more'}")
    for index, vertex in enumerate(listed):
        _check_vertex(vertex, inside(where, index), limits)


def _check_vertex(vertex: Any, where: str, limits: Range) -> None:
    point = an_object(vertex, where)
    x, y = (a_coordinate(point.get(axis), inside(where, axis)) for axis in ("x", "y"))
    if not limits.holds(x, y):
        refuse(where, f"({x:g}, {y:g}) is {limits.limit}")


def _check_points(annotation: Json, category: Category, where: str, limits: Range) -> None:
    key = inside(where, "points")
    codes = set()
    for index, point in enumerate(a_list(annotation.get("points"), key)):
        here = inside(key, index)
        code = a_name(an_object(point, here).get("code"), inside(here, "code"))
        if category.points is not None and code not in category.points:
            refuse(inside(here, "code"), f"{category.name} has no point {code}")
        if code in codes:
            refuse(inside(here, "code"), f"the point {code} is there twice")
        if point.get("type", "marker") != "marker":
            refuse(inside(here, "type"), "a point of a pose is a marker")
        codes.add(code)
        _check_vertex(point.get("point"), inside(here, "point"), limits)


def check_pages(tool: str, annotation: Json, where: str, limits: Range) -> None:
    """Refuse an annotation of a PDF whose areas do not lie on pages: one level deeper than in an image."""
    key = inside(where, "annotations")
    pages = a_list(annotation.get("annotations"), key)
    if not pages:
        refuse(key, "a list of areas on pages is missing")
    for index, page in enumerate(pages):
        here = inside(key, index)
        drawn = _check_page_areas(tool, an_object(page, here), here, limits)
        _check_page_numbers(page, drawn, here)


def _check_page_areas(tool: str, page: Json, where: str, limits: Range) -> set[int]:
    """Check the areas and return how many page numbers they may have."""
    a_list(page.get("boundingPoly"), inside(where, "boundingPoly"))
    drawn = {1}
    for name in ("boundingPoly", "polys"):
        areas = a_list(page.get(name, []), inside(where, name))
        rings = 0
        for index, area in enumerate(areas):
            here = inside(inside(where, name), index)
            rings += _check_page_area(tool, an_object(area, here), here, limits)
        drawn |= {len(areas), rings}
    if not page["boundingPoly"]:
        refuse(inside(where, "boundingPoly"), f"a {tool} has no vertices")
    return drawn - {0}


def _check_page_area(tool: str, area: Json, where: str, limits: Range) -> int:
    key = inside(where, "normalizedVertices")
    vertices = a_list(area.get("normalizedVertices"), key)
    if not vertices or not isinstance(vertices[0], list):
        _check_ring(tool, area, where, limits)
        return 1
    least, most = CORNERS[tool]
    for index, ring in enumerate(vertices):
        _check_vertices(ring, inside(key, index), limits, least=least, most=most, tool=tool)
    return len(vertices)


def _check_page_numbers(page: Json, drawn: set[int], where: str) -> None:
    key = inside(where, "pageNumberArray")
    numbers = page.get("pageNumberArray", [page["pageNumber"]] if "pageNumber" in page else None)
    numbers = a_list(numbers, key)
    if len(numbers) not in drawn:
        refuse(key, f"{len(numbers)} page numbers do not fit the areas")
    for index, number in enumerate(numbers):
        if a_whole_number(number, inside(key, index)) < 1:
            refuse(inside(key, index), "pages are counted from 1")
