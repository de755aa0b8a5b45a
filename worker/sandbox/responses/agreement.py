"""How far two valid responses agree, by the rules that Kili documents for its quality metrics.

A choice of one is right or wrong; a choice of several is their overlap. Objects are paired by class and overlap; what
has no partner counts as nothing. Answers below an answer enter as a geometric mean. Jobs of one level are averaged,
weighted by their annotations. What the documentation leaves open (texts, points, lines) is compared by likeness.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from math import dist, prod
from typing import Any, NamedTuple

from worker.sandbox.responses.annotations import (
    ENTITIES,
    OBJECTS,
    RELATIONS,
    DrawnObject,
    drawing_similarity,
    paired,
    share_paired,
)
from worker.sandbox.responses.reading import Interface, Job, Json
from worker.sandbox.responses.validation import BY_FRAME, NO_JOBS

#: The least extent that is taken for a map's, in degrees: about a kilometre.
SMALLEST_MAP = 0.01
#: Texts longer than this, in characters, are compared by what they are made of, not by its order.
LONG_TEXT = 2000

#: What two answers may differ in and still be the same.
BESIDE = frozenset({"confidence", "score", "mid", "isKeyFrame", "labelVersion"})


class Compared(NamedTuple):
    """The agreement in a job, 0 to 1, and how many annotations it comes from."""

    score: float
    weight: int


def agreement(one: Json, other: Json, interface: Interface) -> float:
    """Return how far two valid responses agree, 0 to 1; two without any answer agree."""
    return _mean(compare_jobs(one, other, interface).values())


def compare_jobs(one: Json, other: Json, interface: Interface) -> dict[str, Compared]:
    """Return the agreement of two valid responses by root job; jobs that neither answers are left out."""
    found: dict[str, list[Compared]] = {}
    scale = _scale(one, other)
    for mine, theirs in _scenes(one, other, interface):
        for name, compared in _Scene(mine, theirs, interface, scale).compare().items():
            found.setdefault(name, []).append(compared)
    return {name: Compared(_mean(parts), sum(part.weight for part in parts)) for name, parts in found.items()}


def _mean(parts: Any) -> float:
    parts = list(parts)
    weight = sum(part.weight for part in parts)
    return sum(part.score * part.weight for part in parts) / weight if weight else 1.0


def _scenes(one: Json, other: Json, interface: Interface) -> Iterator[tuple[Json, Json]]:
    if interface.input_type not in BY_FRAME:
        yield one, other
        return
    for frame in one.keys() | other.keys():
        yield one.get(frame, {}), other.get(frame, {})


def _scale(one: Json, other: Json) -> float:
    """The length of a whole image: 1 for shares of it, the extent of all that is drawn for degrees."""
    points = [*_points(one), *_points(other)]
    if all(0 <= value <= 1 for point in points for value in point):
        return 1.0
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return max(dist((min(xs), min(ys)), (max(xs), max(ys))), SMALLEST_MAP)


def _points(value: Any) -> Iterator[tuple[float, float]]:
    if isinstance(value, dict):
        if {"x", "y"} <= value.keys():
            yield value["x"], value["y"]
        for inner in value.values():
            yield from _points(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _points(inner)


class _Scene:
    """Two answers to one asset, or to one frame."""

    def __init__(self, one: Json, other: Json, interface: Interface, scale: float) -> None:
        self._answers = (one, other)
        self._interface = interface
        self._scale = scale
        self._known = (self._by_mid(one), self._by_mid(other))

    def compare(self) -> dict[str, Compared]:
        return self._jobs(*self._answers)

    def _jobs(self, one: Json, other: Json) -> dict[str, Compared]:
        names = sorted((one.keys() | other.keys()) - NO_JOBS)
        found = {name: self._job(self._interface.jobs[name], one.get(name), other.get(name)) for name in names}
        return {name: compared for name, compared in found.items() if compared is not None}

    def _job(self, job: Job, one: Json | None, other: Json | None) -> Compared | None:
        one, other = one or {}, other or {}
        if job.task == "CLASSIFICATION":
            return self._choice(job, one, other)
        if job.task in (OBJECTS, ENTITIES, *RELATIONS):
            return self._annotations(job, one, other)
        if job.task == "TRANSCRIPTION":
            return _texts(job, one.get("text") or "", other.get("text") or "")
        mine, theirs = _bare(one), _bare(other)
        return Compared(float(mine == theirs), 1) if mine or theirs else None

    def _choice(self, job: Job, one: Json, other: Json) -> Compared | None:
        mine, theirs = _chosen(job, one), _chosen(job, other)
        if not mine and not theirs:
            return None
        both = mine.keys() & theirs.keys()
        score = len(both) / len(mine.keys() | theirs.keys())
        below = [part for name in sorted(both) for part in self._below(mine[name], theirs[name])]
        return Compared(_geometric(score, below), 1)

    def _below(self, one: Json, other: Json) -> list[float]:
        return [compared.score for compared in self._jobs(one, other).values()]

    def _annotations(self, job: Job, one: Json, other: Json) -> Compared | None:
        mine, theirs = one.get("annotations"), other.get("annotations")
        if mine is None and theirs is None:
            return None
        if job.task == OBJECTS or (job.task == ENTITIES and self._interface.input_type == "PDF"):
            total, count = paired(_objects(mine), _objects(theirs), self._alike_objects)
        elif job.task == ENTITIES:
            total, count = paired(mine or [], theirs or [], self._alike_entities)
        else:
            total, count = paired(mine or [], theirs or [], lambda a, b: self._alike_relations(job, a, b))
        if not count:
            return Compared(1.0, 1) if mine is not None and theirs is not None else None
        return Compared(total / count, count)

    def _alike_objects(self, one: DrawnObject, other: DrawnObject) -> float:
        if one.category != other.category:
            return 0.0
        drawn = drawing_similarity(one, other, self._scale)
        return _geometric(drawn, self._below(one.children, other.children)) if drawn else 0.0

    def _alike_entities(self, one: Json, other: Json) -> float:
        if _name(one) != _name(other):
            return 0.0
        alike = _alike_spans(one, other)
        return _geometric(alike, self._below(one.get("children") or {}, other.get("children") or {})) if alike else 0.0

    def _alike_relations(self, job: Job, one: Json, other: Json) -> float:
        if _name(one) != _name(other):
            return 0.0
        things, _ = RELATIONS[job.task]
        ends = [self._alike_ends(one[f"{end}{things}"], other[f"{end}{things}"]) for end in ("start", "end")]
        return _geometric(prod(ends) ** 0.5, self._below(one.get("children") or {}, other.get("children") or {}))

    def _alike_ends(self, one: list[Json], other: list[Json]) -> float:
        mine = [self._known[0].get(end["mid"]) for end in one]
        theirs = [self._known[1].get(end["mid"]) for end in other]
        return share_paired(mine, theirs, self._alike_things)

    def _alike_things(self, one: Any, other: Any) -> float:
        """How alike two ends of relations are: objects, entities, or nothing in this frame."""
        if isinstance(one, DrawnObject) and isinstance(other, DrawnObject):
            return self._alike_objects(one, other)
        if isinstance(one, dict) and isinstance(other, dict):
            return self._alike_entities(one, other)
        return float(one is None and other is None)

    def _by_mid(self, answer: Json) -> dict[str, Any]:
        known: dict[str, Any] = {}
        for name, payload in answer.items():
            job = None if name in NO_JOBS else self._interface.jobs[name]
            if job is None or job.task not in (OBJECTS, ENTITIES):
                continue
            is_drawn = job.task == OBJECTS or self._interface.input_type == "PDF"
            for annotation in payload.get("annotations") or ():
                mid = annotation.get("mid")
                if mid is not None and is_drawn:
                    known.setdefault(mid, DrawnObject(_name(annotation))).add(annotation)
                elif mid is not None:
                    known[mid] = annotation
        return known


def _chosen(job: Job, payload: Json) -> dict[str, Json]:
    """The chosen categories with the answers below each, whether they stand inside the category or beside it."""
    listed = payload.get("categories") or []
    chosen = {category["name"]: dict(category.get("children") or {}) for category in listed}
    for name, answer in (payload.get("children") or {}).items():
        owners = sorted(category for category in chosen if name in job.categories[category].children)
        chosen[owners[0]][name] = answer
    return chosen


def _objects(annotations: list[Json] | None) -> list[DrawnObject]:
    found: dict[Any, DrawnObject] = {}
    for index, annotation in enumerate(annotations or ()):
        key = annotation["mid"] if annotation.get("mid") is not None else index
        found.setdefault(key, DrawnObject(_name(annotation))).add(annotation)
    return list(found.values())


def _name(annotation: Json) -> str:
    return str(annotation["categories"][0]["name"])


def _texts(job: Job, one: str, other: str) -> Compared | None:
    if not one and not other:
        return None
    if job.input in ("date", "number"):
        return Compared(float(one == other), 1)
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    is_long = max(len(one), len(other)) > LONG_TEXT
    return Compared(1.0 if one == other else matcher.quick_ratio() if is_long else matcher.ratio(), 1)


def _alike_spans(one: Json, other: Json) -> float:
    (begin, stop), (first, last) = _span(one), _span(other)
    ids = {(part.get("beginId"), part.get("endId")) for part in (one, other)}
    if len(ids) == 1 and len(set(ids.pop())) == 1:
        common = min(stop, last) - max(begin, first)
        return max(0.0, common / (max(stop, last) - min(begin, first)))
    starts = (one.get("beginId"), begin) == (other.get("beginId"), first)
    ends = (one.get("endId"), stop) == (other.get("endId"), last)
    return (starts + ends) / 2


def _span(entity: Json) -> tuple[int, int]:
    begin = entity["beginOffset"]
    end = entity.get("endOffset")
    return begin, begin + len(entity["content"]) if end is None else end


def _geometric(score: float, below: list[float]) -> float:
    return prod([score, *below]) ** (1 / (1 + len(below)))


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items() if key not in BESIDE}
    return [_bare(inner) for inner in value] if isinstance(value, list) else value
