"""What the reviews found, and what as many in other orders would have found."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from worker.demo.plan import Plan, Predicted


@dataclass(frozen=True, slots=True)
class Review:
    """Errors of the models among the reviewed assets, against the truth.

    ``errors_by_chance`` is what as many reviews in random order find in expectation: errors * reviewed / assets.
    ``errors_by_confidence`` is what as many reviews in each round find when the queue is sorted by the models' own
    confidences, the lowest first, what was left over in earlier rounds among them.
    """

    reviewed: int
    assets: int
    errors_found: int
    errors_by_confidence: int
    errors_by_chance: float
    errors: int

    @property
    def gain(self) -> float | None:
        """Errors found, in multiples of those found by confidence; None when that finds none."""
        return self.errors_found / self.errors_by_confidence if self.errors_by_confidence else None


def review_of(plan: Plan, reviewed: Collection[str], per_round: Sequence[int]) -> Review:
    """Compare orders of review.

    Args:
        plan: the predictions, with the truth.
        reviewed: external ids of the assets that people have labeled.
        per_round: how many they labeled after each round.
    """
    every = plan.predictions
    errors = sum(one.is_wrong for one in every)
    return Review(
        reviewed=len(reviewed),
        assets=len(every),
        errors_found=sum(one.is_wrong for one in every if one.external_id in reviewed),
        errors_by_confidence=errors_by_confidence(plan, per_round),
        errors_by_chance=round(errors * len(reviewed) / max(1, len(every)), 1),
        errors=errors,
    )


def errors_by_confidence(plan: Plan, per_round: Sequence[int]) -> int:
    """Errors that are found when the least confident predictions are reviewed first."""
    queue: list[Predicted] = []
    found = 0
    for part, count in zip(plan.rounds, per_round, strict=True):
        queue = sorted([*queue, *part], key=lambda one: one.confidence)
        found += sum(one.is_wrong for one in queue[:count])
        del queue[:count]
    return found
