"""Which of one side goes with which of the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def paired(one: Sequence[T], other: Sequence[T], alike: Callable[[T, T], float]) -> tuple[float, int]:
    """Pair the most alike first; return the sum over the pairs, and how many pairs and leftovers there are."""
    scored = [(alike(a, b), i, j) for i, a in enumerate(one) for j, b in enumerate(other)]
    scored.sort(key=lambda row: (-row[0], abs(row[1] - row[2]), row[1] + row[2]))
    left, right, total = set(range(len(one))), set(range(len(other))), 0.0
    pairs = 0
    for score, i, j in scored:
        if score > 0 and i in left and j in right:
            left.discard(i)
            right.discard(j)
            total += score
            pairs += 1
    return total, pairs + len(left) + len(right)


def share_paired(one: Sequence[T], other: Sequence[T], alike: Callable[[T, T], float]) -> float:
    """Return the mean over pairs and leftovers, 0 to 1; nothing on both sides is 1."""
    total, count = paired(one, other, alike)
    return total / count if count else 1.0
