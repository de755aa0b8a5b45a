"""Writes marks where Kili writes them: on the human labels and on their asset.

Two published rules turn J, the overall agreement of two answers, into a mark. `documented`: the mark is J. `tutorial`:
(1 + J) / 2, the consensus formula (votes of two over the categories chosen by either) whose figures Kili's tutorial on
inference labels prints.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from itertools import combinations

from .context import Context
from .interface import Interface
from .records import HUMAN_TYPES, Label
from .responses.agreement import agreement
from .responses.ground import Ground
from .validation import Malformed, check_json_response

#: Whatever the asset was, its labels were taken: only their form matters here.
ANYWHERE = Ground(is_georeferenced=True)


def request_marks(context: Context, label: Label) -> None:
    """Have the marks computed that a new label makes possible, at once or after the configured delay.

    A new human label is marked itself; a new prediction concerns the latest human label of its asset.
    """
    others = context.store.tables.labels_on(label.asset_id)
    if any(other.label_type in HUMAN_TYPES for other in others):
        context.store.later(context.config.mark_delay, lambda: _compute(context, label))


def _compute(context: Context, new: Label) -> None:
    tables = context.store.tables
    asset = tables.assets.get(new.asset_id)
    labels = list(tables.labels_on(new.asset_id))
    human = [label for label in labels if label.label_type in HUMAN_TYPES and not label.is_honeypot]
    if asset is None or not human:
        return
    prediction = next((label for label in reversed(labels) if label.label_type == "INFERENCE"), None)
    honeypot = next((label for label in reversed(labels) if label.is_honeypot), None)
    marked = [
        _marked(context, label, prediction, honeypot) for label in human if label.id == new.id or label is human[-1]
    ]
    for label in marked:
        context.store.put(label)
    context.store.put(
        replace(
            asset,
            inference_mark=marked[-1].inference_mark,
            honeypot_mark=marked[-1].honeypot_mark,
            consensus_mark=_consensus(context, human),
        )
    )


def _marked(context: Context, label: Label, prediction: Label | None, honeypot: Label | None) -> Label:
    return replace(
        label,
        inference_mark=_agreement(context, label, prediction),
        honeypot_mark=_agreement(context, label, honeypot),
    )


def _agreement(context: Context, label: Label, other: Label | None) -> float | None:
    if other is None:
        return None
    interface = context.store.tables.projects[label.project_id].interface
    overlap = overlap_of(label.json_response, other.json_response, interface)
    return overlap if context.config.agreement == "documented" else (1 + overlap) / 2


def overlap_of(one: str, other: str, interface: Interface) -> float:
    """Return how far two responses agree, 0 to 1; what strict rules would refuse can only be the same or not."""
    mine, theirs = json.loads(one), json.loads(other)
    if mine == theirs:
        return 1.0
    with suppress(Malformed):
        for response in (one, other):
            check_json_response(response, interface, ground=ANYWHERE, partial=True)
        return agreement(mine, theirs, interface)
    return 0.0


def _consensus(context: Context, human: list[Label]) -> float | None:
    latest = {label.author_id: label for label in human if label.label_type == "DEFAULT"}
    marks = [_agreement(context, one, other) for one, other in combinations(latest.values(), 2)]
    known = [value for value in marks if value is not None]
    return sum(known) / len(known) if known else None
