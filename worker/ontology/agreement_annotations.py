"""How the objects or the entities of two responses agree."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any

from worker.ontology.agreement_choice import Nested, Pair, children_of, match, with_children
from worker.ontology.agreement_objects import Thing, similarity, things_of
from worker.ontology.interface import Job


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
