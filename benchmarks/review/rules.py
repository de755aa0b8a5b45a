"""Rules that order a window for review: those in use elsewhere, the worker's own, and the best there could be."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from benchmarks.review.queues import Answer, Window
from worker.review import FixedPolicy, RankedPolicy, ReviewDecision, Subject, Verdict, parse_policy
from worker.review.histogram import Histogram

CAPACITY = 0.10
AUDIT = 0.05
THRESHOLD = 0.8


class Rule(Protocol):
    """Gives every answer of a window a score; the highest are reviewed first."""

    def scores(self, window: Window) -> Sequence[float]:
        """One per answer."""
        ...

    def learn(self, window: Window, reviewed: Sequence[int]) -> None:
        """What humans found in some answers of a window that was scored before."""


class Plain:
    """A rule that looks at one answer at a time and never learns."""

    def __init__(self, score: Callable[[Window], Sequence[float]]) -> None:
        self._score = score

    def scores(self, window: Window) -> Sequence[float]:
        """One per answer."""
        return self._score(window)

    def learn(self, window: Window, reviewed: Sequence[int]) -> None:
        """Nothing to learn."""


def entropy(window: Window) -> list[float]:
    """Normalised by the number of classes."""
    found = []
    for answer in window:
        p = answer.probabilities[answer.probabilities > 0]
        found.append(float(-(p * np.log(p)).sum() / np.log(len(answer.probabilities))))
    return found


class Percentile:
    """The rank of least confidence among the same model's scores; no labels."""

    def __init__(self) -> None:
        self._histograms: dict[str, Histogram] = {}

    def scores(self, window: Window) -> Sequence[float]:
        """One per answer."""
        places = [float(np.log(max(one.others, 1e-10) / max(1 - one.others, 1e-10))) for one in window]
        for model in sorted({answer.model for answer in window}):
            histogram = self._histograms.setdefault(model, Histogram())
            histogram.observe([place for place, one in zip(places, window, strict=True) if one.model == model])
        return [self._histograms[one.model].percentile(place) for place, one in zip(places, window, strict=True)]

    def learn(self, window: Window, reviewed: Sequence[int]) -> None:
        """Nothing to learn."""


class Worker:
    """The worker's policy, through its public classes.

    Args:
        scorer: of the policy; without the stronger one as if numpy were not installed.
        embedding: messages carry the input columns, which stand for an embedding.
    """

    def __init__(self, *, scorer: str = "automatic", embedding: bool = False) -> None:
        self._embedding = embedding
        rule = {"capacity": {"share": CAPACITY + AUDIT}, "audit": {"rate": AUDIT}}
        self.policy = RankedPolicy(FixedPolicy(parse_policy({"scorer": scorer, "rules": [rule]})))
        self._decisions: dict[str, ReviewDecision] = {}

    def scores(self, window: Window) -> Sequence[float]:
        """The calibrated probability of an error."""
        decisions = self.policy.decide_all([self._subject(one) for one in window])
        self._decisions |= {one.asset: decision for one, decision in zip(window, decisions, strict=True)}
        return [decision.error_probability or 0.0 for decision in decisions]

    def _subject(self, one: Answer) -> Subject:
        embedding = one.columns.tolist() if self._embedding else None
        return Subject("bench", one.asset, one.asset, one.model, one.output(), None, embedding=embedding)

    def learn(self, window: Window, reviewed: Sequence[int]) -> None:
        """Hand the verdicts to the policy."""
        answers = [window[i] for i in reviewed]
        self.policy.learn(
            Verdict("bench", one.model, self._decisions.pop(one.asset), float(one.wrong), one.asset) for one in answers
        )


EMBEDDED = "worker, embedding sent"

RULES: dict[str, Callable[[], Rule]] = {
    "random": lambda: Plain(lambda window: [random.Random(one.asset).random() for one in window]),
    "fixed threshold 0.8": lambda: Plain(lambda window: [float(one.confidence < THRESHOLD) for one in window]),
    "entropy": lambda: Plain(entropy),
    "least confidence": lambda: Plain(lambda window: [one.others for one in window]),
    "percentile per model": Percentile,
    "worker, no numpy": lambda: Worker(scorer="off"),
    "worker": Worker,
    EMBEDDED: lambda: Worker(embedding=True),
    "oracle": lambda: Plain(lambda window: [float(one.wrong) for one in window]),
}
"""By the name shown in the results, weakest first."""
