"""Formats of other packages, found by entry point.

A package names its formats under ``[project.entry-points."prediction_worker.formats"]``; each entry is a ``Family``, an
``Envelope``, or a list or tuple of them. docs/how-to/new-format.md shows one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint

from worker.formats.structure import Envelope, Family

logger = logging.getLogger(__name__)

GROUP = "prediction_worker.formats"


@dataclass(frozen=True, slots=True)
class Plugins:
    """The formats of other packages, and what is wrong with those that could not be loaded, by entry point."""

    formats: tuple[Family | Envelope, ...] = ()
    problems: dict[str, str] = field(default_factory=dict)


def load_plugins(entries: Iterable[EntryPoint], known: Collection[str] = ()) -> Plugins:
    """Load these entry points in the order of their names.

    One that cannot be loaded, or whose name is ``known``, is logged and left out: its payloads are then refused, and
    nothing else suffers.
    """
    found: dict[str, Family | Envelope] = {}
    problems: dict[str, str] = {}
    for entry in sorted(entries, key=lambda one: one.name):
        try:
            loaded = list(_formats(entry.load()))
            _refuse_taken(loaded, {*known, *found})
        except Exception as error:  # noqa: BLE001 - a foreign import raises anything
            problems[entry.name] = f"{entry.value}: {type(error).__name__}: {error}"
            logger.error("format not loaded: %s", problems[entry.name], extra={"action": "format_not_loaded"})  # noqa: TRY400
            continue
        found |= {one.name: one for one in loaded}
    return Plugins(tuple(found.values()), problems)


def _refuse_taken(loaded: Iterable[Family | Envelope], taken: Collection[str]) -> None:
    for one in loaded:
        if one.name in taken:
            raise ValueError(f"there is a format {one.name!r} already")


def _formats(value: object) -> Iterator[Family | Envelope]:
    if isinstance(value, Family | Envelope):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _formats(one)
    else:
        raise TypeError(f"{type(value).__name__} is neither a Family nor an Envelope, nor a list of them")
