"""Choose the one family whose structure a payload has, or say why none or several fit.

Only formats that the keys of the payload's first object allow are tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

from worker.formats.checks import AmbiguousFormat, Path, UnknownFormat, describe, fail, is_object, show
from worker.formats.meaning import foreign_key
from worker.formats.structure import Family, Match, Miss, PayloadKind, Recognised, describe_key, first_item

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


def choose(
    payload: Any,
    families: FormatIndex[Family],
    at: Path,
    neighbours: Iterable[Recognised] = (),
    mapped: Iterable[tuple[Family, Match]] = (),
) -> tuple[Family, Match]:
    """Return the only family that matches, with its reason.

    ``neighbours`` cannot be chosen, but may be named as the nearest of a payload that fits no family. ``mapped`` are
    the mappings that recognise the payload: a family that is a catch-all yields to them.
    Raises UnknownFormat, AmbiguousFormat, and OutputError for a serving stack's error answer.
    """
    matches = [(family, match) for family in families.candidates(payload) if (match := family.detect(payload))]
    if mapped:
        matches = [*(pair for pair in matches if not pair[0].catch_all), *mapped]
    if len(matches) == 1:
        return matches[0]
    if matches:
        reasons = "; ".join(f"{family.name}: {match.reason}" for family, match in matches)
        raise AmbiguousFormat(show(at), f"fits {reasons}", [family.name for family, _ in matches])
    _refuse_error_answer(payload, at)
    _refuse_storage_event(payload, at)
    raise _unknown(payload, (*families.formats, *neighbours), at)


_PUBLISH_NONE = "publish only successful responses"


def _refuse_error_answer(payload: Any, at: Path) -> None:
    """Raise OutputError for what servers send instead of an answer, with what they say of it."""
    if not isinstance(payload, Mapping):
        return
    for key, stated in _errors_of(payload):
        if isinstance(stated, str) and stated.strip():
            fail((*at, key), f"the serving stack answered with an error: {stated.strip()[:200]}", _PUBLISH_NONE)


def _refuse_storage_event(payload: Any, at: Path) -> None:
    """Raise OutputError for an Amazon S3 event, which tells of an object and holds nothing of it."""
    records = payload.get("Records") if isinstance(payload, Mapping) else None
    if isinstance(records, list) and records and isinstance(records[0], Mapping) and "s3" in records[0]:
        fail((*at, "Records", 0, "s3"), "an S3 event tells where an object is and holds no prediction", _SEND_OBJECT)


_SEND_OBJECT = "publish what the object holds"


def _errors_of(payload: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Where an error may be told, and what stands there."""
    error, status = payload.get("error"), payload.get("status")
    yield "error", error.get("message") if isinstance(error, Mapping) else error
    yield "errorMessage", payload.get("errorMessage")
    if payload.get("errorCode") not in (None, *_GOOD_CODES):
        yield "errorMsg", payload.get("errorMsg")
    code = payload.get("code")
    if (isinstance(code, int) and code not in _GOOD_CODES) or isinstance(payload.get("error_code"), str):
        yield "message", payload.get("message")
    if isinstance(status, Mapping) and status.get("status") == "FAILURE":
        yield "status", status.get("info") or status.get("reason")
    if payload.keys() == {"detail"}:
        detail = payload["detail"]
        first = detail[0] if isinstance(detail, list) and detail else detail
        yield "detail", first.get("msg") if isinstance(first, Mapping) else first


_GOOD_CODES = (0, 200, 201)
"""What home-made services answer where all went well."""

_NEXT_PAGE = frozenset(("NextToken", "nextToken", "nextPageToken", "next_page_token", "nextLink", "@odata.nextLink"))


def refuse_page(payload: Any, at: Path) -> None:
    """Raise OutputError for a page of an answer that goes on: what is on the next one would be missing."""
    if not isinstance(payload, Mapping) or _NEXT_PAGE.isdisjoint(payload):
        return
    key = next((key for key in payload if key in _NEXT_PAGE and payload[key]), None)
    if key is not None:
        fail((*at, key), "the answer goes on in another page", "join all pages, and leave it out")


NEAR = 0.5
"""Least share of a format's structure that must be there for it to be named as the nearest."""

_LABELS = ("label", "labels", "class", "classes", "name", "names", "category", "tag", "text")
_SEND_SHORT = "send the answer in the short form, or describe the format in a mapping"


def _unknown(payload: Any, families: tuple[Recognised, ...], at: Path) -> UnknownFormat:
    misses = [(family, miss) for family in families if (miss := family.near(payload)) and miss.share >= NEAR]
    if misses:
        family, miss = max(misses, key=lambda pair: pair[1].share)
        problem = f"no known format; the nearest is {family.name}, but here: {miss.problem}"
        item = first_item(payload)[0]
        carried = foreign_key(item, ()) if isinstance(item, Mapping) and "box" not in family.rule else None
        problem += f", and it carries {describe_key(item, carried)}" if carried else ""
        return UnknownFormat(_below(miss, at), problem, f"{family.name} is {family.rule}", nearest=family.name)
    item, place = first_item(payload)
    place = (*at, *place[1:])
    carried = foreign_key(item, ()) if isinstance(item, Mapping) else None
    if carried is None:
        return UnknownFormat(show(at), f"no known format: {_shown(payload)}", _SEND_SHORT)
    problem = f"no known format: it carries {describe_key(item, carried)}"
    if not _names_class(item):
        problem += " and no label: there is no class to send"
    return UnknownFormat(show((*place, carried)), problem, _SEND_SHORT)


def _names_class(value: Any, depth: int = 4) -> bool:
    """Whether a key of an object, or of what lies in it, sounds like that of a class."""
    if isinstance(value, list):
        return bool(value) and _names_class(value[0], depth)
    if not isinstance(value, Mapping) or not depth:
        return False
    named = any(label in str(key).casefold() for key in value for label in _LABELS)
    return named or any(_names_class(inner, depth - 1) for inner in value.values())


def _shown(payload: Any) -> str:
    """A payload by its keys."""
    if isinstance(payload, Mapping) and payload:
        keys = ", ".join(str(key)[:40] for key in list(payload)[:8])
        return f"an object with {keys}" + (", …" if len(payload) > 8 else "")
    if isinstance(payload, list) and payload and isinstance(payload[0], Mapping):
        return f"a list of {_shown(payload[0]).replace('an object', 'objects', 1)}"
    return "an empty object" if payload == {} else describe(payload)


def _below(miss: Miss, at: Path) -> str:
    return show(at) + miss.field.removeprefix("payload")
