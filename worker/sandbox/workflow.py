"""How an asset moves: labeling step, then done, or review, or back to the queue."""

from __future__ import annotations

from dataclasses import replace

from .records import Asset, Project
from .tables import Tables

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
