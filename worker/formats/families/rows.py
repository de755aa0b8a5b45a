"""Read one row of a tensor-shaped response: a class index, a label, a score vector, named outputs, objects, a table.

A row may be that of a PMML scorer (KServe's PMML server, JPMML, Openscoring), with a probability column per class.
Refused are tables of numbers that are no scores: raw heads of detectors, rows of boxes, a class per token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from worker.contract.output import Classification, Either, ModelOutput, Nothing, Transcription
from worker.formats.checks import (
    ROOT,
    Path,
    UnknownFormat,
    array,
    describe,
    fail,
    is_number,
    looks_like_json,
    mapping,
    parse_object,
    same_length,
)
from worker.formats.families import detectors, hf_pipelines, hf_token_classification, torchserve
from worker.formats.mappings import catalogue_of
from worker.formats.meaning import foreign_key, unused_keys, with_evidence, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.recognise import FormatIndex, choose
from worker.formats.scores import bare_label, bare_labels, known_names, label_of, label_scores, name_of, vector_scores
from worker.formats.structure import Family, Match, Unwrapped, first_item, refuse_foreign

BOX_ROW = 6
"""Numbers of a box in the exports of detectors: x1, y1, x2, y2, score, class; the last two may be missing."""

_AS_SHORT = "send them in the short form: boxes, with units and box_order"


def refuse_table(rows: list[Any], options: ReadOptions, at: Path) -> NoReturn:
    """Say what a list of lists in the place of one item's scores seems to be, and what to send instead."""
    lists = [row for row in rows if isinstance(row, list)]
    numeric = all(isinstance(row, list) and all(map(is_number, row)) for row in rows)
    if options.text is not None and numeric:
        fail(at, "one class per token cannot be placed in the text", "send entities with offsets (start and end)")
    if numeric and any(_is_box(row) for row in lists):
        fail(
            at,
            "rows of six numbers look like boxes after NMS (x1, y1, x2, y2, score, class), not like scores",
            _AS_SHORT,
        )
    if numeric and len({len(row) for row in lists}) == 1 and len(lists) > 4:
        problem = "a table of numbers is no row of scores; it looks like the raw head of a detector, before NMS"
        fail(at, problem, "export the model with NMS (non-maximum suppression), or send boxes in the short form")
    fail(at, "a row with one dimension too many", "send one list of scores per item")


def refuse_box(row: list[Any], options: ReadOptions, at: Path) -> None:
    """Refuse the six numbers of a box in the place of six scores."""
    if options.score_kind is None and options.exclusive is not False and _is_box(row):
        fix = _AS_SHORT if len(row) == BOX_ROW else f"{_AS_SHORT}; set score_kind if they are scores"
        fail(at, f"looks like a box (x1, y1, x2, y2, score, class), not like {len(row)} scores", fix)


def _is_box(row: list[Any]) -> bool:
    """A place and an extent, a share, a whole number, perhaps a track: too much for probabilities together."""
    if len(row) == BOX_ROW + 1:
        row = [*row[:4], *row[5:]] if is_number(row[4]) and row[4] == int(row[4]) else row
    if not 4 <= len(row) <= BOX_ROW or not all(map(is_number, row)) or min(row) < 0 or sum(row) < LEAST_OF_A_BOX:
        return False
    score, index = (*row[4:], 0, 0)[:2] if len(row) < BOX_ROW else row[4:]
    if not (0 <= score <= 1 and index == int(index)):
        return False
    x1, y1, x2, y2 = row[:4]
    in_pixels = x1 < x2 and y1 < y2 and max(x2, y2) > 1
    return bool(in_pixels or (len(row) == BOX_ROW and max(row[:4]) <= 1 and type(index) is float))


LEAST_OF_A_BOX = 1.1
"""Least sum of the numbers of a box: what sums to 1 are probabilities."""


