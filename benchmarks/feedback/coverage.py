"""Bias, coverage and width of the estimate of live traffic, beside the naive average and random samples."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from math import fsum, sqrt

from benchmarks.feedback.goals import Goal, Part
from benchmarks.feedback.queues import load_queues, queue_of
from benchmarks.feedback.stream import Day, Setting, Traffic
from benchmarks.feedback.workers import Spread, here
from worker.statistics.estimator import estimate_agreement, wilson

DAYS = 25
"""Days that are taken from one stream, with one history of learning."""

THROWS = 5
"""How often the audit coin is thrown on each day: repetitions of the design on the same predictions."""

_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval of agreement, 0-1, the value within it, and how many answers it rests on."""

    value: float
    low: float
    high: float
    labels: int

    def covers(self, truth: float) -> bool:
        """Whether the truth lies within."""
        return self.low - _SLACK <= truth <= self.high + _SLACK


@dataclass(frozen=True, slots=True)
class Judged:
    """One day: the answers as if drawn at random, the estimate, as many audits alone, as many labels at random."""

    truth: float
    naive: Interval
    ours: Interval
    audits: Interval
    random: Interval


@dataclass(frozen=True, slots=True)
class Quality:
    """How an estimator did on a queue; agreement in points of a hundred.

    Attributes:
        width_of_audits: of Wilson's interval on a flat audit sample alone, as large as ours, of the same days; the
            priority reviews, which find the errors, come on top of either.
        width_of_random: of Wilson's interval on all labels, had they been drawn at random.
        coverage_of_naive: of Wilson's interval around the plain average of the answers.
        labels: answers a day, ``audits`` of them by the audit coin.
    """

    queue: str
    repetitions: int
    agreement: float
    bias: float
    rmse: float
    coverage: float
    width: float
    width_of_audits: float
    coverage_of_audits: float
    width_of_random: float
    naive_bias: float
    coverage_of_naive: float
    labels: float
    audits: float

    @property
    def relative_width(self) -> float:
        """Width of the interval as a share of that of the audits alone."""
        return self.width / self.width_of_audits


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is repeated on each queue: streams x days x throws of the audit coin."""

    streams: int = 4
    days: int = DAYS
    throws: int = THROWS


def measure(queue: str, plan: Plan, setting: Setting, spread: Spread[list[Judged]] = here) -> Quality:
    """Estimate on many days of a queue."""
    return measure_all([queue], plan, setting, spread)[0]


def measure_all(
    queues: Sequence[str], plan: Plan, setting: Setting, spread: Spread[list[Judged]] = here
) -> list[Quality]:
    """Estimate on many days of every queue."""
    seeds = range(1, plan.streams + 1)
    found = spread(judge, [(queue, seed, plan, setting) for queue in queues for seed in seeds])
    parts = [found[start : start + len(seeds)] for start in range(0, len(found), len(seeds))]
    return [_quality(queue, [one for part in some for one in part]) for queue, some in zip(queues, parts, strict=True)]


def judge(queue: str, seed: int, plan: Plan, setting: Setting) -> list[Judged]:
    """Estimate on the first days of one stream."""
    dice = random.Random(seed)
    found = []
    for day in islice(Traffic(queue_of(queue), setting, seed).days(), plan.days):
        throws = [day, *(day.thrown_again(setting, dice) for _ in range(plan.throws - 1))]
        found += [_judged(one, dice) for one in throws]
    return found


def _judged(day: Day, dice: random.Random) -> Judged:
    found = estimate_agreement(day.samples)
    value = found.value if found.value is not None else 0.5
    return Judged(
        truth=day.agreement,
        naive=_sampled([sample.error > 0 for sample in day.samples if sample.error is not None]),
        ours=Interval(value, found.low, found.high, found.verdicts),
        audits=_sampled(dice.sample(day.wrong, found.audits)),
        random=_sampled(dice.sample(day.wrong, found.verdicts)),
    )


def _sampled(wrong: Sequence[bool]) -> Interval:
    share = sum(wrong) / max(1, len(wrong))
    low, high = wilson(share, len(wrong))
    return Interval(1 - share, 1 - high, 1 - low, len(wrong))


def _quality(queue: str, days: Sequence[Judged]) -> Quality:
    errors = [day.ours.value - day.truth for day in days]
    return Quality(
        queue=queue,
        repetitions=len(days),
        agreement=100 * _mean(day.truth for day in days),
        bias=100 * _mean(errors),
        rmse=100 * sqrt(_mean(error * error for error in errors)),
        coverage=_mean(day.ours.covers(day.truth) for day in days),
        width=100 * _mean(day.ours.high - day.ours.low for day in days),
        width_of_audits=100 * _mean(day.audits.high - day.audits.low for day in days),
        coverage_of_audits=_mean(day.audits.covers(day.truth) for day in days),
        width_of_random=100 * _mean(day.random.high - day.random.low for day in days),
        naive_bias=100 * _mean(day.naive.value - day.truth for day in days),
        coverage_of_naive=_mean(day.naive.covers(day.truth) for day in days),
        labels=_mean(day.ours.labels for day in days),
        audits=_mean(day.audits.labels for day in days),
    )


def overall(qualities: Sequence[Quality], name: str = "all") -> Quality:
    """The mean of all queues."""
    fields = [name for name in Quality.__slots__ if name not in ("queue", "repetitions")]
    means = {name: _mean(getattr(one, name) for one in qualities) for name in fields}
    return Quality(queue=name, repetitions=sum(one.repetitions for one in qualities), **means)


def part(plan: Plan, spread: Spread[list[Judged]]) -> Part:
    """Measure all queues, and some of their days with the stronger scorer."""
    queues = [queue.name for queue in load_queues()]
    qualities = measure_all(queues, plan, Setting(), spread)
    every = overall(qualities)
    scored = measure_all(queues, replace(plan, streams=1), Setting(scorer="automatic"), spread)
    stronger = overall(scored, "all, with the stronger scorer")
    worst = min(qualities, key=lambda one: one.coverage)
    goals = (
        Goal("bias, absolute, in points", 0.3, abs(every.bias)),
        Goal("coverage of the 95 % interval", 0.93, every.coverage, most=False),
        Goal(f"coverage in the worst queue ({worst.queue})", 0.92, worst.coverage, most=False),
        Goal("width, of that of as many audits alone", 0.75, every.relative_width),
        Goal("repetitions in each queue", 500, worst.repetitions, most=False),
    )
    rows = [*qualities, every, stronger]
    return Part(table(rows), [asdict(one) for one in rows], goals)


def table(qualities: Sequence[Quality]) -> str:
    """A table in Markdown."""
    head = (
        "| queue | agreement | bias | RMSE | coverage | width | audits alone: coverage, width | width, relative "
        "| as many labels at random: width | naive bias |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *map(_line, qualities)])


def _line(one: Quality) -> str:
    ours = f"{one.bias:+.2f} | {one.rmse:.2f} | {one.coverage:.3f} | {one.width:.1f}"
    others = f"{one.coverage_of_audits:.3f}, {one.width_of_audits:.1f} | {one.relative_width:.2f}"
    last = f"{one.width_of_random:.1f} | {one.naive_bias:+.1f}"
    return f"| {one.queue} | {one.agreement:.1f} | {ours} | {others} | {last} |"


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return fsum(found) / len(found)
