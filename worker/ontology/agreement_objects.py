"""The shapes of annotations in one form however they were written down, and the objects made of them.

Where a ring begins and in which direction it runs, in which order parts and pages are listed, and whether parts are
annotations, groups or rings, makes no difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from worker.ontology.agreement_measures import (
    Box,
    Point,
    Ring,
    area_iou,
    bare,
    box_iou,
    children_of,
    line_similarity,
    match,
    point_similarity,
    pose_similarity,
)
from worker.ontology.interface import Job

KINDS = {"marker": "point", "polyline": "polyline", "vector": "vector", "pose": "pose"} | dict.fromkeys(
    ("rectangle", "polygon", "semantic"), "area"
)
"""What a tool draws. Areas compare with each other; drawings of an unknown tool are the same or not."""

Shape = tuple[tuple[str, ...], tuple[Ring, ...]]
"""Names of points (of a pose) or the whole content (of an unknown tool), and rings or lines."""


def kind_of(annotation: Mapping[str, Any], job: Job) -> str:
    """Tell what was drawn: area, point, polyline, vector, pose or other."""
    tool = annotation.get("type") or (job.tools[0] if job.tools else "")
    if "annotations" in annotation or not tool:
        return "area"
    return "pose" if tool == "marker" and "points" in annotation else KINDS.get(tool, "other")


def shapes_of(annotation: Mapping[str, Any], kind: str) -> list[Shape]:
    """Give the parts of one annotation."""
    if kind == "area":
        return [((), rings) for rings in _area(annotation) if rings]
    if kind == "other":
        return [((json.dumps(bare(annotation), sort_keys=True),), ())]
    if kind == "pose":
        points = sorted((point["code"], _point(point["point"])) for point in annotation.get("points") or ())
        return [(tuple(code for code, _ in points), (tuple(point for _, point in points),))]
    line = _ring(annotation["polyline"] if "polyline" in annotation else [annotation["point"]])
    return [((), (min(line, line[::-1]) if kind == "polyline" else line,))]


def _area(annotation: Mapping[str, Any]) -> Iterator[tuple[Ring, ...]]:
    """Give the parts of an area. Groups of rings are parts; so is every ring on a page, but for a semantic area's."""
    flat: list[Ring] = []
    for item in annotation.get("boundingPoly") or ():
        if isinstance(item, list):
            yield tuple(sorted(_rings(item)))
        else:
            flat += _rings([item])
    yield tuple(sorted(flat))
    pages = [placed for part in annotation.get("annotations") or () for placed in _on_pages(part)]
    if annotation.get("type") == "semantic":
        for page in {page for page, _ in pages}:
            yield tuple(sorted(ring for own, ring in pages if own == page))
    else:
        yield from ((ring,) for _, ring in pages)


def _on_pages(part: Mapping[str, Any]) -> Iterator[tuple[int, Ring]]:
    """Lay the pages of a PDF side by side, so that their areas never overlap.

    The n-th area is on the n-th page named; where there are as many pages as rings, the n-th ring is. Areas without a
    page of their own are on the last one.
    """
    pages = part.get("pageNumberArray") or [part.get("pageNumber", 1)]
    areas = [[ring for ring in _vertices(area) if ring] for area in part.get("polys") or part.get("boundingPoly") or ()]
    if sum(map(len, areas)) == len(pages):
        areas = [[ring] for rings in areas for ring in rings]
    for index, rings in enumerate(areas):
        page = pages[min(index, len(pages) - 1)]
        for ring in rings:
            yield page, canonical(tuple((x + 2.0 * page, y) for x, y in _ring(ring)))


def _rings(areas: Iterable[Any]) -> Iterator[Ring]:
    """Unfold ``boundingPoly``: areas, groups of areas (maps), and rings one level deeper (PDF)."""
    for area in areas:
        if isinstance(area, list):
            yield from _rings(area)
        else:
            yield from (canonical(_ring(vertices)) for vertices in _vertices(area) if vertices)


def _vertices(area: Mapping[str, Any]) -> Iterable[list[Any]]:
    vertices = area["normalizedVertices"]
    return vertices if vertices and isinstance(vertices[0], list) else [vertices]


def canonical(ring: Ring) -> Ring:
    """Give a ring without repeated points, from its first corner, in one direction; an upright box as its corners."""
    kept = tuple(point for point, before in zip(ring, (ring[-1], *ring), strict=False) if point != before) or ring[:1]
    box = box_of((kept,))
    upright = corners(box)
    if len(kept) == 4 and set(kept) == set(upright):
        return upright
    first = min(kept)
    starts = [index for index, point in enumerate(kept) if point == first]
    ahead = min(kept[index:] + kept[:index] for index in starts)
    back = kept[::-1]
    last = len(kept) - 1
    return min(ahead, *(back[last - index :] + back[: last - index] for index in starts))


def corners(box: Box) -> Ring:
    """List the corners of an upright box."""
    left, top, right, bottom = box
    return ((left, bottom), (left, top), (right, top), (right, bottom))


