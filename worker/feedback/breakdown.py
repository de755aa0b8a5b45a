"""One model version's agreement cut in every way a person may ask for: time, class, slice, confidence, confusion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor, fsum
from typing import Any

from worker.feedback.records import Classes
from worker.feedback.samples import SampledCase
from worker.statistics.estimator import Estimate, estimate_of

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
