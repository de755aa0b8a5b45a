"""From what a model calls a class (an index or a label) to the class's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import Path, describe, fail, integer, is_number
from worker.formats.options import ReadOptions


def name_of(index: int, options: ReadOptions, at: Path) -> str:
    """Name the class with this index.

    Raises OutputError when ``options.classes`` does not name it.
    """
    classes = options.classes
    if classes is None:
        fail(at, f"class index {index} has no name", "set classes to the names in the model's order")
    if isinstance(classes, Mapping):
        name = classes.get(index, classes.get(str(index)))
        if name is None:
            fail(at, f"class index {index} has no name", f"add {index} to classes")
        return name
    if not 0 <= index < len(classes):
        fail(at, f"class index {index} has no name: classes has {len(classes)}", "complete classes")
    return classes[index]


def name_by_id(identifier: int, options: ReadOptions, at: Path) -> str:
    """Name the class with this category id; ids are not positions, so a list of classes is refused."""
    if options.classes is not None and not isinstance(options.classes, Mapping):
        fail(at, "category ids are not positions in a list", "set classes to a mapping from id to name")
    return name_of(identifier, options, at)


def label_of(label: Any, options: ReadOptions, at: Path) -> str:
    """Name a class given as index or label; a label that ``classes`` maps is renamed, others stay."""
    if is_number(label):
        return name_of(integer(label, *at), options, at)
    if not isinstance(label, str) or not label.strip():
        fail(at, f"{describe(label)} is neither a class name nor a class index")
    if isinstance(options.classes, Mapping):
        return options.classes.get(label, label)
    return label


def known_names(options: ReadOptions) -> tuple[str, ...]:
    """Return every configured class name, in order; empty when none is configured."""
    if options.classes is None:
        return ()
    values = options.classes.values() if isinstance(options.classes, Mapping) else options.classes
    return tuple(dict.fromkeys(values))
