"""Verdicts for retraining: one JSON object per answered prediction, with both responses."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from worker.feedback.reading import ASSETS_PER_PAGE, ReadAsset
from worker.feedback.records import AssetRecord
from worker.feedback.samples import SampledCase, cases_by_model
from worker.reports.gallery import responses

logger = logging.getLogger(__name__)


class ExportSource(Protocol):
    """Reads assets by id."""

    def assets(self, project: str, asset_ids: Sequence[str]) -> list[ReadAsset]:
        """Those of the assets that exist."""


def export_rows(records: Iterable[AssetRecord], source: ExportSource, project: str) -> Iterator[dict[str, Any]]:
    """Read the answered assets from Kili again and give a row per model version; one call per 50 assets.

    Assets with a label file that cannot be read are left out, which the log says.
    """
    answered: dict[str, list[SampledCase]] = {}
    for cases in cases_by_model(records).values():
        for case in cases:
            if case.sample.answered:
                answered.setdefault(case.record.asset_id, []).append(case)
    ids = sorted(answered)
    for start in range(0, len(ids), ASSETS_PER_PAGE):
        found = source.assets(project, ids[start : start + ASSETS_PER_PAGE])
        whole = [asset for asset in found if not any(label.unread for label in asset.labels)]
        if len(whole) < len(found):
            extra = {"action": "export_left_out", "assets": len(found) - len(whole)}
            logger.warning("%d assets left out: a label file cannot be read", len(found) - len(whole), extra=extra)
        for asset in whole:
            yield from (_row(case, asset) for case in answered[asset.id])


def _row(case: SampledCase, asset: ReadAsset) -> dict[str, Any]:
    stated, meant = responses(asset, case.answer.model)
    decision = case.record.decision
    return {
        "asset_id": asset.id,
        "external_id": asset.external_id,
        "content": asset.content,
        "model": case.answer.model,
        "agreement": 1 - (case.sample.error or 0.0),
        "disagrees": (case.sample.error or 0.0) > 0,
        "model_response": stated,
        "human_response": meant,
        "labels": [verdict.label_id for verdict in case.standing],
        "authors": [verdict.author for verdict in case.standing],
        "predicted_at": datetime.fromtimestamp(case.sample.at, UTC).isoformat(),
        "answered_at": datetime.fromtimestamp(case.sample.answered_at, UTC).isoformat(),
        "confidence": case.confidence,
        "p_error": case.sample.p_error,
        "audit": case.sample.audited,
        "reason": decision.reason if decision else "",
    }
