"""Model servers that answer in rows: TensorFlow Serving (and KServe's v1 protocol, which is the same), Seldon Core v1.

TensorFlow Serving answers by row, by column, and to classify. Seldon answers ``{"data": {"names": […], "ndarray":
[[…]]}}``, or a ``tensor`` with shape and values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, fail, mapping, member, show, string
from worker.formats.envelopes.wrappers import Opener, inside_of, wrapper
from worker.formats.families.rows import as_indices, read_row, rows_of_columns
from worker.formats.families.tensors import read_shape, rows_of_tensor
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import known_names, label_of, label_scores, vector_scores
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
    near_object,
    needed,
    refuse_foreign,
)


def _columns(value: Any) -> bool:
    """Whether this is an object of columns, as a model returns that has named outputs."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(column, list) for column in value.values())


_PREDICTIONS = ValueKind("a list, or an object of columns", lambda value: isinstance(value, list) or _columns(value))
_ROWS = Keys({"predictions": _PREDICTIONS}, open=True)
_COLUMNS = Keys(
    {"outputs": ValueKind("a list or an object", lambda value: isinstance(value, list | Mapping))}, open=True
)


def _pairs(value: Any) -> bool:
    """Whether these are lists, per item, of [label, score]."""
    if not isinstance(value, list) or not value or not isinstance(value[0], list) or not value[0]:
        return False
    first = value[0][0]
    return isinstance(first, list) and len(first) == 2


_RESULTS = Keys({"results": ValueKind("a list, per item, of [label, score] pairs", _pairs)}, open=True)


