"""What exists, in numbers and in full, straight from the state."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .errors import no_access
from .records import Asset, Label
from .tables import Tables
from .workflow import is_queued, queue_order


def state(tables: Tables, *, project_id: str | None, is_full: bool) -> dict[str, Any]:
    """Return counts of everything, or of one project; `is_full` adds every asset with its labels."""
    if project_id is None:
        assets, labels = list(tables.assets.values()), list(tables.labels.values())
    else:
        _check(tables, project_id)
        assets = list(tables.assets_of(project_id).values())
        labels = list(tables.labels_of(project_id).values())
    counted = {"projects": len(tables.projects), **_counts(assets, labels)}
    if project_id is None:
        counted["project_ids"] = list(tables.projects)
    if is_full:
        counted["items"] = [_item(tables, asset) for asset in assets]
    return counted


def queue(tables: Tables, *, project_id: str, first: int) -> list[dict[str, Any]]:
    """Return the head of a project's labeling queue: priority descending, then creation ascending."""
    _check(tables, project_id)
    project = tables.projects[project_id]
    waiting = (asset for asset in tables.assets_of(project_id).values() if is_queued(asset, project))
    return [
        {"id": asset.id, "externalId": asset.external_id, "priority": asset.priority}
        for asset in heapq.nsmallest(first, waiting, key=queue_order)
    ]


def _check(tables: Tables, project_id: str) -> None:
    if project_id not in tables.projects:
        raise no_access("project")


def _counts(assets: Iterable[Asset], labels: Iterable[Label]) -> dict[str, Any]:
    names = Counter((asset.project_id, asset.external_id) for asset in assets)
    predictions = Counter((label.asset_id, label.model_name) for label in labels if label.label_type == "INFERENCE")
    return {
        "assets": names.total(),
        "external_ids": len(names),
        "duplicate_external_ids": _surplus(names),
        "labels": dict(Counter(label.label_type for label in labels)),
        "models": dict(Counter(label.model_name or "" for label in labels if label.label_type == "INFERENCE")),
        "duplicate_inference_labels": _surplus(predictions),
        "priorities": dict(Counter(asset.priority for asset in assets)),
        "step_statuses": dict(Counter(asset.step_status for asset in assets)),
    }


def _surplus(counts: Counter[Any]) -> int:
    return sum(count - 1 for count in counts.values())


def _item(tables: Tables, asset: Asset) -> dict[str, Any]:
    return {
        "id": asset.id,
        "externalId": asset.external_id,
        "projectId": asset.project_id,
        "content": asset.content,
        "priority": asset.priority,
        "jsonMetadata": asset.json_metadata,
        "stepStatus": asset.step_status,
        "createdAt": asset.created_at,
        "labels": [
            {
                "id": label.id,
                "modelName": label.model_name,
                "labelType": label.label_type,
                "jsonResponse": label.json_response,
                "inferenceMark": label.inference_mark,
                "createdAt": label.created_at,
            }
            for label in tables.labels_on(asset.id)
        ],
    }
