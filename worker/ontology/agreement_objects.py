"""The annotations of a detection job as shapes that can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .agreement_area import Box, Point, Ring, area_iou, box_iou
from .agreement_choice import children_of
from .agreement_other import bare
from .agreement_points import line_similarity, point_similarity, pose_similarity
from .interface import Job

KINDS = {"marker": "point", "polyline": "polyline", "vector": "vector", "pose": "pose"} | dict.fromkeys(
    ("rectangle", "polygon", "semantic"), "area"
)
"""What a tool draws. Areas compare with each other; drawings of an unknown tool are the same or not."""

LEAST = 1e-6
"""A similarity below this is none."""


@dataclass(slots=True)
class Thing:
    """One annotated shape: its categories, its kind, its points, and what identifies its content.

    ``box`` is the box around an area; ``upright`` says that the area is that box. ``key`` is comparable.
    """

    group: tuple[str, ...]
    rings: tuple[Ring, ...]
    codes: tuple[str, ...]
    box: Box
    upright: bool
    children: Mapping[str, Any]
    mid: object

    @property
    def kind(self) -> str:
        """What was drawn: area, point, polyline, vector, pose or other."""
        return self.group[0]

    @property
    def key(self) -> tuple[Any, ...]:
        """Everything that tells this annotation from another one, except its ``mid``."""
        children = json.dumps(self.children, sort_keys=True) if self.children else ""
        return (self.group, self.rings, self.codes, children)


def things_of(payload: Mapping[str, Any], job: Job) -> list[Thing]:
    """Read the annotations of one job."""
    return [_thing(annotation, job) for annotation in payload.get("annotations") or ()]


def similarity(a: Thing, b: Thing) -> float:
    """Return how alike two shapes of one kind are, 0-1; below 1e-6 counts as 0.

    Areas: intersection over union. Points, lines and poses: object keypoint similarity. Others: equality.
    """
    return _similarity(a, b) if a.rings != b.rings or a.codes != b.codes else 1.0


def _similarity(a: Thing, b: Thing) -> float:
    if a.kind == "area":
        found = box_iou(a.box, b.box) if a.upright and b.upright else area_iou(a.rings, b.rings)
    elif a.kind == "point":
        found = point_similarity(a.rings[0][0], b.rings[0][0])
    elif a.kind == "pose":
        found = pose_similarity(_pose(a), _pose(b))
    elif a.kind == "other":
        found = 0.0
    else:
        found = line_similarity(a.rings[0], b.rings[0], directed=a.kind == "vector")
    return found if found >= LEAST else 0.0


def _pose(thing: Thing) -> dict[str, Point]:
    return dict(zip(thing.codes, thing.rings[0], strict=True))


def _thing(annotation: Mapping[str, Any], job: Job) -> Thing:
    tool = annotation.get("type") or (job.tools[0] if job.tools else "")
    kind = KINDS.get(tool, "other") if tool else "area"
    codes, rings = _shape(annotation, kind)
    names = sorted(item["name"] for item in annotation.get("categories") or ())
    box = _box(rings)
    upright = kind == "area" and len(rings) == 1 and rings[0] == corners(box)
    children = children_of(annotation)
    return Thing((kind, *names), rings, codes, box, upright, children, annotation.get("mid"))


def _shape(annotation: Mapping[str, Any], kind: str) -> tuple[tuple[str, ...], tuple[Ring, ...]]:
    if kind == "area":
        return (), tuple(_area(annotation))
    if kind == "other":
        return (json.dumps(bare(annotation), sort_keys=True),), ()
    if kind == "pose":
        points = sorted((point["code"], _point(point["point"])) for point in annotation.get("points") or ())
        return tuple(code for code, _ in points), (tuple(point for _, point in points),)
    line = annotation["polyline"] if "polyline" in annotation else [annotation["point"]]
    return (), (_ring(line),)


def _area(annotation: Mapping[str, Any]) -> Iterable[Ring]:
    """Give the rings of an area; pages of a PDF are laid side by side so that they never overlap."""
    for ring in _rings(annotation.get("boundingPoly") or ()):
        yield _plain(_ring(ring))
    for part in annotation.get("annotations") or ():
        page = (part.get("pageNumberArray") or [part.get("pageNumber", 1)])[0]
        for ring in _rings(part.get("polys") or part.get("boundingPoly") or ()):
            yield _plain(tuple((x + 2.0 * page, y) for x, y in _ring(ring)))


def _rings(areas: Iterable[Any]) -> Iterable[list[Any]]:
    """Unfold ``boundingPoly``: areas, groups of areas (maps), and rings one level deeper (PDF)."""
    for area in areas:
        if isinstance(area, list):
            yield from _rings(area)
            continue
        vertices = area["normalizedVertices"]
        nested = bool(vertices) and isinstance(vertices[0], list)
        yield from vertices if nested else [vertices]


def _plain(ring: Ring) -> Ring:
    """Give an upright box its corners in one order, in whatever order they were written."""
    box = _box((ring,))
    upright = corners(box)
    return upright if len(ring) == 4 and set(ring) == set(upright) else ring


def corners(box: Box) -> Ring:
    """List the corners of an upright box."""
    left, top, right, bottom = box
    return ((left, bottom), (left, top), (right, top), (right, bottom))


def _ring(vertices: Iterable[Mapping[str, float]]) -> Ring:
    return tuple(_point(vertex) for vertex in vertices)


def _point(vertex: Mapping[str, float]) -> Point:
    return (vertex["x"], vertex["y"])


def _box(rings: Iterable[Ring]) -> Box:
    points = [point for ring in rings for point in ring]
    if not points:
        return (0.0, 0.0, 0.0, 0.0)
    xs, ys = zip(*points, strict=True)
    return (min(xs), min(ys), max(xs), max(ys))
