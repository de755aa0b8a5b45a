"""Objects that are not in the answer though they were in the payload: counted, and told as evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from worker.formats.options import ReadOptions
from worker.formats.output import OutputError

MOST_REASONS = 5
"""Refusals of dropped objects that are kept in words; all are counted."""

Item = TypeVar("Item")
Found = TypeVar("Found")


class LeftOut(Exception):
    """One object that is left out, and the name under which it is counted in the evidence."""

    def __init__(self, counted_as: str) -> None:
        self.counted_as = counted_as
        super().__init__(counted_as)


class Kept(Generic[Found]):
    """The objects that were kept, and the evidence of those that were not."""

    __slots__ = ("_bad", "_counts", "_first", "found")

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._counts: Counter[str] = Counter()
        self._bad: list[str] = []
        self._first: OutputError | None = None

    def evidence(self) -> dict[str, Any] | None:
        """How many were left out, by the reason's name, and the first refusals of bad ones; None when none was."""
        if not self._counts and not self._first:
            return None
        told: dict[str, Any] = dict(self._counts)
        if self._bad:
            told["bad_objects"] = self._bad
        return told

    def _drop(self, error: OutputError) -> None:
        self._counts["dropped_objects"] += 1
        self._first = self._first or error
        if len(self._bad) < MOST_REASONS:
            self._bad.append(str(error))


def keep(items: Iterable[Item], read: Callable[[Item], Found], options: ReadOptions) -> Kept[Found]:
    """Read every object; leave out those that ``read`` leaves out, and wrong ones where the options say so.

    Raises OutputError for a wrong object, and where every object is wrong: then the payload is, or an option.
    """
    kept: Kept[Found] = Kept()
    add = kept.found.append
    for item in items:
        try:
            add(read(item))
        except LeftOut as out:
            kept._counts[out.counted_as] += 1
        except OutputError as error:
            if options.on_bad_object != "drop":
                raise
            kept._drop(error)
    if kept._first is not None and not kept.found:
        raise kept._first
    return kept
