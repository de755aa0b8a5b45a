"""The objects of a detection job as shapes that can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from .agreement_area import Box, Point, Ring, area_iou, box_iou
from .agreement_choice import children_of
from .agreement_match import match
from .agreement_points import line_similarity, point_similarity, pose_similarity
from .agreement_shapes import Shape, box_of, corners, kind_of, shapes_of
from .interface import Job

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
