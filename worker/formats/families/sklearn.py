"""scikit-learn: rows of ``predict_proba``, ``decision_function`` or ``predict``, without any wrapper."""

from __future__ import annotations

from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, describe, fail, is_number, show
from worker.formats.families.rows import as_indices, read_row
from worker.formats.options import ReadOptions
from worker.formats.scores import known_names
from worker.formats.structure import INDEX, Family, Match, Miss


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per row, columns in the order of ``classes`` (the estimator's ``classes_``)."""
    if _are_fractions(payload):
        return (_scores_of_one(payload, options, at),)
    return tuple([read_row(row, options, (*at, i)) for i, row in enumerate(as_indices(array(payload, *at)))])


def _scores_of_one(scores: list[Any], options: ReadOptions, at: Path) -> ModelOutput:
    """The scores of the message's only asset, one per class; else they may be one per asset."""
    alone = options.external_ids is not None and len(options.external_ids) == 1
    if not alone or len(scores) != len(known_names(options)):
        fail((*at, 0), f"{describe(scores[0])} {_NO_ROW}", "send a list of rows, or name as many classes as scores")
    return read_row(scores, options.of_item(0), at)


_NO_ROW = "is neither a class index nor a row of scores (the scores of one item are a list in the list)"


def _are_fractions(payload: Any) -> bool:
    """Whether a list holds numbers that are not all whole: as SageMaker's image classification sends scores."""
    return (
        isinstance(payload, list)
        and len(payload) > 1
        and all(map(is_number, payload))
        and not all(map(_is_whole, payload))
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) or value.is_integer() is True


def _is_row(row: Any) -> bool:
    if isinstance(row, list):
        return bool(row) and all(map(is_number, row))
    return isinstance(row, str) or INDEX.test(row)


def _detect(payload: Any) -> Match | None:
    if not isinstance(payload, list) or not payload:
        return None
    if _are_fractions(payload):
        return Match("a bare list of scores")
    if not all(map(_is_row, payload)):
        return None
    kind = "rows of numbers" if isinstance(payload[0], list) else "labels or class indices"
    return Match(f"a bare list of {kind}")


def _near(payload: Any) -> Miss | None:
    if not isinstance(payload, list) or not payload:
        return None
    fitting = [_is_row(row) for row in payload]
    first = fitting.index(False)
    row = payload[first]
    if is_number(row):
        return Miss(show((*ROOT, first)), f"{describe(row)} {_NO_ROW}", 0.5)
    share = sum(fitting) / len(fitting) * 0.9
    return Miss(show((*ROOT, first)), f"{describe(row)} is not a row of numbers or a label", share) if share else None


FAMILY = Family(
    name="sklearn",
    title="scikit-learn rows",
    rule="a bare list of rows of numbers, of class indices or of labels",
    detect=_detect,
    near=_near,
    takes=("list",),
    read=read,
    options=("classes", "score_kind", "exclusive", "strings"),
    limits=(
        "Rows need `classes` in the order of the estimator's `classes_`. decision_function and predict_log_proba "
        "rows need `score_kind: logit`. A list of fractions is the row of a message's only asset where `classes` "
        "names as many; else it is refused."
    ),
    sources=("https://scikit-learn.org/stable/glossary.html#term-predict_proba",),
)