_COLUMN = re.compile(r"probability(?:_(?P<bare>.+)|\((?P<inside>.+)\))", re.IGNORECASE)


def _class_columns(row: Any) -> dict[str, str]:
    """The class of every probability column."""
    if not isinstance(row, Mapping):
        return {}
    found = {key: _COLUMN.fullmatch(key) for key in row if isinstance(key, str)}
    return {key: one["bare"] or one["inside"] for key, one in found.items() if one}


def read_pmml(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per row."""
    if isinstance(payload, Mapping):
        return (_read_pmml_row(payload, options, at),)
    return tuple(_read_pmml_row(row, options, (*at, i)) for i, row in enumerate(array(payload, *at)))


def _read_pmml_row(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    row = mapping(value, *at)
    columns = _class_columns(row)
    if not columns:
        fail(at, "has no column probability_CLASS or probability(CLASS)")
    refuse_foreign(row, columns, at)
    keys = list(columns)
    labels = [label_of(columns[key], options, (*at, key)) for key in keys]
    scores = label_scores(labels, [row[key] for key in keys], options, at, lambda i: (*at, keys[i]))
    return with_ignored(options.output(scores), [key for key in row if key not in columns])


def _detect_pmml(payload: Any) -> Match | None:
    return (
        Match("rows with a probability column per class") if len(_class_columns(first_item(payload)[0])) > 1 else None
    )


PMML = Family(
    name="pmml",
    title="PMML scorers (KServe's PMML server, JPMML)",
    rule="an object (or a list; also rows of `predictions`) with two or more columns `probability_CLASS` or "
    "`probability(CLASS)`",
    detect=_detect_pmml,
    takes=("object", "objects"),
    read=read_pmml,
    options=("classes", "exclusive"),
    limits="The probabilities are read; the predicted class and other columns are told as ignored.",
    sources=("https://kserve.github.io/website/docs/model-serving/predictive-inference/frameworks/pmml",),
)


OBJECT_FAMILIES = FormatIndex[Family](
    (
        hf_pipelines.CLASSIFICATION,
        hf_token_classification.FAMILY,
        hf_pipelines.OBJECT_DETECTION,
        hf_pipelines.ZERO_SHOT,
        hf_pipelines.SEGMENTATION,
        hf_pipelines.QUESTION_ANSWERING,
        hf_pipelines.SPEECH,
        detectors.ULTRALYTICS,
        detectors.TORCHVISION,
        torchserve.CLASSIFIER,
        torchserve.DETECTOR,
        PMML,
    )
)
"""Families of plain objects: what a handler returns, which servers then wrap."""

_SCORES = ("scores", "probabilities")
_LABELS = ("all_classes", "classes", "labels")
_FRACTION = re.compile(r"-?\d+\.\d*")
_FRACTIONS = re.compile(r"(?=.*\d?\.\d)\s*-?[\d.]+(e-?\d+)?([ ,;\t]+-?[\d.]+(e-?\d+)?)+\s*")
"""Several numbers, of which one has a fraction: a row of CSV, or of a label file."""
_CHOICES = ("prediction", "predicted_label", "predicted_class", "label", "class")


def read_row(row: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """Read one item's prediction, whatever shape the model gave it.

    Raises OutputError where the row could mean two things, and names the option that settles it.
    """
    if isinstance(row, str):
        return _read_string(row, options, at)
    if is_number(row):
        return _read_scalar(row, options, at)
    if isinstance(row, Mapping):
        return _read_named(row, options, at)
    if not isinstance(row, list):
        fail(at, f"{describe(row)} is no prediction", "send a label, a class index or scores")
    return _read_list(row, options, at)


def _read_string(text: str, options: ReadOptions, at: Path) -> ModelOutput:
    if options.strings == "text":
        return options.output(Transcription(text.strip()))
    if looks_like_json(text):
        return read_objects(parse_object(text, at), options, at)
    if options.classes is not None and _FRACTION.fullmatch(text):
        fail(at, f"{describe(text)} is a number written as a text", "send numbers as numbers, and indices whole")
    if _FRACTIONS.fullmatch(text):
        fail(at, f"{describe(text)} is a row of numbers written as a text", "send numbers, or set strings: text")
    name = label_of(text, options, at)
    label = bare_label(name, options)
    is_class = options.strings is not None or name != text
    return options.output(label if is_class else Either((label, Transcription(text.strip()))))


def _read_scalar(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    if options.exclusive is False and len(known_names(options)) == 1:
        return options.output(vector_scores([value], options, at))
    if not isinstance(value, int):
        fail(
            at,
            f"{describe(value)} alone may be a class index or a probability",
            "send whole numbers for class indices, the scores of one item as a list of their own; for one probability "
            "per item set classes to one name and exclusive: false",
        )
    return options.output(bare_label(name_of(value, options, at), options))


def as_indices(rows: list[Any]) -> list[Any]:
    """One number per row, all whole and one of them above 1: these are class indices, written as fractions."""
    values = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
    if not all(type(value) is float and value.is_integer() and value >= 0 for value in values):
        return rows
    return [int(value) for value in values] if max(values, default=0) > 1 else rows


def _read_list(row: list[Any], options: ReadOptions, at: Path) -> ModelOutput:
    if not row:
        return options.output(Nothing())
    if isinstance(row[0], Mapping):
        return read_objects(row, options, at)
    if all(isinstance(value, str) for value in row):
        return _read_strings(row, options, at)
    if all(isinstance(value, bool) for value in row):
        return _read_flags(row, options, at)
    if len(row) == 1 and is_number(row[0]):
        return _read_scalar(row[0], options, (*at, 0))
    if isinstance(row[0], list):
        refuse_table(row, options, at)
    refuse_box(row, options, at)
    return options.output(vector_scores(row, options, at))


def _read_strings(row: list[str], options: ReadOptions, at: Path) -> ModelOutput:
    if len(row) == 1:
        return _read_string(row[0], options, (*at, 0))
    if options.exclusive is not False:
        fail(at, f"{len(row)} labels for one item", "set exclusive: false if an item may have several classes")
    labels = [label_of(label, options, (*at, i)) for i, label in enumerate(row)]
    return options.output(bare_labels(labels, at))


def _read_flags(row: list[bool], options: ReadOptions, at: Path) -> ModelOutput:
    """Read one true or false per class."""
    if options.exclusive is not False:
        fail(at, "true and false are no scores", "set exclusive: false if they tell of each class whether it applies")
    names = [name_of(i, options, (*at, i)) for i, flag in enumerate(row) if flag]
    return options.output(bare_labels(names, at))


def _read_named(row: Mapping[str, Any], options: ReadOptions, at: Path) -> ModelOutput:
    """Read a row of several named outputs."""
    mapped = catalogue_of(options).answers_that_fit(row, options, at)
    if mapped:
        return read_objects(row, options, at, mapped)
    if options.field is not None and options.field in row:
        return _read_field(row, options.field, options, at)
    if detectors.TF_KEYS.fits(row):
        return detectors.read_tf_image(row, options, at)
    scores = next((key for key in _SCORES if isinstance(row.get(key), list)), None)
    labels = next((key for key in _LABELS if isinstance(row.get(key), list)), None)
    if scores is None or "sequence" in row or foreign_key(row, (scores, *_LABELS)):
        return read_objects(row, options, at)
    if labels is None:
        return _read_vector(row, scores, options, at)
    output = _read_scored(row[scores], row[labels], options, (*at, scores), (*at, labels))
    return with_ignored(output, unused_keys([row], (scores, labels)))


def _read_field(row: Mapping[str, Any], field: str, options: ReadOptions, at: Path) -> ModelOutput:
    """Read the output that ``field`` names; refuse to pass over what belongs to it."""
    value, place = row[field], (*at, field)
    refuse_foreign(row, (field,), at)
    names = [key for key, other in row.items() if key != field and _are_names_of(value, other)]
    if names:
        problem = f"{names[0]} beside it names as many classes, whose order need not be that of the model"
        fail(place, problem, f"leave field out, or send {names[0]} and {field} in the short form (scores)")
    return with_ignored(read_row(value, options, place), unused_keys([row], (field,)))


def _are_names_of(scores: Any, other: Any) -> bool:
    """Whether one list holds a name for each number of the other."""
    if not isinstance(scores, list) or not isinstance(other, list) or len(scores) != len(other) or len(scores) < 2:
        return False
    return all(map(is_number, scores)) and all(isinstance(name, str) for name in other)


def _read_vector(row: Mapping[str, Any], key: str, options: ReadOptions, at: Path) -> ModelOutput:
    """Read scores of every class beside what else the model says; a class that it names must be their best one."""
    output = read_row(row[key], options, (*at, key))
    stated = next((name for name in _CHOICES if isinstance(row.get(name), str | int)), None)
    if stated is not None and isinstance(output.answer, Classification) and output.answer.scores[0].score is not None:
        chosen = label_of(row[stated], options, (*at, stated))
        best = max(output.answer.scores, key=lambda one: one.score or 0.0)
        if chosen != best.label:
            problem = f"names {chosen!r}, but the greatest of {key} is that of {best.label!r}"
            fail((*at, stated), problem, "check the order of classes, or set field to the one to read")
    return with_ignored(output, unused_keys([row], (key, stated or key)))


def _read_scored(scores: Any, labels: Any, options: ReadOptions, at: Path, labels_at: Path) -> ModelOutput:
    if not scores and not labels:
        return options.output(Nothing())
    same_length({str(at[-1]): scores, str(labels_at[-1]): labels}, at[:-1], "set field to the one to read")
    names = [label_of(label, options, (*labels_at, i)) for i, label in enumerate(labels)]
    return options.output(label_scores(names, scores, options, at))


def read_objects(
    value: Any, options: ReadOptions, at: Path, mapped: Sequence[tuple[Family, Match]] | None = None
) -> ModelOutput:
    """Read what a handler returned for one item: an object or a list of objects of OBJECT_FAMILIES, or of a mapping."""
    if mapped is None:
        mapped = catalogue_of(options).answers_that_fit(value, options, at)
    try:
        family, _ = choose(value, OBJECT_FAMILIES, at, mapped=mapped)
    except UnknownFormat as unknown:
        if isinstance(value, Mapping) and len(value) > 1 and (unknown.nearest is None or _are_arrays(value)):
            carried = foreign_key(value, ())
            if carried is None:
                keys = ", ".join(list(value)[:8])
                fail(at, f"several outputs: {keys}", "set field to the one that holds the prediction")
        raise
    outputs = family.read(value, options, at)
    if len(outputs) != 1:
        fail(at, f"{len(outputs)} items in one row", "send one item per row")
    output = outputs[0]
    if isinstance(output, Unwrapped):
        fail(output.at, "JSON of another format is not read in a row", "send it by itself")
    is_mapped = any(family is one for one, _ in mapped)
    return with_evidence(output, {"mapping": family.name}) if is_mapped else output


def _are_arrays(row: Mapping[str, Any]) -> bool:
    """Whether these are outputs of a model, not an object that a handler wrote."""
    return all(isinstance(value, list) for value in row.values())


def rows_of_columns(columns: Mapping[str, Any], at: Path) -> list[Any]:
    """Turn named lists of equal length into rows; a single column gives its values as they are."""
    lists = {key: array(value, *at, key) for key, value in columns.items()}
    if not lists:
        fail(at, "no outputs")
    count = same_length(lists, at)
    if len(lists) == 1:
        return next(iter(lists.values()))
    return [{key: values[i] for key, values in lists.items()} for i in range(count)]
