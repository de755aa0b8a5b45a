"""Everything a report says, as one structure of plain data, computed from the records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median, quantiles
from typing import Any

from worker.feedback import breakdown
from worker.feedback.alarms import alarm_row, disagreement_row, refreshed
from worker.feedback.breakdown import SampledCase, Weighed, cases_by_model, pairs_of
from worker.feedback.drift import watch
from worker.feedback.records import AssetRecord
from worker.ontology import Interface
from worker.statistics.detectors import RUN_LENGTH
from worker.statistics.estimator import compare
from worker.statistics.samples import weigh

DAY = 86_400.0
MARK_DIRECTION = (0.99, 0.75)
"""One of the two figures is at least the first and the other at most the second."""


@dataclass(frozen=True, slots=True)
class ReportQuestion:
    """What the figures are to be about.

    Attributes:
        now: Unix seconds.
        days: how far back predictions are looked at.
        audit_sla: seconds after which an audit without an answer is overdue.
        run_length: the drift detectors' knob.
        drift: per model version what its detectors say, as in the answer; None: what they say of the records alone.
    """

    now: float
    days: float = 30.0
    audit_sla: float = 72 * 3600.0
    run_length: float = RUN_LENGTH
    drift: Mapping[str, Mapping[str, Any]] | None = None


def report_data_of(records: Iterable[AssetRecord], interface: Interface, question: ReportQuestion) -> dict[str, Any]:
    """Compute every figure of a project."""
    chosen = [record for record in records if newest(record) >= question.now - question.days * DAY]
    jobs = [job.name for job in interface.root_jobs]
    by_model = cases_by_model(chosen)
    by_job = {job: by_model if len(jobs) == 1 else cases_by_model(chosen, job, len(jobs)) for job in jobs}
    bucket = breakdown.bucket_of(by_model.values())
    models = [
        _model(model, cases, {job: found.get(model, []) for job, found in by_job.items()}, bucket, question)
        for model, cases in by_model.items()
    ]
    return {
        "at": question.now,
        "days": question.days,
        "window": bucket,
        "models": models,
        "earlier_alarms": [
            alarm for model, one in (question.drift or {}).items() if model not in by_model for alarm in one["alarms"]
        ],
        "comparisons": _comparisons(by_model),
        "reviewers": _reviewers(chosen, question.now),
        "marks": _marks(by_model),
    }


def disagreements(records: Iterable[AssetRecord], limit: int | None = None) -> list[dict[str, Any]]:
    """The answered predictions that humans did not confirm, the most confident ones first."""
    found = [
        disagreement_row(case)
        for cases in cases_by_model(records).values()
        for case in cases
        if case.sample.error is not None and case.sample.error > 0
    ]
    found.sort(key=lambda row: (-(row["confidence"] or 0.0) * (1 - row["agreement"]), -row["answered_at"]))
    return found[:limit]


def contradicts(agreement: float, mark: float) -> bool:
    """Whether our figure and Kili's mark point in opposite directions; formulas may differ for what is half right."""
    low, high = sorted((agreement, mark))
    return high >= MARK_DIRECTION[0] and low <= MARK_DIRECTION[1]


def newest(record: AssetRecord) -> float:
    """When the last was said of an asset by a model, seconds since the epoch."""
    times = [answer.at for answer in record.answers]
    return max([*times, record.decision.at if record.decision else 0.0])


def _model(
    model: str,
    cases: list[SampledCase],
    by_job: Mapping[str, list[SampledCase]],
    bucket: float,
    question: ReportQuestion,
) -> dict[str, Any]:
    whole = _weighed(cases)
    days = _span_days(cases)
    return {
        "model": model,
        "first_at": min(case.sample.at for case in cases),
        "last_at": max(case.sample.at for case in cases),
        "agreement": breakdown.estimate_row(whole.estimate()),
        "windows": breakdown.by_time(whole, bucket),
        "jobs": {job: _job(_weighed(found), job, days) for job, found in by_job.items()},
        "slices": breakdown.by_slice(whole, days),
        "confidence": breakdown.reliability(whole, lambda case: case.confidence),
        "p_error": breakdown.reliability(whole, _probably_right),
        "audits": _audits(cases, question),
        "verdict_seconds": _delays(cases),
        "drift": _drift(model, whole, question),
    }


def _probably_right(case: SampledCase) -> float | None:
    return None if case.sample.p_error is None else 1 - case.sample.p_error


def _weighed(cases: Sequence[SampledCase]) -> Weighed:
    return Weighed(cases, weigh([case.sample for case in cases]))


