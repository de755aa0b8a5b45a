"""Cut what has to be sent into batches within Kili's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batches(groups: Iterable[list[T]], *, count: int, max_bytes: int, size: Callable[[T], int]) -> Iterator[list[T]]:
    """Cut in order: at most ``count`` items and ``max_bytes`` a batch; a group stays whole, a larger one goes alone."""
    batch: list[T] = []
    total = 0
    for group in groups:
        own = sum(size(item) for item in group)
        if batch and (len(batch) + len(group) > count or total + own > max_bytes):
            yield batch
            batch, total = [], 0
        batch += group
        total += own
    if batch:
        yield batch


def grouped(items: Iterable[T], *, key: Callable[[T], str]) -> list[list[T]]:
    """Items with the same key together, groups in the order of their first item."""
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
