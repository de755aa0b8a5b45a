"""From records to the statistics: one case per prediction of a model version, for all jobs together or for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum

from worker.feedback.records import Answer, AssetRecord, Decision, HumanVerdict
from worker.statistics.samples import Sample

AUDIT_BAND = 2


@dataclass(frozen=True, slots=True)
class SampledCase:
    """One prediction with its asset; ``confidence`` is the model's own, where it is known."""

    sample: Sample
    record: AssetRecord
    answer: Answer
    confidence: float | None

    @property
    def standing(self) -> list[HumanVerdict]:
        """The verdicts that count."""
        return [verdict for verdict in self.answer.verdicts if verdict.standing]


def cases_by_model(
    records: Iterable[AssetRecord], job: str | None = None, jobs: int = 1
) -> dict[str, list[SampledCase]]:
    """Group the predictions by model version, in the order of their first one.

    ``job`` restricts agreement to one of the project's ``jobs`` jobs.
    """
    found: dict[str, list[SampledCase]] = {}
    for record in records:
        for answer in record.answers:
            case = _case(record, answer, job, jobs)
            found.setdefault(answer.model, []).append(case)
    return dict(sorted(found.items(), key=lambda pair: min(case.sample.at for case in pair[1])))


def pairs_of(first: Sequence[SampledCase], second: Sequence[SampledCase]) -> list[tuple[Sample, Sample]]:
    """Pair the predictions of two model versions on the same assets."""
    others = {case.sample.asset_id: case.sample for case in second}
    return [(case.sample, others[case.sample.asset_id]) for case in first if case.sample.asset_id in others]


def is_audit(record: AssetRecord) -> bool:
    """Whether the audit draw chose the asset before any human had answered.

    What was answered before the decision was answered whatever the draw said. The decision is dated by the prediction
    or by its label, whichever is earlier: the one may come from a wrong clock, the other from a late repeat.
    """
    decision = record.decision
    if decision is None or decision.band != AUDIT_BAND:
        return False
    labelled = [answer.at for answer in record.answers if answer.model == decision.model]
    return record.first_human is None or record.first_human >= min([decision.at, *labelled])


def _case(record: AssetRecord, answer: Answer, job: str | None, jobs: int) -> SampledCase:
    decision = record.decision
    own = decision if decision is not None and decision.model == answer.model else None
    standing = [verdict for verdict in answer.verdicts if verdict.standing]
    sample = Sample(
        asset_id=record.asset_id,
        at=own.at if own else answer.at,
        audited=is_audit(record),
        inclusion=(decision.inclusion if decision else None) or 1.0,
        doubt=_doubt(decision),
        p_error=own.p_error if own and (job is None or jobs == 1) else None,
        error=_error(standing, job),
        copies=1 / decision.uploaded if decision and decision.band == 0 else 1.0,
        answered_at=max((verdict.at for verdict in standing), default=0.0),
        uploaded_at=answer.at,
        asked=own is not None and own.band not in (0, AUDIT_BAND),
    )
    return SampledCase(sample, record, answer, own.confidence if own else None)


def _doubt(decision: Decision | None) -> float:
    """What the asset was ranked by, whichever model version it was decided for."""
    if decision is None:
        return 0.5
    if decision.p_error is not None:
        return decision.p_error
    return 1 - decision.confidence if decision.confidence is not None else 0.5


def _error(standing: Sequence[HumanVerdict], job: str | None) -> float | None:
    """1 - the mean agreement; a job that neither side answered is agreed on."""
    if not standing:
        return None
    values = [verdict.agreement if job is None else verdict.jobs.get(job, 1.0) for verdict in standing]
    return min(1.0, max(0.0, 1 - fsum(values) / len(values)))