def _span_days(cases: Sequence[SampledCase]) -> float:
    times = [case.sample.at for case in cases]
    return max((max(times) - min(times)) / DAY, 1 / 24)


def _job(whole: Weighed, job: str, days: float) -> dict[str, Any]:
    return {
        "agreement": breakdown.estimate_row(whole.estimate()),
        "classes": breakdown.by_class(whole, job, days),
        "confusion": breakdown.confusion(whole, job),
    }


def _audits(cases: Sequence[SampledCase], question: ReportQuestion) -> dict[str, Any]:
    """The audit sample: non-response is what makes an honest figure less so."""
    audits = [case.sample for case in cases if case.sample.audited]
    waiting = [sample for sample in audits if not sample.answered]
    return {
        "drawn": len(audits),
        "answered": len(audits) - len(waiting),
        "waiting": len(waiting),
        "overdue": sum(sample.at < question.now - question.audit_sla for sample in waiting),
        "oldest_waiting": min((sample.at for sample in waiting), default=None),
    }


def _delays(cases: Sequence[SampledCase]) -> dict[str, float] | None:
    """Time from prediction to verdict, in seconds."""
    delays = [case.sample.answered_at - case.sample.at for case in cases if case.sample.answered]
    if len(delays) < 2:
        return None
    return {"median": median(delays), "p90": quantiles(delays, n=10)[8], "longest": max(delays)}


def _drift(model: str, whole: Weighed, question: ReportQuestion) -> dict[str, Any]:
    """What the detectors have found so far; or what they say of these predictions alone, where that was not given."""
    if question.drift is not None:
        known = question.drift.get(model, {"states": {}, "alarms": [], "points": []})
        return {**known, "alarms": [refreshed(row, whole) for row in known["alarms"]]}
    found = watch(
        model,
        ((case.sample, case.confidence) for case in whole.cases),
        overdue_before=question.now - question.audit_sla,
        acknowledged={},
        run_length=question.run_length,
    )
    return {
        "states": {name: state.value for name, state in found.states.items()},
        "alarms": [alarm_row(alarm, whole) for alarm in found.alarms],
        "points": [asdict(point) for point in found.points],
    }


def _comparisons(by_model: Mapping[str, list[SampledCase]]) -> list[dict[str, Any]]:
    """Each model version against the one before it, on the assets both have predicted."""
    rows = []
    for (first, first_cases), (second, second_cases) in pairwise(by_model.items()):
        pairs = pairs_of(second_cases, first_cases)
        if pairs:
            found = compare(pairs)
            rows.append({"champion": first, "challenger": second, "decided": found.decided, **asdict(found)})
    return rows


def _reviewers(records: Sequence[AssetRecord], now: float) -> dict[str, Any]:
    """How many answers a day the humans give, and what waits for them."""
    verdicts = {v.label_id: v for record in records for answer in record.answers for v in answer.verdicts}
    per_day = Counter(int(verdict.at // DAY) for verdict in verdicts.values())
    waiting = [record for record in records if record.decision and record.decision.band and record.first_human is None]
    oldest = min((record.decision.at for record in waiting if record.decision), default=None)
    seconds = [verdict.seconds for verdict in verdicts.values() if verdict.seconds]
    return {
        "rules": sorted({_rule(record.decision.policy) for record in records if record.decision} - {""}),
        "people": len({verdict.author for verdict in verdicts.values()}),
        "verdicts": len(verdicts),
        "per_day": [{"day": day * DAY, "verdicts": count} for day, count in sorted(per_day.items())],
        "capacity_per_day": median(per_day.values()) if per_day else None,
        "median_seconds": median(seconds) if seconds else None,
        "waiting": dict(Counter(str(record.decision.band) for record in waiting if record.decision)),
        "longest_wait": None if oldest is None else now - oldest,
    }


def _rule(policy: str) -> str:
    """The rule's name in ``policy/version/rule``."""
    return policy.rpartition("/")[2]


def _marks(by_model: Mapping[str, list[SampledCase]]) -> dict[str, Any]:
    """Kili's own figure beside ours: how often the two point in opposite directions."""
    compared, conflicts = 0, []
    for model, cases in by_model.items():
        for case in cases:
            for verdict in case.standing:
                if verdict.mark is None:
                    continue
                compared += 1
                if contradicts(verdict.agreement, verdict.mark):
                    row = {"asset_id": case.record.asset_id, "external_id": case.record.external_id, "model": model}
                    conflicts.append({**row, "agreement": verdict.agreement, "mark": verdict.mark})
    return {"compared": compared, "conflicts": len(conflicts), "examples": conflicts[:10]}
