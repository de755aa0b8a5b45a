"""Bias, coverage and width of the estimate of live traffic, beside the naive average and the audits alone."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import fsum, sqrt

from benchmarks.feedback.queues import Queue
from benchmarks.feedback.stream import Day, Setting, days
from worker.feedback.estimator import estimate_agreement
from worker.feedback.intervals import wilson

REPETITIONS_OF_A_STREAM = 25
"""Days that are taken from one stream, with one history of learning."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How an estimator did on a queue; agreement in points of a hundred.

    ``width_of_audits`` is that of Wilson's interval on a flat audit sample alone, as large as ours, of the same days.
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
    naive_bias: float
    labels: float

    @property
    def relative_width(self) -> float:
        """Width of the interval as a share of that of the audits alone."""
        return self.width / self.width_of_audits


def measure(queue: Queue, repetitions: int, setting: Setting, seed: int = 1) -> Quality:
    """Estimate on so many days of many streams."""
    dice = random.Random(seed)
    ours, audits = [], []
    for day in _days(queue, repetitions, setting, seed):
        ours.append(_judged(day))
        audits.append(_audited(day, setting.audit, dice))
    errors = [value - truth for value, _, _, truth, _, _ in ours]
    return Quality(
        queue=queue.name,
        repetitions=repetitions,
        agreement=100 * _mean(truth for _, _, _, truth, _, _ in ours),
        bias=100 * _mean(errors),
        rmse=100 * sqrt(_mean(error * error for error in errors)),
        coverage=_mean(float(low <= truth <= high) for _, low, high, truth, _, _ in ours),
        width=100 * _mean(high - low for _, low, high, _, _, _ in ours),
        width_of_audits=100 * _mean(high - low for low, high, _ in audits),
        coverage_of_audits=_mean(float(low <= truth <= high) for low, high, truth in audits),
        naive_bias=100 * _mean(naive - truth for _, _, _, truth, naive, _ in ours),
        labels=_mean(float(labels) for *_, labels in ours),
    )


def overall(qualities: Sequence[Quality]) -> Quality:
    """The mean of all queues."""
    fields = [name for name in Quality.__slots__ if name not in ("queue", "repetitions")]
    means = {name: _mean(getattr(one, name) for one in qualities) for name in fields}
    return Quality(queue="all", repetitions=sum(one.repetitions for one in qualities), **means)


def table(qualities: Sequence[Quality]) -> str:
    """A table in Markdown."""
    head = (
        "| queue | agreement | bias | RMSE | coverage | width | audits alone: coverage, width | width, relative "
        "| naive bias |\n|---|---|---|---|---|---|---|---|---|"
    )
    lines = [_line(one) for one in [*qualities, overall(qualities)]]
    return "\n".join([head, *lines])


def _line(one: Quality) -> str:
    ours = f"{one.bias:+.2f} | {one.rmse:.2f} | {one.coverage:.3f} | {one.width:.1f}"
    audits = f"{one.coverage_of_audits:.3f}, {one.width_of_audits:.1f}"
    return (
        f"| {one.queue} | {one.agreement:.1f} | {ours} | {audits} | {one.relative_width:.2f} | {one.naive_bias:+.1f} |"
    )


def _days(queue: Queue, repetitions: int, setting: Setting, seed: int) -> Iterable[Day]:
    left = repetitions
    while left > 0:
        taken = min(left, REPETITIONS_OF_A_STREAM)
        yield from islice(days(queue, setting, seed), taken)
        seed += 1
        left -= taken


def _judged(day: Day) -> tuple[float, float, float, float, float, int]:
    found = estimate_agreement(day.units)
    value = found.value if found.value is not None else 0.5
    slack = 1e-9
    return value, found.low - slack, found.high + slack, day.agreement, day.naive, found.verdicts


def _audited(day: Day, rate: float, dice: random.Random) -> tuple[float, float, float]:
    """The interval of a flat audit sample of the same day, and the truth."""
    chosen = [wrong for wrong in day.wrong if dice.random() < rate]
    low, high = wilson(sum(chosen) / max(1, len(chosen)), len(chosen))
    return 1 - high, 1 - low, day.agreement


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return fsum(found) / len(found)
