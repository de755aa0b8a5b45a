"""How an asset moves from labeling to done or review, and the marks that Kili writes on the way.

Two published rules turn J, the overall agreement of two answers, into a mark. `documented`: the mark is J. `tutorial`:
(1 + J) / 2, the consensus formula (votes of two over the categories chosen by either) whose figures Kili's tutorial on
inference labels prints.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from itertools import combinations

from worker.sandbox.records import HUMAN_TYPES, Asset, Label, Project
from worker.sandbox.resolvers.context import Context
from worker.sandbox.responses.agreement import agreement
from worker.sandbox.responses.reading import AnnotatedContent, Interface, Malformed
from worker.sandbox.responses.validation import check_json_response
from worker.sandbox.store import Tables

#: Whatever the asset was, its labels were taken: only their form matters here.
ANYWHERE = AnnotatedContent(is_georeferenced=True)


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
            check_json_response(response, interface, asset_content=ANYWHERE, partial=True)
        return agreement(mine, theirs, interface)
    return 0.0


def _consensus(context: Context, human: list[Label]) -> float | None:
    latest = {label.author_id: label for label in human if label.label_type == "DEFAULT"}
    marks = [_agreement(context, one, other) for one, other in combinations(latest.values(), 2)]
    known = [value for value in marks if value is not None]
    return sum(known) / len(known) if known else None


#: Step statuses in which an asset waits for a labeler or a reviewer.
WAITING = frozenset({"TO_DO", "REWORK"})

#: Former names of step statuses.
RENAMED = {"DOING": "IN_PROGRESS", "REDO": "REWORK"}


def current_status(name: str) -> str:
    """Return today's name of a step status."""
    return RENAMED.get(name, name)


def legacy_status(asset: Asset, tables: Tables) -> str:
    """Return the status of the time before workflow steps: TODO, ONGOING, LABELED, TO_REVIEW or REVIEWED."""
    in_review = asset.step_id == tables.projects[asset.project_id].review_step.id
    if asset.step_status == "DONE":
        return "REVIEWED" if in_review else "LABELED"
    if in_review:
        return "TO_REVIEW"
    return "TODO" if asset.step_status in {"TO_DO", "SKIPPED"} else "ONGOING"


def is_waiting(asset: Asset) -> bool:
    """Tell whether an asset waits for work in its step."""
    return asset.step_status in WAITING and not asset.skipped


def is_queued(asset: Asset, project: Project) -> bool:
    """Tell whether an asset stands in the labelers' queue."""
    return is_waiting(asset) and asset.step_id == project.labeling_step.id


def queue_order(asset: Asset) -> tuple[int, int]:
    """Return the key that sorts assets as Kili's queue does: priority descending, then creation ascending."""
    return (-asset.priority, asset.sequence)


def labeled(asset: Asset, project: Project, label_type: str, now: str) -> Asset:
    """Return an asset after a label of this type: predictions of any kind do not move it."""
    match label_type:
        case "DEFAULT":
            step, status = project.labeling_step, "DONE"
        case "REVIEW":
            step, status = project.review_step, "DONE"
        case "AUTOSAVE":
            step, status = project.labeling_step, "IN_PROGRESS"
        case _:
            return asset
    return replace(asset, step_id=step.id, step_status=status, skipped=False, updated_at=now)


def to_review(asset: Asset, project: Project, now: str) -> Asset | None:
    """Return an asset waiting for review, or None when it has not been labeled yet."""
    if asset.step_id != project.labeling_step.id or asset.step_status != "DONE":
        return None
    return replace(asset, step_id=project.review_step.id, step_status="TO_DO", updated_at=now)


def back_to_queue(asset: Asset, project: Project, now: str) -> Asset | None:
    """Return an asset waiting for a labeler once more, or None when it still waits or is skipped."""
    if asset.skipped or (asset.step_id == project.labeling_step.id and asset.step_status == "TO_DO"):
        return None
    return replace(asset, step_id=project.labeling_step.id, step_status="REWORK", updated_at=now)
