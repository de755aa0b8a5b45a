"""Which formats a payload may have at all, by the keys of its first object: no other format is tried on it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Generic, TypeVar

from worker.formats.checks import is_object
from worker.formats.structure import PayloadKind, Recognised, first_item

F = TypeVar("F", bound=Recognised)

_MOST_REMEMBERED = 1024
"""Sets of known keys whose formats are remembered."""


class FormatIndex(Generic[F]):
    """Formats in their order, found by what they need."""

    def __init__(self, formats: Iterable[F]) -> None:
        self.formats = tuple(formats)
        self._needs_one_of = frozenset(key for one in self.formats for keys in one.needs for key in keys).__contains__
        self._find = lru_cache(_MOST_REMEMBERED)(self._found)

    def candidates(self, payload: Any) -> tuple[F, ...]:
        """The formats whose ``needs`` or ``takes`` a payload meets, in their order."""
        item = first_item(payload)[0]
        kind = kind_of(payload, item)
        return self._find(kind, tuple(filter(self._needs_one_of, item)) if kind in _WITH_KEYS else ())

    def _found(self, kind: PayloadKind, keys: tuple[str, ...]) -> tuple[F, ...]:
        present = frozenset(keys)
        return tuple(
            one
            for one in self.formats
            if (any(present.issuperset(needed) for needed in one.needs) if one.needs else kind in one.takes)
        )


_WITH_KEYS: tuple[PayloadKind, ...] = ("object", "objects")


def kind_of(payload: Any, item: Any) -> PayloadKind:
    """What kind of JSON value a payload is, given its first item."""
    if type(payload) is list or isinstance(payload, list):
        return "objects" if is_object(item) else "list"
    if is_object(payload):
        return "object"
    return "text" if isinstance(payload, str) else "other"
