"""Seldon Core v1: ``{"data": {"names": […], "ndarray": [[…]]}}`` or a ``tensor`` with shape and values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, fail, mapping, member, show, string
from worker.formats.envelopes.wrappers import Opener, inside_of, wrapper
from worker.formats.families.rows import as_indices, read_row
from worker.formats.families.tensors import read_shape, rows_of_tensor
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import known_names, vector_scores
from worker.formats.structure import (
    ANY,
    LIST,
    OBJECT,
    TEXT,
    Family,
    Keys,
    Match,
    Miss,
    ValueKind,
    needed,
    refuse_foreign,
)

_ARRAY = Keys({"ndarray": LIST}, {"names": LIST})
_TENSOR = Keys({"tensor": OBJECT}, {"names": LIST})
_KEYS = Keys(
    {"data": ValueKind("an object with ndarray or tensor", lambda v: _ARRAY.fits(v) or _TENSOR.fits(v))}, open=True
)
_OTHERS = ("binData",)

_DEFAULT_NAME = re.compile(r"t:\d+")
"""Column names that Seldon makes up where the model gives none."""


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per row; the model's own column names are its classes unless ``classes`` is set to others."""
    response = mapping(payload, *at)
    _refuse_failure(response, at)
    data, place = mapping(member(response, "data", at), *at, "data"), (*at, "data")
    refuse_foreign(response, ("data",), at)
    names = _names(data, options, (*place, "names"))
    ignored = unused_keys([response], ("data", "meta"))
    rows = [with_ignored(_read(row, names, options, path), ignored) for row, path in _rows(data, place)]
    return tuple(rows)


def _rows(data: Mapping[str, Any], at: Path) -> list[tuple[Any, Path]]:
    if "tensor" in data:
        tensor, place = mapping(data["tensor"], *at, "tensor"), (*at, "tensor")
        shape = read_shape(member(tensor, "shape", place), (*place, "shape"))
        rows, place = (
            rows_of_tensor(member(tensor, "values", place), shape, (*place, "values")),
            (*place, "values"),
        )
    else:
        rows, place = array(member(data, "ndarray", at), *at, "ndarray"), (*at, "ndarray")
    return [(row, (*place, i)) for i, row in enumerate(as_indices(rows))]


def _names(data: Mapping[str, Any], options: ReadOptions, at: Path) -> list[str] | None:
    if not data.get("names"):
        return None
    names = [string(name, *at, i) for i, name in enumerate(array(data["names"], *at))]
    if options.classes is not None:
        return names if sorted(names) == sorted(known_names(options)) else None
    return None if all(_DEFAULT_NAME.fullmatch(name) for name in names) else names


def _read(row: Any, names: list[str] | None, options: ReadOptions, at: Path) -> ModelOutput:
    alone = options.exclusive is not False or len(names or ()) != 1
    if names is None or not isinstance(row, list) or (len(row) < 2 and alone):
        return read_row(row, options, at)
    return options.output(vector_scores(row, options, at, names))


def _refuse_failure(response: Mapping[str, Any], at: Path) -> None:
    status = response.get("status")
    if isinstance(status, Mapping) and status.get("status") == "FAILURE":
        reason = str(status.get("info") or status.get("reason") or "no reason given")[:200]
        fail((*at, "status"), f"the model failed: {reason}", "publish only successful responses")


def _detect(payload: Any) -> Match | None:
    if not _KEYS.fits(payload) or "specversion" in payload:
        return None
    return Match("an object whose data holds ndarray or tensor")


def _near(payload: Any) -> Miss | None:
    data = payload.get("data") if isinstance(payload, Mapping) else None
    other = next((key for key in _OTHERS if isinstance(payload, Mapping) and key in payload), None)
    if other:
        return Miss(show((*ROOT, other)), "holds no rows", 0.5)
    for keys in (_ARRAY, _TENSOR):
        miss = keys.miss(data, (*ROOT, "data"))
        if miss:
            return miss
    return None


FAMILY = Family(
    name="seldon",
    title="Seldon Core v1",
    rule="an object whose `data` object holds `ndarray` or `tensor`, and perhaps `names`",
    detect=_detect,
    near=_near,
    needs=needed(_KEYS),
    read=read,
    options=("classes", "score_kind", "exclusive", "strings"),
    limits=("Column names like t:0 are Seldon's own and name no class. binData and tftensor are refused."),
    sources=("https://docs.seldon.io/projects/seldon-core/en/v1.1.0/reference/apis/prediction.html",),
)


def _inside(key: str) -> Opener:
    def opened(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
        _refuse_failure(outer, at)
        return inside_of(key)(outer, at)

    return opened


ENVELOPES = (
    wrapper(
        "seldon-json",
        "Seldon Core v1, JSON of the model's own",
        Keys({"jsonData": ANY}, open=True),
        _inside("jsonData"),
        ("https://docs.seldon.io/projects/seldon-core/en/v1.1.0/reference/apis/prediction.html",),
        rule="an object with `jsonData`",
    ),
    wrapper(
        "seldon-text",
        "Seldon Core v1, a text",
        Keys({"strData": TEXT}, open=True),
        _inside("strData"),
        ("https://docs.seldon.io/projects/seldon-core/en/v1.1.0/reference/apis/prediction.html",),
        rule="an object with `strData`",
    ),
)
