"""Objects as people see them: annotations of one mid are one object, whatever it is drawn with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import dist
from typing import Any

from .areas import Part, Point, around, overlap
from .pairs import share_paired
from .reading import Json

#: How far apart two points may lie before they have nothing in common, as a share of the image.
REACH = 0.1


@dataclass(slots=True)
class DrawnObject:
    """One object: its category, its answers to child jobs, and its drawings by kind; areas lie on pages."""

    category: str
    children: Json = field(default_factory=dict)
    areas: dict[int, list[Part]] = field(default_factory=dict)
    lines: list[list[Point]] = field(default_factory=list)
    markers: list[Point] = field(default_factory=list)
    pose: dict[str, Point] | None = None

    def add(self, annotation: Json) -> None:
        """Add what one annotation draws."""
        self.children |= annotation.get("children") or {}
        self.children |= annotation["categories"][0].get("children") or {}
        for page in annotation.get("annotations") or ():
            self._add_page(page)
        tool = annotation.get("type")
        parts = self.areas.setdefault(1, []) if "boundingPoly" in annotation else []
        flat = [area for area in annotation.get("boundingPoly") or () if isinstance(area, dict)]
        if flat:
            parts.append(_part(flat, is_box=tool == "rectangle"))
        parts += [_part(group) for group in annotation.get("boundingPoly") or () if isinstance(group, list)]
        if "polyline" in annotation:
            self.lines.append([_point(vertex) for vertex in annotation["polyline"]])
        if "point" in annotation:
            self.markers.append(_point(annotation["point"]))
        if "points" in annotation:
            seen = {point["code"]: _point(point["point"]) for point in annotation["points"]}
            self.pose = {**(self.pose or {}), **seen}

    def _add_page(self, page: Json) -> None:
        """Add the areas of a PDF: the n-th of them lies on the n-th page that is named."""
        rings = [ring for area in page.get("polys") or page["boundingPoly"] for ring in _rings(area)]
        pages = page.get("pageNumberArray") or [page["pageNumber"]]
        for index, ring in enumerate(rings):
            corners = around(ring) if len(ring) == 4 else ring
            self.areas.setdefault(pages[min(index, len(pages) - 1)], []).append([corners])


def _part(areas: Iterable[Json], *, is_box: bool = False) -> Part:
    rings = [[_point(vertex) for vertex in area["normalizedVertices"]] for area in areas]
    return [around(ring) for ring in rings] if is_box else rings


def _rings(area: Json) -> list[list[Point]]:
    vertices: list[Any] = area["normalizedVertices"]
    rings = vertices if vertices and isinstance(vertices[0], list) else [vertices]
    return [[_point(vertex) for vertex in ring] for ring in rings]


def _point(vertex: Mapping[str, float]) -> Point:
    return (vertex["x"], vertex["y"])


def drawing_similarity(one: DrawnObject, other: DrawnObject, scale: float) -> float:
    """Return how alike two objects are drawn, 0 to 1; `scale` is the length that counts as a whole image."""
    reach = REACH * scale
    found = []
    if one.areas or other.areas:
        found.append(_alike_areas(one.areas, other.areas))
    if one.lines or other.lines:
        found.append(share_paired(one.lines, other.lines, lambda a, b: _alike_lines(a, b, reach)))
    if one.markers or other.markers:
        found.append(share_paired(one.markers, other.markers, lambda a, b: _alike_points(a, b, reach)))
    if one.pose is not None or other.pose is not None:
        found.append(_alike_poses(one.pose or {}, other.pose or {}, reach))
    return sum(found) / len(found) if found else 1.0


def _alike_areas(one: dict[int, list[Part]], other: dict[int, list[Part]]) -> float:
    common = total = 0.0
    for page in one.keys() | other.keys():
        shared, together = overlap(one.get(page, ()), other.get(page, ()))
        common, total = common + shared, total + together
    # Areas without extent can only be compared as they are.
    return min(1.0, round(common / total, 12)) if total else float(one == other)


def _alike_points(one: Point, other: Point, reach: float) -> float:
    apart = dist(one, other)
    return max(0.0, 1 - apart / reach) if apart else 1.0


def _alike_poses(one: dict[str, Point], other: dict[str, Point], reach: float) -> float:
    codes = one.keys() | other.keys()
    both = one.keys() & other.keys()
    return sum(_alike_points(one[code], other[code], reach) for code in both) / len(codes) if codes else 1.0


def _alike_lines(one: list[Point], other: list[Point], reach: float) -> float:
    apart = [_distance(point, other) for point in one] + [_distance(point, one) for point in other]
    mean = sum(apart) / len(apart)
    return max(0.0, 1 - mean / reach) if mean else 1.0


def _distance(point: Point, line: list[Point]) -> float:
    return min(_to_segment(point, start, end) for start, end in pairwise(line))


def _to_segment(point: Point, start: Point, end: Point) -> float:
    along = (end[0] - start[0], end[1] - start[1])
    length = along[0] ** 2 + along[1] ** 2
    share = ((point[0] - start[0]) * along[0] + (point[1] - start[1]) * along[1]) / length if length else 0.0
    share = min(1.0, max(0.0, share))
    return dist(point, (start[0] + share * along[0], start[1] + share * along[1]))
