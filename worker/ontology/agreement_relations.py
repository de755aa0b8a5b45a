"""How the relations of two responses agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from .agreement_annotations import Part
from .interface import RELATION_ENDS, Job

Edge = tuple[tuple[str, ...], object, object]


def relations_agreement(
    a: Mapping[str, Any], b: Mapping[str, Any], job: Job, same: Sequence[tuple[object, object]]
) -> Part:
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
    return Part(2.0 * common / total if total else 1.0, max(1.0, total - common))


def _edges(payload: Mapping[str, Any], job: Job, side: str, matched: Mapping[object, int]) -> Counter[Edge]:
    start, end = RELATION_ENDS[job.ml_task]
    edges: Counter[Edge] = Counter()
    for relation in payload.get("annotations") or ():
        names = tuple(sorted(item["name"] for item in relation.get("categories") or ()))
        starts, ends = ([item["mid"] for item in relation.get(key) or ()] for key in (start, end))
        for one, other in product(starts, ends):
            edges[names, matched.get(one, (side, one)), matched.get(other, (side, other))] += 1
    return edges
