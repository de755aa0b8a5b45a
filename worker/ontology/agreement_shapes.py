"""The shapes of annotations, each in one form however it was written down.

Where a ring begins and in which direction it runs, in which order parts and pages are listed, and whether parts are
annotations, groups or rings, makes no difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .agreement_area import Box, Point, Ring
from .agreement_other import bare
from .interface import Job

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
