"""What the review policy learns from: verdicts on the predictions it decided about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import fsum

from worker.feedback.reading import ReadAsset
from worker.feedback.records import Answer, AssetRecord
from worker.review import ReviewDecision, Verdict

Judged = tuple[ReadAsset, AssetRecord]


def lessons(project: str, judged: Iterable[Judged]) -> Iterator[Verdict]:
    """Give, for each asset with answers that count, what they say of the model version it was decided for."""
    for asset, record in judged:
        decision = ReviewDecision.from_metadata(asset.metadata)
        if decision is None or record.decision is None:
            continue
        for answer in record.answers:
            wrong = _wrong(answer, decision.job)
            if answer.model == record.decision.model and wrong is not None:
                yield Verdict(project, answer.model, decision, wrong, record.external_id)


def _wrong(answer: Answer, job: str) -> float | None:
    values = [one.jobs.get(job, one.agreement) for one in answer.verdicts if one.standing]
    return min(1.0, max(0.0, 1 - fsum(values) / len(values))) if values else None
