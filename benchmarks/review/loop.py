"""The closed loop: score a window, review its top tenth and an audit sample, learn from it one window later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.review.queues import Window
from benchmarks.review.rules import AUDIT, CAPACITY, Rule

EARLY = 3
AFTER = 4


@dataclass(frozen=True)
class Found:
    """Errors found in the reviewed tenth of each window, and errors that could have been found there.

    ``half`` is the number of windows before half time.
    """

    errors: tuple[int, ...]
    possible: tuple[int, ...]
    half: int

    def share(self, first: int = 0, last: int | None = None) -> float:
        """Errors found as a share of the possible ones, over some windows."""
        return sum(self.errors[first:last]) / max(1, sum(self.possible[first:last]))

    @property
    def early(self) -> float:
        """Over the first windows, when there are few verdicts."""
        return self.share(0, EARLY)

    @property
    def late(self) -> float:
        """Over the second half."""
        return self.share(self.half)

    @property
    def after_redeploy(self) -> float:
        """Over the first windows after half time."""
        return self.share(self.half, self.half + AFTER)


def run(rule: Rule, windows: list[Window], seed: int, half: int) -> Found:
    """Drive a rule through a stream. Ties are broken at random, audits are drawn at random, the same for all rules."""
    random = np.random.default_rng(seed)
    found, possible = [], []
    waiting: tuple[Window, list[int]] | None = None
    for window in windows:
        if waiting:
            rule.learn(*waiting)
        scores = np.asarray(rule.scores(window), float)
        capacity = round(CAPACITY * len(window))
        audited = random.random(len(window)) < AUDIT
        top = np.lexsort((random.random(len(window)), -scores))[:capacity]
        found.append(sum(window[i].wrong for i in top))
        possible.append(min(capacity, sum(answer.wrong for answer in window)))
        waiting = window, sorted({*top.tolist(), *np.flatnonzero(audited).tolist()})
    return Found(tuple(found), tuple(possible), half)
