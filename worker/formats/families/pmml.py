"""Rows of PMML scorers (KServe's PMML server, JPMML, Openscoring): the class, and a probability column per class."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, fail, mapping
from worker.formats.meaning import with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import label_of, label_scores
from worker.formats.structure import Family, Match, Miss, first_item, refuse_foreign

_COLUMN = re.compile(r"probability(?:_(?P<bare>.+)|\((?P<inside>.+)\))", re.IGNORECASE)


def _columns(row: Any) -> dict[str, str]:
    """The class of every probability column."""
    if not isinstance(row, Mapping):
        return {}
    found = {key: _COLUMN.fullmatch(key) for key in row if isinstance(key, str)}
    return {key: one["bare"] or one["inside"] for key, one in found.items() if one}


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per row."""
    if isinstance(payload, Mapping):
        return (_read_row(payload, options, at),)
    return tuple(_read_row(row, options, (*at, i)) for i, row in enumerate(array(payload, *at)))


def _read_row(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    row = mapping(value, *at)
    columns = _columns(row)
    if not columns:
        fail(at, "has no column probability_CLASS or probability(CLASS)")
    refuse_foreign(row, columns, at)
    keys = list(columns)
    labels = [label_of(columns[key], options, (*at, key)) for key in keys]
    scores = label_scores(labels, [row[key] for key in keys], options, at, lambda i: (*at, keys[i]))
    return with_ignored(options.output(scores), [key for key in row if key not in columns])


def _detect(payload: Any) -> Match | None:
    return Match("rows with a probability column per class") if len(_columns(first_item(payload)[0])) > 1 else None


def _near(_payload: Any) -> Miss | None:
    return None


FAMILY = Family(
    name="pmml",
    title="PMML scorers (KServe's PMML server, JPMML)",
    rule="an object (or a list; also rows of `predictions`) with two or more columns `probability_CLASS` or "
    "`probability(CLASS)`",
    detect=_detect,
    near=_near,
    takes=("object", "objects"),
    read=read,
    options=("classes", "exclusive"),
    limits="The probabilities are read; the predicted class and other columns are told as ignored.",
    sources=("https://kserve.github.io/website/docs/model-serving/predictive-inference/frameworks/pmml",),
)
