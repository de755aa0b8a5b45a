"""From a raw payload to neutral outputs: unwrap envelopes, recognise the family, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from worker.contract.output import Classification, Detection, Frame, Frames, ModelOutput, Nothing, OutputError
from worker.formats.checks import (
    ROOT,
    AmbiguousFormat,
    Path,
    ResultPointer,
    UnknownFormat,
    fail,
    looks_like_json,
    parse_json,
    show,
)
from worker.formats.mappings import catalogue_of, shipped
from worker.formats.meaning import carries_geometry, with_evidence
from worker.formats.options import ReadOptions, selected
from worker.formats.recognise import choose, refuse_page
from worker.formats.registry import answers, envelopes, find, formats
from worker.formats.structure import Envelope, Family, Match, Unwrapped, holds_no_answer

MAX_ENVELOPES = 4
"""How many envelopes may lie around one another."""

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: the format (``envelope/family`` where wrapped), why it matched, one output per item.

    With ``by_id`` the outputs name their items; an item that none names has no results: nothing was found there.
    """

    format: str
    why: str
    outputs: tuple[ModelOutput, ...]
    by_id: bool = False


@dataclass(slots=True)
class _Inside:
    """The payload inside its envelopes, and what they were and said."""

    payload: Any
    at: Path
    names: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)
    mapped: list[tuple[Family, Match]] = field(default_factory=list)


def read_payload(payload: Any, options: ReadOptions | None = None) -> Reading:
    """Read a serving stack's payload into one ModelOutput per item, in the payload's order.

    There is at least one output, except where the family tells its items by id.

    With ``format: auto`` the structure alone decides. A JSON text is parsed first. Envelopes are always taken
    off; ``format`` then names what is inside, or the envelope (and what is inside is recognised).
    Raises OutputError, of which UnknownFormat, AmbiguousFormat and ResultPointer are kinds.
    """
    chosen = options or ReadOptions()
    if isinstance(payload, str) and looks_like_json(payload):
        payload = parse_json(payload, ROOT)
    parts = _parts(payload)
    return _read_parts(parts, chosen) if parts else _read_one(payload, chosen, ROOT)


def _parts(payload: Any) -> list[Any]:
    """The events of a batch, each of which is an envelope; none where the payload is no batch."""
    if not isinstance(payload, list) or not payload or not isinstance(payload[0], Mapping):
        return []
    batching = [one for one in envelopes().candidates(payload[0]) if one.batches and one.detect(payload[0])]
    return payload if batching and all(batching[0].detect(one) for one in payload) else []


def _read_parts(parts: list[Any], options: ReadOptions) -> Reading:
    """Read every event of a batch; they are of one format."""
    readings = [_read_one(part, options.of_item(i), (*ROOT, i)) for i, part in enumerate(parts)]
    names = list(dict.fromkeys(reading.format for reading in readings))
    if len(names) > 1:
        fail(ROOT, f"a batch of several formats: {', '.join(names)}", "send events of one format together")
    outputs = tuple(output for reading in readings for output in reading.outputs)
    return Reading(names[0], f"{len(parts)} events; {readings[0].why}", outputs, readings[0].by_id)


def _read_one(payload: Any, chosen: ReadOptions, at: Path) -> Reading:
    wanted = _wanted(chosen)
    inside = _unwrap(_Inside(payload, at), chosen, any(isinstance(one, Family) for one in wanted))
    _require_envelope(wanted, inside)
    empty = _nothing(wanted, inside, chosen)
    if empty is not None:
        return empty
    try:
        family, reason = _family(wanted, inside)
    except AmbiguousFormat as ambiguous:
        raise _tried(ambiguous, inside, chosen) from None
    except UnknownFormat as unknown:
        raise _with_own(unknown, inside, chosen) from None
    name, why = "/".join((*inside.names, family.name)), "; inside: ".join((*inside.reasons, reason))
    try:
        inner, outputs = _outputs(family, inside, chosen)
    except OutputError as error:
        if wanted and not error.fix and family.detect(inside.payload) is None:
            error = OutputError(error.field, error.problem, f"{family.name} is {family.rule}")
        error.format, error.why = name, why
        raise error from None
    chosen_outputs = tuple([selected(with_evidence(output, inside.evidence), chosen) for output in outputs])
    return Reading("/".join((name, *inner)), why, chosen_outputs, family.by_id)