def box_of(rings: Iterable[Ring]) -> Box:
    """Give the box around rings (left, top, right, bottom)."""
    points = [point for ring in rings for point in ring]
    if not points:
        return (0.0, 0.0, 0.0, 0.0)
    xs, ys = zip(*points, strict=True)
    return (min(xs), min(ys), max(xs), max(ys))


def _ring(vertices: Iterable[Mapping[str, float]]) -> Ring:
    return tuple(_point(vertex) for vertex in vertices)


def _point(vertex: Mapping[str, float]) -> Point:
    return (vertex["x"], vertex["y"])


LEAST = 1e-6
"""A similarity below this is none."""

DIGITS = 12
"""Digits of a similarity; the same shapes in another order differ in later ones, which must not order the pairs."""


@dataclass(slots=True)
class Thing:
    """One object, or what one kind of tool drew of it: its categories, its kind, its parts.

    ``box`` is the box around an area; ``upright`` says that the area is that box. ``mids`` are the identities that
    stand for it, its own first, then those of a pose's points by their codes. ``key`` is comparable.
    """

    group: tuple[str, ...]
    parts: tuple[Shape, ...]
    box: Box
    upright: bool
    children: Mapping[str, Any]
    mids: tuple[tuple[str, object], ...]

    @property
    def kind(self) -> str:
        """What was drawn: area, point, polyline, vector, pose or other."""
        return self.group[0]

    @property
    def key(self) -> tuple[Any, ...]:
        """Everything that tells this object from another one, except its identity and how its parts are grouped."""
        children = json.dumps(self.children, sort_keys=True) if self.children else ""
        codes = tuple(codes for codes, _ in self.parts if codes)
        return (self.group, tuple(sorted(ring for _, rings in self.parts for ring in rings)), codes, children)


def things_of(payload: Mapping[str, Any], job: Job) -> list[Thing]:
    """Read the objects of one job: annotations of one ``mid``, kind and class are the parts of one."""
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for index, annotation in enumerate(payload.get("annotations") or ()):
        kind, mid = kind_of(annotation, job), annotation.get("mid")
        names = sorted(item["name"] for item in annotation.get("categories") or ())
        found.setdefault((mid if mid is not None else index, kind, *names), []).append(annotation)
    return [_thing(annotations, group) for (_, *group), annotations in found.items()]


def _thing(annotations: Sequence[Mapping[str, Any]], group: Sequence[str]) -> Thing:
    parts = tuple(sorted(part for annotation in annotations for part in shapes_of(annotation, group[0])))
    rings = [ring for _, rings in parts for ring in rings]
    box = box_of(rings)
    upright = group[0] == "area" and len(rings) == 1 and rings[0] == corners(box)
    return Thing(tuple(group), parts, box, upright, _children(annotations), _mids(annotations))


def _children(annotations: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Collect what the parts of one object answer; where they differ, the first in the order of texts counts."""
    own = [children_of(annotation) for annotation in annotations]
    if len(own) == 1:
        return own[0]
    merged: dict[str, Any] = {}
    for children in sorted(own, key=lambda one: json.dumps(one, sort_keys=True), reverse=True):
        merged |= children
    return merged


def _mids(annotations: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, object], ...]:
    points = [point for annotation in annotations for point in annotation.get("points") or ()]
    return (("", annotations[0].get("mid")), *((point["code"], point["mid"]) for point in points if "mid" in point))


def similarity(a: Thing, b: Thing) -> float:
    """Return how alike two objects of one kind are, 0-1; below 1e-6 counts as 0.

    Areas: intersection over union of all their parts. Points, lines and poses: object keypoint similarity; of several
    parts, the sum over the matched ones over the number of parts in either. Others: equality.
    """
    if a.parts == b.parts:
        return 1.0
    found = _overlap(a, b) if a.kind == "area" else _likeness(a, b)
    return round(found, DIGITS) if found >= LEAST else 0.0


def _overlap(a: Thing, b: Thing) -> float:
    if a.upright and b.upright:
        return box_iou(a.box, b.box)
    return area_iou(tuple(rings for _, rings in a.parts), tuple(rings for _, rings in b.parts))


def _likeness(a: Thing, b: Thing) -> float:
    if len(a.parts) == len(b.parts) == 1:
        return _alike(a.parts[0], b.parts[0], a.kind)
    pairs = [(_alike(one, other, a.kind), i, j) for i, one in enumerate(a.parts) for j, other in enumerate(b.parts)]
    matched = match([pair for pair in pairs if pair[0] >= LEAST], a.parts, b.parts)
    return fsum(score for score, _, _ in matched) / (len(a.parts) + len(b.parts) - len(matched))


def _alike(a: Shape, b: Shape, kind: str) -> float:
    if a == b:
        return 1.0
    if kind == "other":
        return 0.0
    if kind == "pose":
        return pose_similarity(_pose(a), _pose(b))
    one, other = a[1][0], b[1][0]
    return point_similarity(one[0], other[0]) if kind == "point" else _line(one, other, kind)


def _line(a: Ring, b: Ring, kind: str) -> float:
    return line_similarity(a, b, directed=kind == "vector")


def _pose(shape: Shape) -> dict[str, Point]:
    codes, (points,) = shape
    return dict(zip(codes, points, strict=True))
