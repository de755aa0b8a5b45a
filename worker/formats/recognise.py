"""Choose the one family whose structure a payload has, or say why none or several fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from worker.formats.checks import AmbiguousFormat, Path, UnknownFormat, describe, fail, show
from worker.formats.meaning import foreign_key
from worker.formats.structure import Family, Match, Miss, Recognised, describe_key, first_item


def choose(
    payload: Any,
    families: Iterable[Family],
    at: Path,
    neighbours: Iterable[Recognised] = (),
    mapped: Iterable[tuple[Family, Match]] = (),
) -> tuple[Family, Match]:
    """Return the only family that matches, with its reason.

    ``neighbours`` cannot be chosen, but may be named as the nearest of a payload that fits no family. ``mapped`` are
    the mappings that recognise the payload: a family that is a catch-all yields to them.
    Raises UnknownFormat, AmbiguousFormat, and OutputError for a serving stack's error answer.
    """
    candidates = tuple(families)
    matches = [(family, match) for family in candidates if (match := family.detect(payload))]
    if mapped:
        matches = [*(pair for pair in matches if not pair[0].catch_all), *mapped]
    if len(matches) == 1:
        return matches[0]
    if matches:
        reasons = "; ".join(f"{family.name}: {match.reason}" for family, match in matches)
        raise AmbiguousFormat(show(at), f"fits {reasons}", [family.name for family, _ in matches])
    _refuse_error_answer(payload, at)
    raise _unknown(payload, (*candidates, *neighbours), at)


_PUBLISH_NONE = "publish only successful responses"


def _refuse_error_answer(payload: Any, at: Path) -> None:
    if not isinstance(payload, Mapping):
        return
    error = payload.get("error")
    if isinstance(error, Mapping):
        error = error.get("message")
    if isinstance(error, str):
        fail((*at, "error"), f"the serving stack answered with an error: {error[:200]}", _PUBLISH_NONE)
    code = payload.get("code")
    if isinstance(code, int) and code not in _GOOD_CODES and isinstance(payload.get("message"), str):
        message = payload["message"][:200]
        fail((*at, "message"), f"the serving stack answered with an error: {message}", _PUBLISH_NONE)


_GOOD_CODES = (0, 200, 201)
"""What home-made services answer where all went well."""

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
    if not any(label in str(key).casefold() for key in item for label in _LABELS):
        problem += " and no label: there is no class to send"
    return UnknownFormat(show((*place, carried)), problem, _SEND_SHORT)


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
