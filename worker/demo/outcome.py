"""The demo's result: what was delivered, what the reviews found, what the worker concluded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.demo.counted import (
    DeadLetterGroup,
    Evidence,
    InKili,
    Published,
    dead_letters_of,
    in_kili_of,
    published_of,
    reviewed_in,
)
from worker.demo.findings import Agreement, Drift, agreements_of, drift_of
from worker.demo.people import People
from worker.demo.plan import MODELS, Plan
from worker.demo.promises import broken_promises
from worker.demo.review import Review, review_of
from worker.demo.traffic import Traffic
from worker.feedback.links import Links


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that the demo shows; ``broken_promises`` is empty when all of them hold."""

    models: list[str]
    published: Published
    in_kili: InKili
    dead_letters: list[DeadLetterGroup]
    ledger: dict[str, int]
    review: Review
    agreement: list[Agreement]
    drift: Drift
    broken_promises: list[str]


@dataclass(frozen=True, slots=True)
class Staged:
    """What was prepared: the predictions, their messages, who labels, and when the drift begins (Unix seconds)."""

    plan: Plan
    traffic: Traffic
    people: People
    drift_at: float


def outcome_of(staged: Staged, evidence: Evidence, figures: Mapping[str, Any], links: Links) -> Outcome:
    """Count what there is and hold it against what was promised; ``figures`` are the worker's."""
    published, in_kili = published_of(staged.traffic), in_kili_of(staged.traffic, evidence)
    per_round = [len(part) for part in evidence.labeled]
    return Outcome(
        models=list(MODELS),
        published=published,
        in_kili=in_kili,
        dead_letters=dead_letters_of(evidence.letters),
        ledger=dict(evidence.ledger),
        review=review_of(staged.plan, reviewed_in(evidence.assets), per_round),
        agreement=agreements_of(staged.plan, staged.people.answers, figures),
        drift=drift_of(staged.plan, staged.drift_at, figures, links),
        broken_promises=broken_promises(staged.traffic, evidence, published, in_kili),
    )
