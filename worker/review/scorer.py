"""The interface of scorers that look at more than the score."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from worker.review.calibration import Calibration, Example
from worker.review.decision import Subject
from worker.review.source import Source
from worker.review.vectors import VectorStore

ScorerChoice = Literal["automatic", "off"]


class StrongerScorer(Protocol):
    """Corrects log odds of an error by more than the score."""

    def corrections(self, source: Source, subjects: Sequence[Subject], predicted: Sequence[str]) -> Sequence[float]:
        """What to add to the log odds of each subject; 0 where nothing is known."""
        ...

    def remember(self, source: Source, subjects: Sequence[Subject], reviewed: Sequence[bool]) -> None:
        """Keep what is needed to learn from verdicts; ``reviewed`` tells which subjects humans are asked about."""

    def learn(self, source: Source, verdicts: Mapping[str, Example], calibration: Calibration) -> None:
        """Learn from examples by external id; ``calibration`` is what will be corrected."""


def scorer_of(choice: ScorerChoice, store: VectorStore) -> StrongerScorer | None:
    """The scorer that a policy asks for: ``automatic`` is the kernel wherever numpy is installed."""
    if choice == "off":
        return None
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # on matrices this small more threads only spin
    try:
        from worker.review.kernel import KernelScorer
    except ImportError:  # without numpy the calibration stands alone
        return None
    return KernelScorer(store)
