"""Hugging Face zero-shot classification: ``{"sequence": …, "labels": […], "scores": […]}``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, describe, fail, is_number, mapping, member, same_length
from worker.formats.families import hf_classification
from worker.formats.families.items import Row, rows_of
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import SUM_TOLERANCE, label_of, label_scores
from worker.formats.structure import LIST, TEXT, Family, Keys, detect_items, near_items, needed

_KEYS = Keys({"sequence": TEXT, "labels": LIST, "scores": LIST})


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one item per sequence; the task API's ``[{"label", "score"}]`` form is read as well."""
    if isinstance(payload, Mapping):
        return (_read_sequence(payload, options, at),)
    items = array(payload, *at)
    if items and isinstance(items[0], Mapping) and "sequence" in items[0]:
        return tuple(_read_sequence(item, options, (*at, i)) for i, item in enumerate(items))
    return tuple(_read_pairs(row, options, path) for row, path in rows_of(payload, at))


def _read_sequence(item: Any, options: ReadOptions, at: Path) -> ModelOutput:
    result = mapping(item, *at)
    _KEYS.refuse_stranger(result, at)
    labels = array(member(result, "labels", at), *at, "labels")
    scores = array(member(result, "scores", at), *at, "scores")
    same_length({"labels": labels, "scores": scores}, at)
    names = [label_of(label, options, (*at, "labels", i)) for i, label in enumerate(labels)]
    ignored = unused_keys([result], {"sequence", "labels", "scores"})
    return with_ignored(_scored(names, scores, options, (*at, "scores")), ignored)


def _read_pairs(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    settled = _settle([item.get("score") for item, _ in row], options)
    return hf_classification.read_row(row, settled, at)


def _scored(names: list[str], scores: list[Any], options: ReadOptions, at: Path) -> ModelOutput:
    if not names:
        fail(at, f"{describe(scores)} without any label")
    settled = _settle(scores, options)
    return options.output(label_scores(names, scores, settled, at, whole=True))


def _settle(scores: list[Any], options: ReadOptions) -> ReadOptions:
    """A single-label pipeline soft-maxes over the labels, so another sum can only come from multi_label."""
    if options.exclusive is not None or options.score_kind == "logit":
        return options
    total = math.fsum(float(score) for score in scores if is_number(score) and abs(score) < 2)
    return options if abs(total - 1) <= SUM_TOLERANCE else replace(options, exclusive=False)


FAMILY = Family(
    name="hf-zero-shot",
    title="Hugging Face zero-shot classification",
    rule="an object (or a list of them) with `sequence`, `labels` and `scores`",
    detect=detect_items(_KEYS, "an object with sequence, labels and scores"),
    near=near_items(_KEYS),
    needs=needed(_KEYS),
    read=read,
    options=("classes", "score_kind", "exclusive"),
    limits=(
        "Scores that do not sum to 1 can only come from multi_label and are read as independent. "
        "Name the format to read the `[{label, score}]` form as zero-shot."
    ),
    sources=("https://huggingface.co/docs/inference-providers/tasks/zero-shot-classification",),
)
