"""TensorFlow Serving's REST answers, which KServe's v1 protocol shares: by row, by column, and classify."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, fail, mapping, member
from worker.formats.families.rows import as_indices, read_row, rows_of_columns
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import label_of, label_scores
from worker.formats.structure import Family, Keys, Match, ValueKind, near_object, needed, refuse_foreign


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
    return _read(payload, "predictions", options, at)


def read_columns(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read ``{"outputs": {name: rows}}`` or ``{"outputs": rows}``."""
    return _read(payload, "outputs", options, at)


def _read(payload: Any, key: str, options: ReadOptions, at: Path) -> tuple[ModelOutput, ...]:
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

FAMILIES = (ROWS, COLUMNS, CLASSIFY)
