"""Tensors of the Open Inference Protocol: shape, datatype and data agree, or an error says where not.

Triton's classification extension sends strings ``value:index`` or ``value:index:label`` in a BYTES output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, describe, fail, integer, is_number, mapping, member, number, string
from worker.formats.meaning import texts_of, with_evidence
from worker.formats.options import ReadOptions
from worker.formats.scores import SUM_TOLERANCE, known_names, label_of, label_scores, name_of
from worker.formats.structure import LIST, OBJECT, TEXT, Family, Keys, Match, Miss, refuse_foreign

KEYS = Keys({"name": TEXT, "shape": LIST, "datatype": TEXT, "data": LIST}, open=True)
BINARY = Keys({"name": TEXT, "shape": LIST, "datatype": TEXT, "parameters": OBJECT}, open=True)
"""A tensor whose data follow the JSON as bytes."""

MAX_DIMENSIONS = 8

_FLOATS = ("FP16", "BF16", "FP32", "FP64")
_INTEGERS = tuple(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
TEXT_TYPES = ("BYTES", "STRING")
_DATATYPES = (*_FLOATS, *_INTEGERS, *TEXT_TYPES, "BOOL")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One named output, as nested lists along its shape."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    rows: list[Any]
    at: Path


def outputs_of(payload: Any) -> list[Any] | None:
    """Return the list of outputs where the payload has one."""
    outputs = payload.get("outputs") if isinstance(payload, Mapping) else None
    return outputs if isinstance(outputs, list) else None


def read_tensors(payload: Any, options: ReadOptions, at: Path) -> tuple[Tensor, ...]:
    """Read the output tensors, or the one that ``options.field`` names."""
    outputs = array(member(mapping(payload, *at), "outputs", at), *at, "outputs")
    if not outputs:
        fail((*at, "outputs"), "no outputs")
    tensors = tuple(_read_tensor(output, (*at, "outputs", i)) for i, output in enumerate(outputs))
    names = [tensor.name for tensor in tensors]
    if len(set(names)) < len(names):
        fail((*at, "outputs"), "two outputs have the same name")
    if options.field is None:
        return tensors
    if options.field not in names:
        fail(
            (*at, "outputs"),
            f"no output is called {options.field!r}",
            f"set field to one of {', '.join(names[:8])}",
        )
    return (tensors[names.index(options.field)],)


def response_evidence(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a response says of itself: model, version, and the request it answers."""
    names = {"id": "request_id", "model_name": "model_name", "model_version": "model_version"}
    return texts_of(payload, names)


def rows_of_tensor(data: Any, shape: tuple[int, ...], at: Path) -> list[Any]:
    """Return data as nested lists along ``shape``; data may be flat in row-major order, or nested already."""
    values = array(data, *at)
    if values and isinstance(values[0], list):
        _check_nesting(values, shape, at)
        return values
    if len(values) != prod(shape):
        fail(at, f"{len(values)} elements where shape {list(shape)} needs {prod(shape)}")
    if not values:
        return _hollow(shape, at)
    for side in reversed(shape[1:]):
        values = [values[i : i + side] for i in range(0, len(values), side)]
    return values


MOST_HOLLOW = 10_000
"""Most empty rows that a shape may ask for: as many as a batch has."""


def _hollow(shape: Sequence[int], at: Path) -> list[Any]:
    """Rows of a tensor of which one side is 0."""
    sides = shape[: list(shape).index(0)]
    if prod(sides) > MOST_HOLLOW:
        fail(at, f"shape {list(shape)} holds nothing")
    rows: list[Any] = []
    for side in reversed(sides):
        rows = [list(rows) for _ in range(side)]
    return rows


def read_shape(shape: Any, at: Path) -> tuple[int, ...]:
    """Read a shape of 1 to MAX_DIMENSIONS sides."""
    sides = tuple(integer(side, *at, i) for i, side in enumerate(array(shape, *at)))
    if not 1 <= len(sides) <= MAX_DIMENSIONS or min(sides) < 0:
        fail(at, f"{len(sides)} sides, or a negative one", f"send 1 to {MAX_DIMENSIONS} sides")
    return sides


def _shape_of(shape: Any, data: Any, at: Path) -> tuple[int, ...]:
    """The shape of a tensor; an empty one, as TorchServe sends it, is that of a single value."""
    if shape == [] and isinstance(data, list) and len(data) == 1 and not isinstance(data[0], list):
        return (1,)
    return read_shape(shape, at)


def _read_tensor(value: Any, at: Path) -> Tensor:
    tensor = mapping(value, *at)
    name = string(member(tensor, "name", at), *at, "name")
    datatype = string(member(tensor, "datatype", at), *at, "datatype")
    if datatype not in _DATATYPES:
        fail((*at, "datatype"), f"{describe(datatype)} is not a datatype of the protocol")
    if "data" not in tensor:
        fail((*at, "data"), "missing", "ask for JSON, not binary, output data")
    shape = _shape_of(member(tensor, "shape", at), tensor["data"], (*at, "shape"))
    rows = rows_of_tensor(tensor["data"], shape, (*at, "data"))
    _check_elements(rows, len(shape), datatype, (*at, "data"))
    return Tensor(name, datatype, shape, rows, at)


def _check_nesting(values: list[Any], shape: Sequence[int], at: Path) -> None:
    if len(values) != shape[0]:
        fail(at, f"{len(values)} elements where the shape says {shape[0]}")
    for i, value in enumerate(values):
        if isinstance(value, list) != (len(shape) > 1):
            fail((*at, i), "nested more or less deeply than the shape says")
        if isinstance(value, list):
            _check_nesting(value, shape[1:], (*at, i))


def _check_elements(values: list[Any], depth: int, datatype: str, at: Path) -> None:
    for i, value in enumerate(values):
        if depth > 1:
            _check_elements(value, depth - 1, datatype, (*at, i))
        elif not _is_of(value, datatype):
            fail((*at, i), f"{describe(value)} is not of datatype {datatype}")


def _is_of(value: Any, datatype: str) -> bool:
    if datatype in TEXT_TYPES:
        return isinstance(value, str)
    return isinstance(value, bool) if datatype == "BOOL" else is_number(value)


@dataclass(frozen=True, slots=True)
class _Entry:
    value: float
    index: int
    label: str | None


def read_triton(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
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


TRITON = Family(
    name="triton-classification",
    title="Triton classification extension",
    rule="an Open Inference response with a BYTES (or STRING) output of `value:index` or `value:index:label` strings",
    detect=_detect,
    near=_near,
    needs=(("outputs",),),
    read=read_triton,
    options=("score_kind", "classes", "exclusive", "field"),
    limits=(
        "Values are whatever the model computes: raw scores need `score_kind: logit`, `classes` and every class in "
        "the answer; a few values between 0 and 1 need `score_kind` too. Labels may hold colons."
    ),
    sources=("https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md",),
)
