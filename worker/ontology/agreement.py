"""How two responses of one project agree: chosen categories, texts, objects, entities, relations."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import fsum
from typing import Any

from worker.ontology.agreement_measures import (
    Nested,
    Pair,
    children_of,
    choice_agreement,
    equality,
    match,
    text_agreement,
    with_children,
)
from worker.ontology.agreement_objects import Thing, similarity, things_of
from worker.ontology.interface import IGNORED_JOBS, RELATION_ENDS, Interface, Job
from worker.ontology.validate_parts import is_answered


@dataclass(slots=True)
class AgreementPart:
    """The agreement of one job, how much it counts, and which annotations are the same thing.

    ``weight`` is the number of objects or annotations compared (matched ones once). ``same`` pairs their mids, the
    most similar ones first.
    """

    value: float
    weight: float = 1.0
    same: list[tuple[object, object]] = field(default_factory=list)


def objects_agreement(a: Mapping[str, Any], b: Mapping[str, Any], job: Job, nested: Nested) -> AgreementPart:
    """Match objects of the same categories by their shapes.

    ``sum of similarities of the matched pairs / (matched + unmatched of a + unmatched of b)``; a pair with
    child jobs counts the geometric mean of its similarity and its children's agreement. Source: Kili's
    calculation rules for quality metrics (pairs by class and IoU, divided by pairs and left-overs).
    """
    return _jaccard(things_of(a, job), things_of(b, job), nested)


def entities_agreement(a: Mapping[str, Any], b: Mapping[str, Any], nested: Nested) -> AgreementPart:
    """Return the F1 of the spans: an entity is found when categories, begin and end are the same.

    ``F1 = 2 · sum over found pairs / (entities of a + entities of b)``; a pair counts 1, or the square root
    of its children's agreement. Source: exact matching of the CoNLL-2003 evaluation, which is symmetric.
    """
    spans_a, spans_b = _spans(a), _spans(b)
    matched = match(_found(spans_a, spans_b, nested), [s.key for s in spans_a], [s.key for s in spans_b])
    total = len(spans_a) + len(spans_b)
    found = 2.0 * fsum(score for score, _, _ in matched)
    same = [(spans_a[i].mid, spans_b[j].mid) for _, i, j in matched]
    return AgreementPart(found / total if total else 1.0, max(1.0, total - len(matched)), same)


def _jaccard(things_a: Sequence[Thing], things_b: Sequence[Thing], nested: Nested) -> AgreementPart:
    pairs = [pair for group in _groups(things_a, things_b) for pair in _pairs(*group, nested)]
    keys_a, keys_b = [thing.key for thing in things_a], [thing.key for thing in things_b]
    matched = match(pairs, keys_a, keys_b)
    total = len(things_a) + len(things_b) - len(matched)
    same = [pair for _, i, j in matched for pair in _same(things_a[i], things_b[j])]
    value = fsum(score for score, _, _ in matched) / total if total else 1.0
    return AgreementPart(value, max(1.0, total), same)


def _same(a: Thing, b: Thing) -> Iterator[tuple[object, object]]:
    """Pair the identities of two objects, and those of the points that both poses have."""
    points = dict(b.mids)
    return ((mid, points[code]) for code, mid in a.mids if code in points)


Numbered = list[tuple[int, Thing]]


def _groups(a: Iterable[Thing], b: Iterable[Thing]) -> Iterator[tuple[Numbered, Numbered]]:
    """Put what may match together: the same kind of shape, the same categories."""
    groups: dict[tuple[str, ...], tuple[Numbered, Numbered]] = defaultdict(lambda: ([], []))
    for side, things in enumerate((a, b)):
        for index, thing in enumerate(things):
            groups[thing.group][side].append((index, thing))
    return (group for group in groups.values() if group[0] and group[1])


def _pairs(a: Numbered, b: Numbered, nested: Nested) -> Iterator[Pair]:
    near = _touching if a[0][1].kind == "area" else _all
    for i, one, j, other in near(a, b):
        score = similarity(one, other)
        if score and (one.children or other.children):
            score = with_children(score, nested(one.children, other.children))
        if score:
            yield score, i, j


def _all(a: Numbered, b: Numbered) -> Iterator[tuple[int, Thing, int, Thing]]:
    return ((i, one, j, other) for i, one in a for j, other in b)


def _touching(a: Numbered, b: Numbered) -> Iterator[tuple[int, Thing, int, Thing]]:
    """Give the pairs whose boxes touch; sorting by the left edge spares most of the others."""
    b = sorted(b, key=lambda item: item[1].box[0])
    lefts = [thing.box[0] for _, thing in b]
    for i, one in a:
        left, top, right, bottom = one.box
        for j, other in b[: bisect_right(lefts, right)]:
            box = other.box
            if box[2] >= left and box[1] <= bottom and box[3] >= top:
                yield i, one, j, other


@dataclass(slots=True)
class _Span:
    span: tuple[Any, ...]
    children: Mapping[str, Any]
    mid: object

    @property
    def key(self) -> tuple[Any, ...]:
        return (*self.span, repr(sorted(self.children.items())))


def _found(spans_a: Sequence[_Span], spans_b: Sequence[_Span], nested: Nested) -> list[Pair]:
    places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for j, other in enumerate(spans_b):
        places[other.span].append(j)
    pairs = [
        (with_children(1.0, nested(one.children, spans_b[j].children)), i, j)
        for i, one in enumerate(spans_a)
        for j in places.get(one.span, ())
    ]
    return [pair for pair in pairs if pair[0] > 0.0]


def _spans(payload: Mapping[str, Any]) -> list[_Span]:
    return [_span(annotation) for annotation in payload.get("annotations") or ()]


def _span(annotation: Mapping[str, Any]) -> _Span:
    begin = annotation["beginOffset"]
    end = annotation["endOffset"] if "endOffset" in annotation else begin + len(annotation["content"])
    parts = (annotation.get("beginId", ""), annotation.get("endId", ""))
    names = tuple(sorted(item["name"] for item in annotation.get("categories") or ()))
    return _Span((names, parts, begin, end), children_of(annotation), annotation.get("mid"))


Edge = tuple[tuple[str, ...], object, object]


def relations_agreement(
    a: Mapping[str, Any], b: Mapping[str, Any], job: Job, same: Sequence[tuple[object, object]]
) -> AgreementPart:
    """Return the F1 of the connections: categories, start and end must be the same.

    A relation with several starts or ends is all of their connections. Two ends are the same when the
    annotations they name were matched by content (``same`` pairs their mids; of several pairs the first counts).
    ``F1 = 2 · common / (connections of a + connections of b)``.
    """
    ranked = list(enumerate(same))[::-1]
    edges_a = _edges(a, job, "a", {one: index for index, (one, _) in ranked})
    edges_b = _edges(b, job, "b", {other: index for index, (_, other) in ranked})
    total = edges_a.total() + edges_b.total()
    common = (edges_a & edges_b).total()
    return AgreementPart(2.0 * common / total if total else 1.0, max(1.0, total - common))


def _edges(payload: Mapping[str, Any], job: Job, side: str, matched: Mapping[object, int]) -> Counter[Edge]:
    start, end = RELATION_ENDS[job.ml_task]
    edges: Counter[Edge] = Counter()
    for relation in payload.get("annotations") or ():
        names = tuple(sorted(item["name"] for item in relation.get("categories") or ()))
        starts, ends = ([item["mid"] for item in relation.get(key) or ()] for key in (start, end))
        for one, other in product(starts, ends):
            edges[names, matched.get(one, (side, one)), matched.get(other, (side, other))] += 1
    return edges


_ANNOTATED = frozenset({"OBJECT_DETECTION", "NAMED_ENTITIES_RECOGNITION", *RELATION_ENDS})

Payloads = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two responses agree, 0-1: overall, and for each job that either of them answers.

    ``overall`` is the mean of ``jobs`` weighted by ``weights``: the number of annotations compared in a
    job, 1 for a job without annotations. It is 1 when neither response answers anything.
    """

    overall: float
    jobs: dict[str, float]
    weights: dict[str, float]


