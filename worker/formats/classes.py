"""From what a model calls a class (an index or a label) to the class's name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
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
    position = index - (options.first_class or 0)
    if not 0 <= position < len(classes):
        if index == len(classes) and options.first_class is None:
            fail(at, f"class index {index} of {len(classes)} classes: does the model count from 1?", _FROM_ONE)
        fail(at, f"class index {index} has no name: classes has {len(classes)}", "complete classes")
    return classes[position]


_FROM_ONE = "set first_class: 1, or complete classes"
_BACKGROUND = frozenset(("background", "__background__", "_background_", "bg", "n/a", "none", "???", ""))


def check_first_class(identifiers: Iterable[int], options: ReadOptions, at: Path) -> None:
    """Refuse class ids of a kind of model that often counts from 1, where nothing tells whether this one does.

    Told it is by ``first_class``, by a mapping, by a first name that is the background's, and by an id 0.
    """
    classes = options.classes
    if options.first_class is not None or classes is None or isinstance(classes, Mapping):
        return
    if classes[0].strip().casefold() in _BACKGROUND:
        return
    ids = list(identifiers)
    if ids and 0 not in ids and max(ids) <= len(classes):
        fail(at, f"class ids from {min(ids)} on: classes may begin with 0 or with 1", "set first_class: 0 or 1")


def name_by_id(identifier: int, options: ReadOptions, at: Path) -> str:
    """Name the class with this category id; ids are not positions, so a list of classes needs ``first_class``."""
    listed = options.classes is not None and not isinstance(options.classes, Mapping)
    if listed and options.first_class is None:
        fail(at, "category ids are not positions in a list", "set classes to a mapping from id to name, or first_class")
    return name_of(identifier, options, at)


def label_of(label: Any, options: ReadOptions, at: Path) -> str:
    """Name a class given as index or label; a label that ``classes`` maps is renamed, others stay."""
    if is_number(label):
        return name_of(integer(label, *at), options, at)
    if not isinstance(label, str) or not label.strip():
        fail(at, f"{describe(label)} is neither a class name nor a class index")
    classes = options.classes
    if classes is None:
        return label
    if isinstance(classes, Mapping):
        return classes.get(label) or _numbered(label, classes) or label
    if label in classes:
        return label
    if label.isascii() and label.isdigit() and len(label) < 7:
        return name_of(int(label), options, at)
    return _numbered(label, classes) or label


_UNNAMED = re.compile(r"LABEL_(\d{1,6})")
"""What Hugging Face calls the classes of a model without names."""


def _numbered(label: str, classes: Sequence[str] | Mapping[str | int, str]) -> str | None:
    """The name of LABEL_n, which is the n-th class of the model, from 0."""
    match = _UNNAMED.fullmatch(label)
    if match is None:
        return None
    index = int(match[1])
    if isinstance(classes, Mapping):
        return classes.get(index) or classes.get(match[1])
    return classes[index] if index < len(classes) else None


def known_names(options: ReadOptions) -> tuple[str, ...]:
    """Return every configured class name, in order; empty when none is configured."""
    if options.classes is None:
        return ()
    values = options.classes.values() if isinstance(options.classes, Mapping) else options.classes
    return tuple(dict.fromkeys(values))