def _nothing(wanted: list[Family | Envelope], inside: _Inside, options: ReadOptions) -> Reading | None:
    """The reading of an empty payload that no format is named for: nothing was found."""
    if any(isinstance(family, Family) for family in wanted):
        return None
    rows = _empty_rows(inside.payload, options)
    if not rows:
        return None
    why = "; inside: ".join((*inside.reasons, "an empty list: nothing was found"))
    outputs: tuple[ModelOutput, ...] = tuple(options.output(Nothing(), evidence=inside.evidence) for _ in range(rows))
    if options.frames:
        outputs = (_video(outputs, options, inside.at),)
    return Reading("/".join((*inside.names, "empty")), why, outputs)


def _empty_rows(payload: Any, options: ReadOptions) -> int:
    """Items on which nothing was found: of an empty list, of each empty list in a list, of what is told to be empty."""
    if isinstance(payload, list) and all(row == [] for row in payload):
        return len(payload) or 1
    return len(options.external_ids or (1,)) if options.nothing_found and holds_no_answer(payload) else 0


def _outputs(family: Family, inside: _Inside, options: ReadOptions) -> tuple[tuple[str, ...], tuple[ModelOutput, ...]]:
    """The outputs, and the names of the formats that were found inside of items (a language model's JSON)."""
    names: dict[str, None] = {}
    outputs = tuple(
        [
            one if isinstance(one, ModelOutput) else _read_inside(one, options.of_item(i), names)
            for i, one in enumerate(family.read(inside.payload, options, inside.at))
        ]
    )
    if not outputs and not family.by_id:
        fail(inside.at, "no item in the payload", "set nothing_found: true if that says that nothing was found")
    sizes = options.image_sizes
    if sizes is not None and not family.by_id and len(sizes) != len(outputs) and not options.frames:
        raise OutputError("image_sizes", f"{len(sizes)} sizes for {len(outputs)} images", "send one per image")
    if options.frames and family.by_id:
        fail(inside.at, "results by id do not tell which frame is which", "leave frames out, or send rows in order")
    return tuple(names), (_video(outputs, options, inside.at),) if options.frames else outputs


def _read_inside(item: Unwrapped, options: ReadOptions, names: dict[str, None]) -> ModelOutput:
    """Read data that one item wraps, such as the boxes in a language model's reply."""
    if holds_no_answer(item.payload):
        return options.output(Nothing(), evidence=item.evidence)
    options = replace(options, in_reply=True)
    mapped = catalogue_of(options).answers_that_fit(item.payload, options, item.at)
    family, _ = choose(item.payload, answers(), item.at, envelopes().formats, mapped)
    outputs = family.read(item.payload, options, item.at)
    if len(outputs) != 1 or isinstance(outputs[0], Unwrapped):
        fail(item.at, f"holds {len(outputs)} items where there is one", "send one item per answer")
    names[family.name] = None
    return with_evidence(outputs[0], item.evidence)


def _video(outputs: tuple[ModelOutput, ...], options: ReadOptions, at: Path) -> ModelOutput:
    """Take the rows as the frames of one video."""
    frames = []
    for i, output in enumerate(outputs):
        answer = Detection(()) if isinstance(output.answer, Nothing) else output.answer
        if not isinstance(answer, Classification | Detection):
            fail((*at, i), f"a frame cannot hold {answer.kind}", "leave frames out")
        frames.append(Frame(i, answer))
    chosen_outputs = [output.evidence for output in outputs]
    return options.output(Frames(tuple(frames)), evidence={"frames": chosen_outputs} if any(chosen_outputs) else None)


def _wanted(options: ReadOptions) -> list[Family | Envelope]:
    """The families of ``family``, ``envelope`` or ``envelope/family``; none for auto."""
    if options.format == AUTO:
        return []
    return [_named(part, options) for part in options.format.split("/")]


def _named(name: str, options: ReadOptions) -> Family | Envelope:
    family = find(name, catalogue_of(options))
    if family is None:
        known = formats(options.mappings)
        close = get_close_matches(name, known, n=1) or ["one of those that prediction-worker formats list shows"]
        raise OutputError("format", f"there is no format {name[:60]!r}", f"use auto or {', '.join(close)}")
    return family


def _unwrap(inside: _Inside, options: ReadOptions, is_named: bool) -> _Inside:
    """Take the envelopes off; where the format of what is inside is not named, look which mappings recognise it."""
    while True:
        if isinstance(inside.payload, str) and looks_like_json(inside.payload):
            inside.payload = parse_json(inside.payload, inside.at)
        refuse_page(inside.payload, inside.at)
        envelope = _envelope(inside, options, is_named)
        if envelope is None:
            return inside
        if len(inside.names) == MAX_ENVELOPES:
            fail(inside.at, f"more than {MAX_ENVELOPES} envelopes around one another", "send what is inside")
        unwrapped = _unwrapped(envelope, inside, options)
        _refuse_beside(inside, unwrapped)
        inside.payload, inside.at = unwrapped.payload, unwrapped.at
        inside.names.append(envelope.name)
        inside.evidence |= unwrapped.evidence