def agreement(a: Mapping[str, Any], b: Mapping[str, Any], interface: Interface) -> Agreement:
    """Compare two valid json_responses of one project.

    A video is compared frame by frame: a job's agreement is the mean over the frames in which either
    response answers it. Jobs that the interface does not have are left out.
    """
    parts: dict[str, list[AgreementPart]] = defaultdict(list)
    for jobs_a, jobs_b in _levels(a, b, interface):
        for name, part in _Comparison(interface).jobs(jobs_a, jobs_b).items():
            parts[name].append(part)
    jobs = {name: fsum(part.value for part in found) / len(found) for name, found in parts.items()}
    weights = {name: fsum(part.weight for part in found) / len(found) for name, found in parts.items()}
    return Agreement(_weighted(jobs, weights), jobs, weights)


def _levels(a: Payloads, b: Payloads, interface: Interface) -> Iterator[tuple[Payloads, Payloads]]:
    if not interface.is_video:
        yield a, b
        return
    for key in sorted((a.keys() | b.keys()) - IGNORED_JOBS):
        yield a.get(key) or {}, b.get(key) or {}


def _weighted(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    total = fsum(weights.values())
    if not total:
        return 1.0
    return min(1.0, fsum(values[name] * weights[name] for name in values) / total)


class _Comparison:
    """Compares the jobs of one response, or of one frame, and remembers which annotations matched."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._same: list[tuple[object, object]] = []

    def jobs(self, a: Payloads, b: Payloads) -> dict[str, AgreementPart]:
        """Compare the jobs either side answers; relations last, when the annotations are matched."""
        known = [job for job in self._interface.jobs.values() if job.name in a or job.name in b]
        asked = [job for job in known if _answers(a, job) or _answers(b, job)]
        asked.sort(key=lambda job: job.ml_task in RELATION_ENDS)
        return {job.name: self._part(a.get(job.name) or {}, b.get(job.name) or {}, job) for job in asked}

    def _nested(self, a: Payloads, b: Payloads) -> float | None:
        if not a and not b:
            return None
        parts = _Comparison(self._interface).jobs(a, b)
        values = {name: part.value for name, part in parts.items()}
        return _weighted(values, {name: part.weight for name, part in parts.items()}) if parts else None

    def _part(self, a: Any, b: Any, job: Job) -> AgreementPart:
        if job.ml_task == "CLASSIFICATION":
            return AgreementPart(choice_agreement(a, b, job, self._nested))
        if job.ml_task == "TRANSCRIPTION":
            return AgreementPart(text_agreement(a.get("text") or "", b.get("text") or ""))
        if job.ml_task in RELATION_ENDS:
            return relations_agreement(a, b, job, self._same)
        if job.ml_task not in _ANNOTATED:
            return AgreementPart(equality(a, b))
        part = self._annotated(a, b, job)
        self._same += part.same
        return part

    def _annotated(self, a: Payloads, b: Payloads, job: Job) -> AgreementPart:
        """Entities of a PDF are areas on its pages, as objects are."""
        if job.ml_task == "NAMED_ENTITIES_RECOGNITION" and not self._interface.is_pdf:
            return entities_agreement(a, b, self._nested)
        return objects_agreement(a, b, job, self._nested)


def _answers(payloads: Payloads, job: Job) -> bool:
    return is_answered(payloads.get(job.name), job)
