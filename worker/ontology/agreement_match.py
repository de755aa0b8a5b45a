"""Which annotation of one response is which of the other's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
