"""The predictions of a model version as cases, and their agreement cut in every way a person may ask for.

There is one case per prediction, for all jobs together or for one. Cuts are by time, class, slice, confidence and
confusion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor, fsum
from typing import Any

from worker.feedback.records import Answer, AssetRecord, Classes, Decision, HumanVerdict
from worker.statistics.estimator import Estimate, estimate_of
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


BUCKETS = (60.0, 300.0, 900.0, 3600.0, 6 * 3600.0, 86_400.0, 2 * 86_400.0, 7 * 86_400.0, 28 * 86_400.0)
"""Lengths of time, in seconds, from which that of the report's windows is chosen."""

MOST_BUCKETS = 40
BUCKET_AUDITS = 5
NOTHING = "—"


@dataclass(frozen=True, slots=True)
class Weighed:
    """Cases with the number of unanswered ones that each stands for, from weighing the whole population."""

    cases: Sequence[SampledCase]
    weights: Sequence[float]

    def estimate(self) -> Estimate:
        """Agreement of these cases."""
        return estimate_of([case.sample for case in self.cases], self.weights)

    def grouped(self, key: Callable[[SampledCase], Iterable[Any]]) -> dict[Any, Weighed]:
        """Cut into groups; a case may be in several."""
        groups: dict[Any, tuple[list[SampledCase], list[float]]] = defaultdict(lambda: ([], []))
        for case, weight in zip(self.cases, self.weights, strict=True):
            for name in key(case):
                cases, weights = groups[name]
                cases.append(case)
                weights.append(weight)
        return {name: Weighed(*groups[name]) for name in sorted(groups)}

    def answered(self) -> list[tuple[SampledCase, float]]:
        """Answered cases, each with the number of predictions it stands for, itself included."""
        pairs = zip(self.cases, self.weights, strict=True)
        return [(case, 1 + weight) for case, weight in pairs if case.sample.answered]


def bucket_of(groups: Iterable[Sequence[SampledCase]]) -> float:
    """Choose the windows' length, in seconds: the shortest with five audits in each on average, and at most 40 windows.

    One length serves all groups, so that model versions can be compared.
    """
    lengths = [_bucket(cases) for cases in groups if cases]
    return max(lengths, default=BUCKETS[-1])


def _bucket(cases: Sequence[SampledCase]) -> float:
    times = [case.sample.at for case in cases]
    audits = sum(case.sample.audited and case.sample.answered for case in cases)
    count = min(MOST_BUCKETS, max(1, audits // BUCKET_AUDITS))
    span = max(times) - min(times)
    return next((length for length in BUCKETS if span / length <= count), BUCKETS[-1])


def by_time(whole: Weighed, bucket: float) -> list[dict[str, Any]]:
    """Agreement per window of time."""
    groups = whole.grouped(lambda case: [floor(case.sample.at / bucket)])
    return [
        {"start": number * bucket, "end": (number + 1) * bucket, **estimate_row(part.estimate())}
        for number, part in groups.items()
    ]


def by_class(whole: Weighed, job: str, days: float) -> list[dict[str, Any]]:
    """Agreement per class that the model gave, most estimated errors a day first."""
    return _ranked(whole.grouped(lambda case: case.answer.classes.get(job, ())), days)


def by_human_class(whole: Weighed, job: str) -> list[dict[str, Any]]:
    """Agreement of answered cases per class that the humans gave, the worst first."""
    groups = whole.grouped(lambda case: {name for one in case.standing for name in one.classes.get(job, ())})
    rows = [{"name": str(name), **estimate_row(part.estimate())} for name, part in groups.items()]
    return sorted(rows, key=lambda row: (row["value"] is None, row["value"], row["name"]))


def by_slice(whole: Weighed, days: float) -> dict[str, list[dict[str, Any]]]:
    """Agreement per value of each metadata key that has more than one value and not one per asset."""
    keys = sorted({key for case in whole.cases for key in case.record.slices})
    found: dict[str, list[dict[str, Any]]] = {}
    for key in keys:
        values = {case.record.slices[key] for case in whole.cases if key in case.record.slices}
        if 1 < len(values) <= max(2, len(whole.cases) // 5):
            found[key] = _ranked(whole.grouped(lambda case, key=key: _slice(case, key)), days)  # type: ignore[misc]
    return found


def _slice(case: SampledCase, key: str) -> list[str]:
    return [case.record.slices[key]] if key in case.record.slices else []


def _ranked(groups: dict[Any, Weighed], days: float) -> list[dict[str, Any]]:
    rows = []
    for name, part in groups.items():
        estimate = part.estimate()
        errors = None if estimate.value is None else (1 - estimate.value) * estimate.population / days
        rows.append({"name": str(name), "errors_per_day": errors, **estimate_row(estimate)})
    return sorted(rows, key=lambda row: -(row["errors_per_day"] or 0.0))


def confusion(whole: Weighed, job: str) -> list[dict[str, Any]]:
    """What the model said against what the humans said, most frequent first.

    ``answers`` counts verdicts; ``estimated`` is how many predictions of the whole traffic they stand for.
    """
    counts: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for case, stands_for in whole.answered():
        standing = case.standing
        for verdict in standing:
            for pair in class_pairs(case.answer.classes, verdict.classes, job):
                counts[pair][0] += 1 / len(standing)
                counts[pair][1] += stands_for / len(standing)
    rows = [
        {"model": model, "human": human, "answers": round(answers, 3), "estimated": round(estimated, 1)}
        for (model, human), (answers, estimated) in counts.items()
    ]
    return sorted(rows, key=lambda row: (-row["estimated"], row["model"], row["human"]))


def class_pairs(model: Classes, human: Classes, job: str) -> list[tuple[str, str]]:
    """Match the classes of two answers: equal ones, a single one with a single one, the rest with nothing."""
    stated, meant = model.get(job, []), human.get(job, [])
    only_stated = [name for name in stated if name not in meant]
    only_meant = [name for name in meant if name not in stated]
    pairs = [(name, name) for name in stated if name in meant]
    if len(only_stated) == len(only_meant) == 1:
        return [*pairs, (only_stated[0], only_meant[0])]
    return [*pairs, *((name, NOTHING) for name in only_stated), *((NOTHING, name) for name in only_meant)]


def reliability(whole: Weighed, read: Callable[[SampledCase], float | None], bins: int = 10) -> list[dict[str, Any]]:
    """Agreement per range of a stated probability of being right, estimated for the whole traffic."""
    groups: dict[int, list[tuple[float, SampledCase, float]]] = defaultdict(list)
    for case, stands_for in whole.answered():
        stated = read(case)
        if stated is not None:
            groups[min(bins - 1, int(stated * bins))].append((stated, case, stands_for))
    rows = []
    for number in sorted(groups):
        part = groups[number]
        total = fsum(weight for _, _, weight in part)
        right = fsum(weight * (1 - (case.sample.error or 0.0)) for _, case, weight in part)
        stated = fsum(weight * value for value, _, weight in part) / total
        rows.append({"stated": stated, "agreement": right / total, "answers": len(part), "estimated": round(total, 1)})
    return rows


def estimate_row(estimate: Estimate) -> dict[str, Any]:
    """An estimate as plain data, with every number a reader needs to judge it."""
    return {name: getattr(estimate, name) for name in Estimate.__slots__}
