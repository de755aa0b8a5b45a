"""Walk payloads that list objects: one object, a list for one item, or a list of lists for several items."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, describe, fail
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.structure import Keys, Reader

Row = list[tuple[Mapping[str, Any], Path]]
"""The objects of one item, each with its path."""

RowReader = Callable[[Row, ReadOptions, Path], ModelOutput]


def rows_of(payload: Any, at: Path) -> list[tuple[Row, Path]]:
    """Return the objects of every row, with the row's path.

    An object or a list of objects is one row; a list of lists is one row per inner list.
    """
    if isinstance(payload, Mapping):
        return [([(without_nulls(payload), at)], at)]
    lists = array(payload, *at)
    if lists and isinstance(lists[0], list):
        return [(_objects(row, (*at, i)), (*at, i)) for i, row in enumerate(lists)]
    return [(_objects(lists, at), at)]


def without_nulls(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object without its keys that are null: they are as good as absent."""
    if None not in item.values():
        return item
    return {key: value for key, value in item.items() if value is not None}


def row_reader(read_row: RowReader, keys: Keys, used: Collection[str] | None = None) -> Reader:
    """Make a family's reader out of a reader of one row; one output per row, in order.

    Every object is held to ``keys``; what else it has is told as ignored, and so are keys that are not ``used``.
    """
    known = keys.known if used is None else used
    required = len(keys.required)

    def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
        rows = rows_of(payload, at)
        return tuple([_read(row, options.of_item(i), path) for i, (row, path) in enumerate(rows)])

    def _read(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
        for item, place in row:
            if len(item) > required:
                keys.refuse_stranger(item, place)
        ignored = unused_keys([item for item, _ in row], known)
        output = read_row(row, options, at)
        return with_ignored(output, ignored) if ignored else output

    return read


def _objects(row: Any, at: Path) -> Row:
    objects = []
    for i, item in enumerate(array(row, *at)):
        if type(item) is not dict and not isinstance(item, Mapping):
            fail((*at, i), f"{describe(item)} is not an object")
        objects.append((without_nulls(item) if None in item.values() else item, (*at, i)))
    return objects
