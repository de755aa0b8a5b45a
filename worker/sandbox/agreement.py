"""How far a human answer and a model's answer agree, 0 to 1.

J, the overlap of two answers, is by task: categories and entities |A n B| / |A u B| (Jaccard); texts the ratio of
difflib; objects the sum of the IoU of matched boxes of one category over (matches + unmatched of both sides), shapes
compared by their bounding boxes. Several jobs are averaged by their number of annotations; a child job multiplies
as a geometric mean with its parent.

Two published rules turn J into a mark. `documented`: the mark is J. `tutorial`: (1 + J) / 2, the consensus formula
(votes of two over the categories chosen by either) whose figures Kili's tutorial on inference labels prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from itertools import chain
from typing import Any, Literal

from .interface import Job
from .validation import is_number

Rule = Literal["tutorial", "documented"]
Jobs = Mapping[str, Job]
#: Payloads by (frame, job).
Answers = Mapping[tuple[str, str], dict[str, Any]]
Box = tuple[float, float, float, float]

#: Half the side given to points and lines, so that their boxes have an area.
MARGIN = 0.01


def mark(human: str, model: str, jobs: Jobs, rule: Rule) -> float:
    """Return the agreement of two json_responses (JSON strings) under a rule."""
    overlap = _overlap_of_jobs(_flatten(json.loads(human)), _flatten(json.loads(model)), jobs)
    return overlap if rule == "documented" else (1 + overlap) / 2


def _flatten(response: dict[str, Any]) -> Answers:
    flat: dict[tuple[str, str], dict[str, Any]] = {}
    for name, payload in response.items():
        if name.isdecimal() or name == "assetLevel":
            flat.update({(name, inner): value for inner, value in payload.items()})
        else:
            flat["", name] = payload
    return flat


def _overlap_of_jobs(human: Answers, model: Answers, jobs: Jobs) -> float:
    total = weight = 0.0
    for key in {**human, **model}:
        job = jobs.get(key[1])
        if job is None or job.task not in OVERLAPS:
            continue
        left, right = human.get(key, {}), model.get(key, {})
        share = max(_size(left), _size(right), 1)
        total += share * _overlap(job, left, right, jobs)
        weight += share
    return total / weight if weight else 1.0


def _overlap(job: Job, left: dict[str, Any], right: dict[str, Any], jobs: Jobs) -> float:
    own = OVERLAPS[job.task](left, right)
    below_left, below_right = _children(left), _children(right)
    if not own or not (below_left or below_right):
        return own
    return float((own * _overlap_of_jobs(below_left, below_right, jobs)) ** 0.5)


def _children(payload: dict[str, Any]) -> Answers:
    owners = chain([payload], payload.get("categories") or [])
    return {("", name): value for owner in owners for name, value in (owner.get("children") or {}).items()}


def _size(payload: dict[str, Any]) -> int:
    return len(payload.get("annotations") or ()) or 1


def _names(holder: dict[str, Any]) -> frozenset[str]:
    return frozenset(category["name"] for category in holder.get("categories") or ())


def _jaccard(left: frozenset[Any], right: frozenset[Any]) -> float:
    union = left | right
    return len(left & right) / len(union) if union else 1.0


def _categories(left: dict[str, Any], right: dict[str, Any]) -> float:
    return _jaccard(_names(left), _names(right))


def _texts(left: dict[str, Any], right: dict[str, Any]) -> float:
    return SequenceMatcher(None, left.get("text", ""), right.get("text", ""), autojunk=False).ratio()


def _entities(left: dict[str, Any], right: dict[str, Any]) -> float:
    return _jaccard(frozenset(_spans(left)), frozenset(_spans(right)))


def _spans(payload: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    for entity in payload.get("annotations") or ():
        yield (_names(entity), *(str(entity.get(key)) for key in ("beginId", "beginOffset", "content")))


def _objects(left: dict[str, Any], right: dict[str, Any]) -> float:
    ours, theirs = left.get("annotations") or [], right.get("annotations") or []
    if not ours and not theirs:
        return 1.0
    pairs = sorted(
        (
            (_iou(_box(one), _box(other)), i, j)
            for i, one in enumerate(ours)
            for j, other in enumerate(theirs)
            if _names(one) == _names(other)
        ),
        key=lambda pair: -pair[0],
    )
    matches = list(_matches(pairs))
    return sum(matches) / (len(ours) + len(theirs) - len(matches))


def _matches(pairs: list[tuple[float, int, int]]) -> Iterator[float]:
    taken_left: set[int] = set()
    taken_right: set[int] = set()
    for overlap, i, j in pairs:
        if overlap and i not in taken_left and j not in taken_right:
            taken_left.add(i)
            taken_right.add(j)
            yield overlap


def _box(annotation: Any) -> Box:
    points = list(_points(annotation))
    if not points:
        return (0.0, 0.0, 0.0, 0.0)
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    if left == right or top == bottom:
        return (left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN)
    return (left, top, right, bottom)


def _points(shape: Any) -> Iterator[tuple[float, float]]:
    if isinstance(shape, dict):
        if is_number(shape.get("x")) and is_number(shape.get("y")):
            yield float(shape["x"]), float(shape["y"])
        for key in ("boundingPoly", "normalizedVertices", "point", "points", "polyline", "annotations"):
            yield from _points(shape.get(key))
    elif isinstance(shape, list):
        for item in shape:
            yield from _points(item)


def _iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (_area(one) + _area(other) - both)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


OVERLAPS = {
    "CLASSIFICATION": _categories,
    "TRANSCRIPTION": _texts,
    "NAMED_ENTITIES_RECOGNITION": _entities,
    "OBJECT_DETECTION": _objects,
}
