"""Tables: the rows of PMML scorers, with a probability column per class, and tables of numbers that are no scores.

PMML scorers are KServe's PMML server, JPMML and Openscoring. Refused are raw heads of detectors, rows of boxes and a
class per token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, fail, is_number, mapping
from worker.formats.meaning import with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import label_of, label_scores
from worker.formats.structure import Family, Match, first_item, refuse_foreign

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


def _columns(row: Any) -> dict[str, str]:
    """The class of every probability column."""
    if not isinstance(row, Mapping):
        return {}
    found = {key: _COLUMN.fullmatch(key) for key in row if isinstance(key, str)}
    return {key: one["bare"] or one["inside"] for key, one in found.items() if one}


def read_pmml(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
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


PMML = Family(
    name="pmml",
    title="PMML scorers (KServe's PMML server, JPMML)",
    rule="an object (or a list; also rows of `predictions`) with two or more columns `probability_CLASS` or "
    "`probability(CLASS)`",
    detect=_detect,
    takes=("object", "objects"),
    read=read_pmml,
    options=("classes", "exclusive"),
    limits="The probabilities are read; the predicted class and other columns are told as ignored.",
    sources=("https://kserve.github.io/website/docs/model-serving/predictive-inference/frameworks/pmml",),
)
