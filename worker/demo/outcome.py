"""The demo's result: what was delivered, what the reviews found, what the worker concluded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.demo.assertions import (
    DeadLetterGroup,
    DemoEvidence,
    InKili,
    Published,
    broken_promises,
    dead_letters_of,
    in_kili_of,
    published_of,
    reviewed_in,
)
from worker.demo.conclusions import DemoAgreement, DemoDrift, agreements_of, drift_of
from worker.demo.plan import MODELS, Plan, Predicted
from worker.demo.traffic import SimulatedLabelers, Traffic
from worker.feedback.messages import Links


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


def review_of(plan: Plan, reviewed: Collection[str], per_phase: Sequence[int]) -> Review:
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
        errors_by_confidence=errors_by_confidence(plan, per_phase),
        errors_by_chance=round(errors * len(reviewed) / max(1, len(every)), 1),
        errors=errors,
    )


def errors_by_confidence(plan: Plan, per_phase: Sequence[int]) -> int:
    """Errors that are found when the least confident predictions are reviewed first."""
    queue: list[Predicted] = []
    found = 0
    for part, count in zip(plan.phases, per_phase, strict=True):
        queue = sorted([*queue, *part], key=lambda one: one.confidence)
        found += sum(one.is_wrong for one in queue[:count])
        del queue[:count]
    return found


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Everything that the demo shows; ``broken_promises`` is empty when all of them hold."""

    models: list[str]
    published: Published
    in_kili: InKili
    dead_letters: list[DeadLetterGroup]
    ledger: dict[str, int]
    review: Review
    agreement: list[DemoAgreement]
    drift: DemoDrift
    broken_promises: list[str]


@dataclass(frozen=True, slots=True)
class Staged:
    """What was prepared: the predictions, their messages, who labels, and when the drift begins (Unix seconds)."""

    plan: Plan
    traffic: Traffic
    labelers: SimulatedLabelers
    drift_at: float


def outcome_of(staged: Staged, evidence: DemoEvidence, report_data: Mapping[str, Any], links: Links) -> DemoResult:
    """Count what there is and hold it against what was promised; ``report_data`` are the worker's."""
    published, in_kili = published_of(staged.traffic), in_kili_of(staged.traffic, evidence)
    per_phase = [len(part) for part in evidence.labeled]
    return DemoResult(
        models=list(MODELS),
        published=published,
        in_kili=in_kili,
        dead_letters=dead_letters_of(evidence.letters),
        ledger=dict(evidence.ledger),
        review=review_of(staged.plan, reviewed_in(evidence.assets), per_phase),
        agreement=agreements_of(staged.plan, staged.labelers.answers, report_data),
        drift=drift_of(staged.plan, staged.drift_at, report_data, links),
        broken_promises=broken_promises(staged.traffic, evidence, published, in_kili),
    )