def _refuse_beside(inside: _Inside, unwrapped: Unwrapped) -> None:
    """Refuse geometry that stands beside what an envelope holds."""
    held = unwrapped.at[len(inside.at) : len(inside.at) + 1]
    for key, value in inside.payload.items() if isinstance(inside.payload, Mapping) else ():
        if key not in held and isinstance(key, str) and carries_geometry(key, value):
            fail(
                (*inside.at, key), "carries geometry beside what the envelope holds", "send it inside, or leave it out"
            )


def _unwrapped(envelope: Envelope, inside: _Inside, options: ReadOptions) -> Unwrapped:
    try:
        return envelope.unwrap(inside.payload, inside.at)
    except ResultPointer as pointer:
        if options.result is None:
            raise
        return Unwrapped(options.result, ("result",), pointer.evidence)


def _envelope(inside: _Inside, options: ReadOptions, is_named: bool) -> Envelope | None:
    matches = [(one, match) for one in envelopes().candidates(inside.payload) if (match := one.detect(inside.payload))]
    mapped = catalogue_of(options).families_that_fit(inside.payload, options, inside.at, envelopes_only=is_named)
    matches += [(family, match) for family, match in mapped if isinstance(family, Envelope)]
    inside.mapped = [(family, match) for family, match in mapped if isinstance(family, Family)]
    if len(matches) > 1:
        reasons = "; ".join(f"{family.name}: {match.reason}" for family, match in matches)
        raise AmbiguousFormat(show(inside.at), f"fits {reasons}", [family.name for family, _ in matches])
    if not matches:
        return None
    family, match = matches[0]
    inside.reasons.append(match.reason)
    return family


def _require_envelope(wanted: list[Family | Envelope], inside: _Inside) -> None:
    envelopes = [family.name for family in wanted if isinstance(family, Envelope)]
    missing = [name for name in envelopes if name not in inside.names]
    if missing:
        family = next(one for one in wanted if one.name == missing[0])
        miss = family.near(inside.payload)
        where = f"{show(inside.at)}{miss.field.removeprefix('payload')}" if miss else show(inside.at)
        problem = miss.problem if miss else "not this envelope"
        raise OutputError(where, f"format is {family.name}, but here: {problem}", f"{family.name} is {family.rule}")


def _family(wanted: list[Family | Envelope], inside: _Inside) -> tuple[Family, str]:
    named = [family for family in wanted if isinstance(family, Family)]
    if len(named) > 1:
        names = ", ".join(family.name for family in named)
        raise OutputError("format", f"names several formats: {names}", "name envelopes and one format")
    if named:
        match = named[0].detect(inside.payload) if named[0].is_cheap else None
        return named[0], f"named {named[0].name}" + (f", and it is {match.reason}" if match else "")
    family, match = choose(inside.payload, answers(), inside.at, envelopes().formats, inside.mapped)
    return family, match.reason


def _with_own(unknown: UnknownFormat, inside: _Inside, options: ReadOptions) -> UnknownFormat:
    """The same refusal, naming the user's own mappings that the payload has the keys of."""
    known = catalogue_of(options)
    own = [one.name for one in known.candidates(inside.payload) if one.name not in shipped().mappings]
    if not own:
        return unknown
    problem = f"the payload has the keys of the mapping {own[0]}, but its `when` is not true, or fails"
    fix = f"set format: {own[0]} to see why, or mend the mapping"
    return UnknownFormat(show(inside.at), problem, fix, nearest=own[0])


def _tried(error: AmbiguousFormat, inside: _Inside, options: ReadOptions) -> OutputError:
    """The same refusal, naming those formats alone that can be read when they are set."""
    known = formats(options.mappings)
    working = [name for name in error.families if _reads(known[name], inside, options)]
    if len(working) == len(error.families):
        return error
    if working:
        return AmbiguousFormat(error.field, error.problem, working)
    problem, fix = f"{error.problem}; it can be read as neither", "send the answer in the short form"
    return AmbiguousFormat(error.field, problem, error.families, fix)


def _reads(family: Family | Envelope, inside: _Inside, options: ReadOptions) -> bool:
    try:
        return isinstance(family, Family) and bool(family.read(inside.payload, options, inside.at))
    except OutputError:
        return False