def read_rows(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read ``{"predictions": [row, …]}``, or columns in the place of the list."""
    return _read_outputs(payload, "predictions", options, at)


def read_columns(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read ``{"outputs": {name: rows}}`` or ``{"outputs": rows}``."""
    return _read_outputs(payload, "outputs", options, at)


def _read_outputs(payload: Any, key: str, options: ReadOptions, at: Path) -> tuple[ModelOutput, ...]:
    response, place = mapping(payload, *at), (*at, key)
    refuse_foreign(response, (key,), at)
    rows = member(response, key, at)
    if isinstance(rows, Mapping):
        rows = _of_columns(rows, options, place)
    found = [read_row(row, options.of_item(i), (*place, i)) for i, row in enumerate(as_indices(array(rows, *place)))]
    ignored = unused_keys([response], (key,))
    return tuple([with_ignored(output, ignored) for output in found]) if ignored else tuple(found)


def _of_columns(columns: Mapping[str, Any], options: ReadOptions, at: Path) -> list[Any]:
    """The rows of all columns, which ``field`` may choose from row by row."""
    if options.field is None or options.field not in columns or len(columns) == 1:
        return rows_of_columns(columns, at)
    refuse_foreign(columns, (options.field,), at)
    return array(columns[options.field], *at, options.field)


def read_results(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read the classify call's ``{"results": [[[label, score], …], …]}``."""
    response = mapping(payload, *at)
    refuse_foreign(response, ("results",), at)
    rows = array(member(response, "results", at), *at, "results")
    return tuple(_read_pairs(row, options, (*at, "results", i)) for i, row in enumerate(rows))


def _read_pairs(row: Any, options: ReadOptions, at: Path) -> ModelOutput:
    pairs = [array(pair, *at, i) for i, pair in enumerate(array(row, *at))]
    for i, pair in enumerate(pairs):
        if len(pair) != 2:
            fail((*at, i), "not a pair of label and score")
    labels = [label_of(label, options, (*at, i, 0)) for i, (label, _) in enumerate(pairs)]
    scores = [score for _, score in pairs]
    return options.output(label_scores(labels, scores, options, at, lambda i: (*at, i, 1)))


def _detect_rows(payload: Any) -> Match | None:
    if not _ROWS.fits(payload) or _is_task(payload):
        return None
    return Match("an object whose predictions is a list of rows")


def _is_task(payload: Mapping[str, Any]) -> bool:
    """Label Studio tasks also have a list of predictions, beside data and annotations; theirs hold a result list."""
    predictions = payload["predictions"]
    first = predictions[0] if isinstance(predictions, list) and predictions else None
    if isinstance(first, Mapping) and isinstance(first.get("result"), list):
        return True
    return not predictions and isinstance(payload.get("data"), Mapping)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Mapping) and {"name", "shape", "datatype", "data"} & value.keys() != set()


def _detect_columns(payload: Any) -> Match | None:
    if not _COLUMNS.fits(payload):
        return None
    outputs = payload["outputs"]
    if isinstance(outputs, list) and outputs and _is_tensor(outputs[0]):
        return None
    return Match("an object whose outputs are columns without name, shape and datatype")


ROWS = Family(
    catch_all=True,
    name="tf-serving-rows",
    title="KServe v1 and TensorFlow Serving, row format",
    rule="an object whose `predictions` is a list of rows, or an object of columns",
    detect=_detect_rows,
    near=near_object(_ROWS),
    needs=needed(_ROWS),
    read=read_rows,
    options=("classes", "score_kind", "exclusive", "field", "strings", "image_size", "units", "text"),
    limits=(
        "A row is a class index, a label, a score vector, `scores` beside `classes`, detection outputs, or any "
        "object that a Hugging Face, TorchServe, torchvision or Ultralytics handler returns."
    ),
    sources=(
        "https://www.tensorflow.org/tfx/serving/api_rest",
        "https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol",
    ),
)

COLUMNS = Family(
    catch_all=True,
    name="tf-serving-columns",
    title="TensorFlow Serving, column format",
    rule="an object whose `outputs` is an object of columns, or a list whose items lack name, shape and datatype",
    detect=_detect_columns,
    near=near_object(_COLUMNS),
    needs=needed(_COLUMNS),
    read=read_columns,
    options=("classes", "score_kind", "exclusive", "field", "strings", "image_size", "units", "text"),
    limits="Columns must be of one length; with several that are not understood together, `field` names one.",
    sources=("https://www.tensorflow.org/tfx/serving/api_rest",),
)

CLASSIFY = Family(
    catch_all=True,
    name="tf-serving-classify",
    title="TensorFlow Serving, classify call",
    rule="an object whose `results` is a list, per item, of [label, score] pairs",
    detect=lambda payload: Match("an object whose results are lists of pairs") if _RESULTS.fits(payload) else None,
    near=near_object(_RESULTS),
    needs=needed(_RESULTS),
    read=read_results,
    options=("classes", "score_kind", "exclusive"),
    sources=("https://www.tensorflow.org/tfx/serving/api_rest",),
)

TF_SERVING = (ROWS, COLUMNS, CLASSIFY)


_ARRAY = Keys({"ndarray": LIST}, {"names": LIST})
_TENSOR = Keys({"tensor": OBJECT}, {"names": LIST})
_SELDON = Keys(
    {"data": ValueKind("an object with ndarray or tensor", lambda v: _ARRAY.fits(v) or _TENSOR.fits(v))}, open=True
)
_NO_ROWS = ("binData",)

_DEFAULT_NAME = re.compile(r"t:\d+")
"""Column names that Seldon makes up where the model gives none."""


def read_seldon(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per row; the model's own column names are its classes unless ``classes`` is set to others."""
    response = mapping(payload, *at)
    _refuse_failure(response, at)
    data, place = mapping(member(response, "data", at), *at, "data"), (*at, "data")
    refuse_foreign(response, ("data",), at)
    names = _column_names(data, options, (*place, "names"))
    ignored = unused_keys([response], ("data", "meta"))
    rows = [
        with_ignored(_read_seldon_row(row, names, options, path), ignored) for row, path in _seldon_rows(data, place)
    ]
    return tuple(rows)


def _seldon_rows(data: Mapping[str, Any], at: Path) -> list[tuple[Any, Path]]:
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


def _column_names(data: Mapping[str, Any], options: ReadOptions, at: Path) -> list[str] | None:
    if not data.get("names"):
        return None
    names = [string(name, *at, i) for i, name in enumerate(array(data["names"], *at))]
    if options.classes is not None:
        return names if sorted(names) == sorted(known_names(options)) else None
    return None if all(_DEFAULT_NAME.fullmatch(name) for name in names) else names


def _read_seldon_row(row: Any, names: list[str] | None, options: ReadOptions, at: Path) -> ModelOutput:
    alone = options.exclusive is not False or len(names or ()) != 1
    if names is None or not isinstance(row, list) or (len(row) < 2 and alone):
        return read_row(row, options, at)
    return options.output(vector_scores(row, options, at, names))


def _refuse_failure(response: Mapping[str, Any], at: Path) -> None:
    status = response.get("status")
    if isinstance(status, Mapping) and status.get("status") == "FAILURE":
        reason = str(status.get("info") or status.get("reason") or "no reason given")[:200]
        fail((*at, "status"), f"the model failed: {reason}", "publish only successful responses")


def _detect_seldon(payload: Any) -> Match | None:
    if not _SELDON.fits(payload) or "specversion" in payload:
        return None
    return Match("an object whose data holds ndarray or tensor")


def _near_seldon(payload: Any) -> Miss | None:
    data = payload.get("data") if isinstance(payload, Mapping) else None
    other = next((key for key in _NO_ROWS if isinstance(payload, Mapping) and key in payload), None)
    if other:
        return Miss(show((*ROOT, other)), "holds no rows", 0.5)
    for keys in (_ARRAY, _TENSOR):
        miss = keys.miss(data, (*ROOT, "data"))
        if miss:
            return miss
    return None


SELDON = Family(
    name="seldon",
    title="Seldon Core v1",
    rule="an object whose `data` object holds `ndarray` or `tensor`, and perhaps `names`",
    detect=_detect_seldon,
    near=_near_seldon,
    needs=needed(_SELDON),
    read=read_seldon,
    options=("classes", "score_kind", "exclusive", "strings"),
    limits=("Column names like t:0 are Seldon's own and name no class. binData and tftensor are refused."),
    sources=("https://docs.seldon.io/projects/seldon-core/en/v1.1.0/reference/apis/prediction.html",),
)


def _inside(key: str) -> Opener:
    def opened(outer: Mapping[str, Any], at: Path) -> tuple[Any, Path]:
        _refuse_failure(outer, at)
        return inside_of(key)(outer, at)

    return opened


SELDON_ENVELOPES = (
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
