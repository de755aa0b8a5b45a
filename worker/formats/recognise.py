"""Choose the one family whose structure a payload has, or say why none or several fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from worker.formats.checks import Path, describe, fail, show
from worker.formats.errors import AmbiguousFormat, UnknownFormat
from worker.formats.structure import Family, Match, Miss, Recognised


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
    if isinstance(payload.get("code"), int) and isinstance(payload.get("message"), str):
        message = payload["message"][:200]
        fail((*at, "message"), f"the serving stack answered with an error: {message}", _PUBLISH_NONE)


def _unknown(payload: Any, families: tuple[Recognised, ...], at: Path) -> UnknownFormat:
    misses = [(family, miss) for family in families if (miss := family.near(payload))]
    if not misses:
        what = "an empty object" if payload == {} else describe(payload)
        return UnknownFormat(show(at), f"{what} of no known format", "set format, or see the table of formats")
    family, miss = max(misses, key=lambda pair: pair[1].share)
    return UnknownFormat(
        _below(miss, at),
        f"no known format; the nearest is {family.name}, but here: {miss.problem}",
        f"{family.name} is {family.rule}",
        nearest=family.name,
    )


def _below(miss: Miss, at: Path) -> str:
    return show(at) + miss.field.removeprefix("payload")
