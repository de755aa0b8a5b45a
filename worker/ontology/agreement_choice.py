"""How chosen categories and texts agree, and which annotation goes with which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import fsum, sqrt
from typing import Any

from worker.ontology.interface import Job

Pair = tuple[float, int, int]
"""A similarity in (0, 1], an index into the one list, an index into the other."""


def match(pairs: Sequence[Pair], keys_a: Sequence[Any], keys_b: Sequence[Any]) -> list[Pair]:
    """Match greedily: the most similar pair first, each annotation at most once.

    Equal similarities are ordered by the contents of the pair (``keys``, comparable within both lists)
    without regard to which side they are on, so that the outcome does not depend on the order of the two
    responses or of their annotations.
    """
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    matched = []
    for pair in _ordered(pairs, keys_a, keys_b):
        _, i, j = pair
        if i not in taken_a and j not in taken_b:
            taken_a.add(i)
            taken_b.add(j)
            matched.append(pair)
    return matched


def _ordered(pairs: Sequence[Pair], keys_a: Sequence[Any], keys_b: Sequence[Any]) -> list[Pair]:
    if len({pair[0] for pair in pairs}) == len(pairs):
        return sorted(pairs, reverse=True)
    order = {key: rank for rank, key in enumerate(sorted({*keys_a, *keys_b}))}
    ranks_a = [order[key] for key in keys_a]
    ranks_b = [order[key] for key in keys_b]

    def place(pair: Pair) -> tuple[float, int, int, int, int]:
        score, i, j = pair
        one, other = ranks_a[i], ranks_b[j]
        return (-score, min(one, other), max(one, other), i, j)

    return sorted(pairs, key=place)


CIRCUMSTANCES = frozenset({"confidence", "score", "mid", "isKeyFrame"})
"""What two equal answers may differ in."""


def equality(a: object, b: object) -> float:
    """Return 1 when two answers are the same but for confidences, identities and key-frame marks, else 0."""
    return float(bare(a) == bare(b))


def bare(value: Any) -> Any:
    """Leave the circumstances out of an answer, at every depth."""
    if isinstance(value, Mapping):
        return {key: bare(item) for key, item in value.items() if key not in CIRCUMSTANCES}
    return [bare(item) for item in value] if isinstance(value, list) else value


Nested = Callable[[Mapping[str, Any], Mapping[str, Any]], float | None]
"""Agreement of two objects of child jobs; None when neither answers one."""


def choice_agreement(a: Mapping[str, Any], b: Mapping[str, Any], job: Job, nested: Nested) -> float:
    """Return the Jaccard index of two choices, which is exact equality for single choice.

    ``sum of g(c) over the common categories / number of categories in either``, where ``g(c)``, the
    geometric mean of 1 and the agreement of the category's child jobs, is 1 without children.
    Source: Kili's calculation rules for quality metrics (Jaccard; geometric average for nested jobs).
    """
    chosen_a, chosen_b = _chosen(a, job), _chosen(b, job)
    union = chosen_a.keys() | chosen_b.keys()
    if not union:
        return 1.0
    common = chosen_a.keys() & chosen_b.keys()
    return fsum(with_children(1.0, nested(chosen_a[name], chosen_b[name])) for name in common) / len(union)


def with_children(own: float, children: float | None) -> float:
    """Combine an element's agreement with its children's by their geometric mean."""
    return own if children is None else sqrt(own * children)


def children_of(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Collect the child jobs beside and inside the chosen categories of an annotation."""
    children = dict(holder.get("children") or {})
    for item in holder.get("categories") or ():
        children |= item.get("children") or {}
    return children


def _chosen(payload: Mapping[str, Any], job: Job) -> dict[str, Mapping[str, Any]]:
    """Map each chosen category to its child jobs, wherever the response keeps them."""
    beside = payload.get("children") or {}
    chosen: dict[str, Mapping[str, Any]] = {}
    for item in payload.get("categories") or ():
        asked = {name: beside[name] for name in job.children_of((item["name"],)) if name in beside}
        chosen[item["name"]] = {**asked, **(item.get("children") or {})}
    return chosen


def text_agreement(a: str, b: str) -> float:
    """Return ``1 - levenshtein(a, b) / max(len(a), len(b))``, 1 for two empty texts."""
    longest = max(len(a), len(b))
    return 1.0 - levenshtein(a, b) / longest if longest else 1.0


def levenshtein(a: str, b: str) -> int:
    """Count the insertions, deletions and substitutions between two texts.

    A column of the distance matrix is kept as two integers of one bit per character, so that a step costs a
    few operations on integers. Source: G. Myers, A fast bit-vector algorithm for approximate string matching
    (J. ACM 46, 1999), with H. Hyyrö's horizontal deltas for the distance of whole texts (2003).
    """
    a, b = _without_common_ends(*sorted((a, b), key=len))
    if not a:
        return len(b)
    places = _places(a)
    ones = (1 << len(a)) - 1
    last = 1 << (len(a) - 1)
    rising, falling, distance = ones, 0, len(a)
    for char in b:
        match = places.get(char, 0)
        diagonal = (((match & rising) + rising) ^ rising) | match | falling
        up = falling | ~(diagonal | rising) & ones
        down = rising & diagonal
        distance += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & ones, down << 1 & ones
        rising, falling = down | ~(diagonal | up) & ones, up & diagonal
    return distance


def _places(text: str) -> dict[str, int]:
    places: dict[str, int] = {}
    for index, char in enumerate(text):
        places[char] = places.get(char, 0) | 1 << index
    return places


def _without_common_ends(a: str, b: str) -> tuple[str, str]:
    start = 0
    while start < len(a) and a[start] == b[start]:
        start += 1
    end = 0
    while end < len(a) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    return a[start : len(a) - end], b[start : len(b) - end]
