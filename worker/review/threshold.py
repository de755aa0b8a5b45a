"""The first review rule: below a threshold of confidence a prediction is doubtful."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from worker.review.decision import ReviewDecision, Subject

ROUTINE_LANE = 9
UNKNOWN_LANE = 5


@dataclass(frozen=True, slots=True)
class ThresholdPolicy:
    """Doubtful when confidence < ``threshold``.

    The priority of a doubtful prediction is 100 * (1 - confidence), rounded half up and at least 1; of any other, 0.
    Doubtful predictions take lanes 0 to 8 in equal widths of confidence, the others lane 9. A prediction
    without any confidence has priority 0 and lane 5.
    """

    threshold: float

    @property
    def name(self) -> str:
        """Name and parameter, stored with each decision."""
        return f"threshold/{self.threshold:g}"

    def decide(self, subject: Subject) -> ReviewDecision:
        """Apply the rule to the model's own confidence."""
        confidence = subject.confidence
        if confidence is None:
            return ReviewDecision(UNKNOWN_LANE, 0, "confidence unknown", self.name)
        if confidence >= self.threshold:
            return ReviewDecision(ROUTINE_LANE, 0, "confident", self.name, confidence)
        priority = max(1, math.floor(round(100 * (1 - confidence), 6) + 0.5))
        lane = min(ROUTINE_LANE - 1, int(ROUTINE_LANE * confidence / self.threshold))
        return ReviewDecision(lane, priority, "below threshold", self.name, confidence)

    def decide_all(self, subjects: Sequence[Subject]) -> list[ReviewDecision]:
        """Apply the rule to each."""
        return [self.decide(subject) for subject in subjects]

    def keep(self) -> None:
        """Nothing is counted."""
