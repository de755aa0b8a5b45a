"""Read one row of a tensor-shaped response: a class index, a label, a score vector, named outputs, objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.formats.checks import Path, array, describe, fail, is_number, same_length
from worker.formats.classes import known_names, label_of, name_of
from worker.formats.errors import UnknownFormat
from worker.formats.evidence import with_evidence
from worker.formats.families import (
    hf_classification,
    hf_object_detection,
    hf_question_answering,
    hf_segmentation,
    hf_speech,
    hf_token_classification,
    hf_zero_shot,
    tf_detection,
    torchserve,
    torchvision,
    ultralytics,
)
from worker.formats.json_text import looks_like_json, parse_json
from worker.formats.mappings import catalogue_of
from worker.formats.options import ReadOptions
from worker.formats.output import ModelOutput, Transcription
from worker.formats.recognise import choose
from worker.formats.scores import bare_label, bare_labels, label_scores, vector_scores
from worker.formats.structure import Family, Match

OBJECT_FAMILIES: tuple[Family, ...] = (
    hf_classification.FAMILY,
    hf_token_classification.FAMILY,
    hf_object_detection.FAMILY,
    hf_zero_shot.FAMILY,
    hf_segmentation.FAMILY,
    hf_question_answering.FAMILY,
    hf_speech.FAMILY,
    ultralytics.FAMILY,
    torchvision.FAMILY,
    torchserve.CLASSIFIER,
    torchserve.DETECTOR,
)
"""Families of plain objects: what a handler returns, which servers then wrap."""

_SCORES = ("scores", "probabilities")
_LABELS = ("all_classes", "classes", "labels")


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
        return read_objects(parse_json(text, at), options, at)
    return options.output(bare_label(label_of(text, options, at), options))


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


def _read_list(row: list[Any], options: ReadOptions, at: Path) -> ModelOutput:
    if row and isinstance(row[0], Mapping):
        return read_objects(row, options, at)
    if row and all(isinstance(value, str) for value in row):
        return _read_strings(row, options, at)
    if row and all(isinstance(value, bool) for value in row):
        return _read_flags(row, options, at)
    if len(row) == 1 and is_number(row[0]):
        return _read_scalar(row[0], options, (*at, 0))
    if row and isinstance(row[0], list):
        fail(at, "a row with one dimension too many", "send one list of scores per item")
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
        return read_row(row[options.field], options, (*at, options.field))
    if tf_detection.KEYS.fits(row):
        return tf_detection.read_image(row, options, at)
    scores = next((key for key in _SCORES if isinstance(row.get(key), list)), None)
    labels = next((key for key in _LABELS if isinstance(row.get(key), list)), None)
    if scores and labels and "boxes" not in row and "sequence" not in row:
        return _read_scored(row[scores], row[labels], options, (*at, scores), (*at, labels))
    return read_objects(row, options, at)


def _read_scored(scores: Any, labels: Any, options: ReadOptions, at: Path, labels_at: Path) -> ModelOutput:
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
            keys = ", ".join(list(value)[:8])
            fail(at, f"several outputs: {keys}", "set field to the one that holds the prediction")
        raise
    outputs = family.read(value, options, at)
    if len(outputs) != 1:
        fail(at, f"{len(outputs)} items in one row", "send one item per row")
    is_mapped = any(family is one for one, _ in mapped)
    return with_evidence(outputs[0], {"mapping": family.name}) if is_mapped else outputs[0]


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
