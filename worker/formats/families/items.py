"""Walk payloads that list objects: one object, a list for one item, or a list of lists for several items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from worker.formats.checks import ROOT, Path, array, describe, fail
from worker.formats.options import ReadOptions
from worker.formats.output import ModelOutput
from worker.formats.structure import Reader

Row = list[tuple[Mapping[str, Any], Path]]
"""The objects of one item, each with its path."""

RowReader = Callable[[Row, ReadOptions, Path], ModelOutput]


def rows_of(payload: Any, at: Path) -> list[tuple[Row, Path]]:
    """Return the objects of every row, with the row's path.

    An object or a list of objects is one row; a list of lists is one row per inner list.
    """
    if isinstance(payload, Mapping):
        return [([(payload, at)], at)]
    lists = array(payload, *at)
    if lists and isinstance(lists[0], list):
        return [(_objects(row, (*at, i)), (*at, i)) for i, row in enumerate(lists)]
    return [(_objects(lists, at), at)]


def row_reader(read_row: RowReader) -> Reader:
    """Make a family's reader out of a reader of one row; one output per row, in order."""

    def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
        return tuple(read_row(row, options, path) for row, path in rows_of(payload, at))

    return read


def _objects(row: Any, at: Path) -> Row:
    objects = []
    for i, item in enumerate(array(row, *at)):
        if not isinstance(item, Mapping):
            fail((*at, i), f"{describe(item)} is not an object")
        objects.append((item, (*at, i)))
    return objects
