"""The contract's short form: an answer in the plainest words, for producers without a serving stack and for mappings.

An object with one answer (one of ``ANSWERS``, or shapes of ``boxes``, ``polygons``, ``masks`` and ``points`` together)
beside what is to be known of it (``units``, ``image_size``, ``box_order``, ``classes``, …). docs/messages.md describes
every key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from worker.contract.output import (
    Classification,
    ClassScore,
    Detection,
    Entities,
    Entity,
    Frame,
    Frames,
    ModelOutput,
    Nothing,
    Several,
    Transcription,
)
from worker.formats.checks import Path, array, describe, fail, integer, mapping, number, string
from worker.formats.meaning import with_evidence
from worker.formats.options import ReadOptions
from worker.formats.reply import read_reply
from worker.formats.scores import SUM_TOLERANCE, in_range, label_of, label_scores, probability, vector_scores
from worker.formats.short_shapes import SHAPES, read_shapes
from worker.formats.structure import Unwrapped

_AT: Path = ("scores",)


def read_scores(scores: Mapping[str, float], job: str | None = None) -> ModelOutput:
    """Read class probabilities by class name.

    A sum above 1 can only come from independent classes, so the answer is then multi-label (``exclusive`` is
    False) and a single-choice job will refuse it; otherwise the job decides. Raises OutputError for a value
    outside [0, 1], an empty name, or no score at all.
    """
    if not mapping(scores, *_AT):
        fail(_AT, "no scores")
    found = []
    for label, value in scores.items():
        if type(label) is not str or not label.strip():
            string(label, *_AT)
        if type(value) is not float or not 0.0 <= value <= 1.0:
            value = in_range(number(value, *_AT, label), (*_AT, label), "send probabilities between 0 and 1")
        found.append(ClassScore(label, value))
    total = math.fsum([one.score or 0.0 for one in found])
    independent = are_independent(total)
    complete = not independent and len(found) > 1 and total >= 1 - SUM_TOLERANCE
    return ModelOutput(Classification(tuple(found), False if independent else None, complete), job)


def are_independent(total: float) -> bool:
    """Whether probabilities of so great a sum can only be of independent classes."""
    return total > 1 + SUM_TOLERANCE


ANSWERS = ("scores", "labels", "text", "reply", "entities", "nothing", "jobs", "frames")
"""Answers of which an item has one; shapes of several kinds may stand together."""

OPTIONS = ("units", "box_order", "image_size", "classes", "first_class", "exclusive", "score_kind", "point_names")
"""What an item may say of itself; it goes before what the message and the projects file say."""

REST = ("job", "external_id", "evidence", "ignored")


def read_short_form(value: Any, options: ReadOptions, at: Path) -> tuple[ModelOutput | Unwrapped, ...]:
    """Read one item, or a list of items (one per asset).

    Raises OutputError for an unknown key, no answer or two of them, or a value that is wrong; paths begin with ``at``.
    """
    if isinstance(value, list):
        return tuple(read_open_item(item, options.of_item(i), (*at, i)) for i, item in enumerate(value))
    return (read_open_item(value, options.of_item(0), at),)


def read_item(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """Read one item; raises OutputError also for a reply that holds data of another format."""
    output = read_open_item(value, options, at)
    if isinstance(output, Unwrapped):
        fail(output.at, "JSON of another format is not read here", "send a label or a text, or the short form")
    return output


def read_open_item(value: Any, options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    """Read one item; a reply that holds data of another format is given back unwrapped."""
    item = {key: inner for key, inner in mapping(value, *at).items() if inner is not None}
    _check_keys(item, at)
    stated = _options(item, options, at)
    evidence = dict(mapping(item.get("evidence", {}), *at, "evidence"))
    if item.get("ignored"):
        evidence["ignored"] = [string(name, *at, "ignored", i) for i, name in enumerate(array(item["ignored"]))]
    output = _answer(item, stated, at)
    if isinstance(output, Unwrapped):
        return Unwrapped(output.payload, output.at, evidence)
    named = replace(output, external_id=_text(item, "external_id", at), job=_text(item, "job", at) or output.job)
    return with_evidence(named, evidence)


def _text(item: Mapping[str, Any], key: str, at: Path) -> str | None:
    return string(item[key], *at, key) if key in item else None


def _check_keys(item: Mapping[str, Any], at: Path) -> None:
    known = {*ANSWERS, *SHAPES, *OPTIONS, *REST}
    for key in item:
        if key not in known:
            fail(
                (*at, key), "is no key of the short form", f"its keys are {', '.join((*ANSWERS, *SHAPES))} and options"
            )
    shapes = [key for key in SHAPES if key in item]
    answers = [key for key in ANSWERS if key in item]
    if len(answers) + bool(shapes) != 1:
        found = " and ".join((*answers, *shapes)) or "none"
        fail(at, f"needs one answer; found {found}", f"send one of {', '.join((*ANSWERS, *SHAPES))}")


def _options(item: Mapping[str, Any], options: ReadOptions, at: Path) -> ReadOptions:
    stated = {key: item[key] for key in OPTIONS if key in item}
    if not stated:
        return options
    if "image_size" in stated:
        sides = array(stated["image_size"], *at, "image_size")
        stated["image_size"] = tuple(integer(side, *at, "image_size", i) for i, side in enumerate(sides))
    return replace(options, **stated)


def _answer(item: Mapping[str, Any], options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    for key in ANSWERS:
        if key in item:
            return _READERS[key](item[key], options, (*at, key))
    kept = read_shapes(item, options, at)
    return options.output(Detection(tuple(kept.found)), evidence=kept.evidence())


def _scores(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """Probabilities (or logits) by class name, or a list of them in the order of ``classes``."""
    if isinstance(value, list):
        return options.output(vector_scores(value, options, at))
    scores = mapping(value, *at)
    if options.score_kind is None and options.exclusive is None and options.classes is None:
        return read_scores(scores, options.job)
    labels = [label_of(label, options, (*at, label)) for label in scores]
    return options.output(label_scores(labels, list(scores.values()), options, at, lambda i: (*at, list(scores)[i])))


def _nothing(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    if value is not True:
        fail(at, f"{describe(value)} is not true", "leave it out, or send true")
    return options.output(Nothing())


def _labels(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """Classes that the model itself has chosen."""
    chosen = []
    for i, one in enumerate(array(value, *at)):
        place = (*at, i)
        label, score = (one.get("label"), one.get("score")) if isinstance(one, Mapping) else (one, None)
        chosen.append(ClassScore(label_of(label, options, place), probability(score, options, (*place, "score"))))
    exclusive = (options.exclusive or None) if len(chosen) == 1 else False
    return options.output(Classification(tuple(chosen), exclusive=exclusive, chosen=True))


def _transcription(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    text, score = (value.get("text"), value.get("score")) if isinstance(value, Mapping) else (value, None)
    if not isinstance(text, str):
        fail(at, f"{describe(text)} is not a text")
    return options.output(Transcription(text, probability(score, options, (*at, "score"))))


def _entities(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    return options.output(Entities(tuple(_entity(one, options, (*at, i)) for i, one in enumerate(array(value, *at)))))


def _entity(value: Any, options: ReadOptions, at: Path) -> Entity:
    one = mapping(value, *at)
    label = label_of(one.get("label"), options, (*at, "label"))
    score = probability(one.get("score"), options, (*at, "score"))
    begin, end = _span(one, options, at)
    text = one.get("text")
    if text is None:
        text = options.text[begin:end] if options.text is not None else ""
    return Entity(label, begin, end, text, score)


def _span(one: Mapping[str, Any], options: ReadOptions, at: Path) -> tuple[int, int]:
    """The offsets that were sent; without any, those of the only place where the text occurs."""
    if one.get("start") is not None:
        return integer(one["start"], *at, "start"), integer(one.get("end"), *at, "end")
    quote = string(one.get("text"), *at, "text")
    if options.text is None:
        fail((*at, "start"), "missing, and the asset's text is not known", "send start and end, or asset.text")
    found = options.text.count(quote)
    if found != 1:
        fail((*at, "start"), f"missing, and {describe(quote)} occurs {found} times in the text", "send start and end")
    begin = options.text.index(quote)
    return begin, begin + len(quote)


def _jobs(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    parts = mapping(value, *at)
    read = {name: read_item(part, replace(options, job=None), (*at, name)) for name, part in parts.items()}
    evidence = {name: part.evidence for name, part in read.items() if part.evidence}
    answers: dict[str, Any] = {name: part.answer for name, part in read.items()}
    return options.output(Several(answers), evidence={"jobs": evidence} if evidence else None)


def _frames(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """One item per frame; ``index`` counts from 0 and is the place in the list where it is left out."""
    frames, stated = [], []
    for i, one in enumerate(array(value, *at)):
        item = dict(mapping(one, *at, i))
        index = integer(item.pop("index", i), *at, i, "index")
        output = read_item(item, options, (*at, i))
        if not isinstance(output.answer, Classification | Detection):
            fail((*at, i), f"a frame cannot hold {output.answer.kind}")
        frames.append(Frame(index, output.answer))
        stated.append(output.evidence)
    return options.output(Frames(tuple(frames)), evidence={"frames": stated} if any(stated) else None)


_Reader = Callable[[Any, ReadOptions, Path], ModelOutput | Unwrapped]
_READERS: Mapping[str, _Reader] = {
    "scores": _scores,
    "labels": _labels,
    "text": _transcription,
    "reply": read_reply,
    "entities": _entities,
    "nothing": _nothing,
    "jobs": _jobs,
    "frames": _frames,
}
