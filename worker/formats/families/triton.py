"""Triton's classification extension: strings ``value:index`` or ``value:index:label`` in a BYTES output."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, describe, fail, mapping, number
from worker.formats.families.tensors import (
    KEYS,
    TEXT_TYPES,
    Tensor,
    outputs_of,
    read_tensors,
    response_evidence,
)
from worker.formats.meaning import with_evidence
from worker.formats.options import ReadOptions
from worker.formats.scores import SUM_TOLERANCE, known_names, label_of, label_scores, name_of
from worker.formats.structure import Family, Match, Miss, refuse_foreign


@dataclass(frozen=True, slots=True)
class _Entry:
    value: float
    index: int
    label: str | None


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per row; a tensor of one axis is a single row."""
    response = mapping(payload, *at)
    refuse_foreign(response, ("outputs", "parameters"), at)
    tensors = read_tensors(response, options, at)
    if len(tensors) > 1:
        names = ", ".join(tensor.name for tensor in tensors)
        fail((*at, "outputs"), f"several outputs: {names}", "set field to one of them")
    evidence = response_evidence(response)
    return tuple(with_evidence(_read_row(row, options, place), evidence) for row, place in _rows(tensors[0]))


def is_classification(payload: Any) -> bool:
    """Tell whether every string of a string output is ``value:index`` or ``value:index:label``."""
    outputs = [output for output in outputs_of(payload) or [] if KEYS.fits(output)]
    return any(output["datatype"] in TEXT_TYPES and _all_entries(output["data"]) for output in outputs)


def _all_entries(data: list[Any]) -> bool:
    strings = list(_leaves(data, 8))
    return bool(strings) and all(isinstance(text, str) and _parse(text) for text in strings)


def _leaves(values: list[Any], depth: int) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list) and depth:
            yield from _leaves(value, depth - 1)
        else:
            yield value


def _parse(text: str) -> _Entry | None:
    """Split at the first two colons: a label may hold more."""
    value, _, rest = text.partition(":")
    index, colon, label = rest.partition(":")
    if not (index.isascii() and index.isdigit() and len(index) < 10):
        return None
    try:
        return _Entry(float(value), int(index), label if colon else None)
    except ValueError:
        return None


def _rows(tensor: Tensor) -> list[tuple[list[Any], Path]]:
    place = (*tensor.at, "data")
    if len(tensor.shape) == 1:
        return [(tensor.rows, place)]
    if len(tensor.shape) > 2:
        fail((*tensor.at, "shape"), "more than two sides", "send [batch, classes]")
    return [(row, (*place, i)) for i, row in enumerate(tensor.rows)]


def _read_row(row: list[Any], options: ReadOptions, at: Path) -> ModelOutput:
    entries = [_entry(text, (*at, i)) for i, text in enumerate(row)]
    labels = [_label(entry, options, (*at, i)) for i, entry in enumerate(entries)]
    _settle(entries, options, at)
    return options.output(label_scores(labels, [entry.value for entry in entries], options, at))


def _entry(text: Any, at: Path) -> _Entry:
    entry = _parse(text) if isinstance(text, str) else None
    if entry is None:
        fail(at, f"{describe(text)} is not value:index or value:index:label")
    number(entry.value, *at)
    return entry


def _label(entry: _Entry, options: ReadOptions, at: Path) -> str:
    return label_of(entry.label, options, at) if entry.label else name_of(entry.index, options, at)


def _settle(entries: list[_Entry], options: ReadOptions, at: Path) -> None:
    """The extension returns whatever the model computes: a few raw scores can look like probabilities."""
    if options.score_kind is not None or options.exclusive is False:
        return
    values = [entry.value for entry in entries]
    partial = len(entries) < len(known_names(options)) or abs(math.fsum(values) - 1) > SUM_TOLERANCE
    if partial and all(0 <= value <= 1 for value in values):
        fail(
            at,
            "values between 0 and 1 that do not sum to 1 may be either",
            "set score_kind: probability or logit",
        )


def _detect(payload: Any) -> Match | None:
    return Match("a string output of value:index[:label] entries") if is_classification(payload) else None


def _near(payload: Any) -> Miss | None:
    for i, output in enumerate(outputs_of(payload) or []):
        if isinstance(output, Mapping) and output.get("datatype") in TEXT_TYPES:
            return KEYS.miss(output, (*ROOT, "outputs", i))
    return None


FAMILY = Family(
    name="triton-classification",
    title="Triton classification extension",
    rule="an Open Inference response with a BYTES (or STRING) output of `value:index` or `value:index:label` strings",
    detect=_detect,
    near=_near,
    needs=(("outputs",),),
    read=read,
    options=("score_kind", "classes", "exclusive", "field"),
    limits=(
        "Values are whatever the model computes: raw scores need `score_kind: logit`, `classes` and every class in "
        "the answer; a few values between 0 and 1 need `score_kind` too. Labels may hold colons."
    ),
    sources=("https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md",),
)
