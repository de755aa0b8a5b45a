"""Verdicts on traced predictions, as they are told on the trace."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from worker.feedback.reading import ReadAsset
from worker.feedback.records import AssetRecord
from worker.tracing import TRACE_KEY, Evaluation, parsed


def evaluations(
    project: str, pairs: Iterable[tuple[ReadAsset, AssetRecord]], before: Collection[str]
) -> Iterator[Evaluation]:
    """Those verdicts that are new, by the ids of their labels, and about the prediction whose trace the asset keeps."""
    for asset, record in pairs:
        context = trace_of(asset)
        if not context or record.decision is None:
            continue
        for answer in record.answers:
            for verdict in answer.verdicts if answer.model == record.decision.model else ():
                if verdict.label_id not in before:
                    yield Evaluation(
                        context,
                        project,
                        answer.model,
                        verdict.label_id,
                        verdict.label_type,
                        verdict.at,
                        verdict.agreement,
                    )


def trace_of(asset: ReadAsset) -> str:
    """The context in the asset's metadata; empty when it is about an earlier prediction.

    A worker of a release without traces leaves it behind when it writes a newer prediction.
    """
    parent, _, moment = str(asset.metadata.get(TRACE_KEY, "")).partition(" ")
    return parsed(parent) if moment and moment == asset.metadata.get("prediction_at") else ""
