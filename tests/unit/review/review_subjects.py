"""Predictions for tests of the review policy."""

from __future__ import annotations

import math
import random
from typing import Any

from worker.contract.output import Classification, ClassScore, ModelOutput
from worker.review import FixedPolicy, RankedPolicy, Subject, parse_policy

NOW = 1_700_000_000.0


def choice(*scores: float, job: str | None = None) -> ModelOutput:
    """A single choice over classes A, B, C, … with these probabilities."""
    labels = "ABCDEFGHIJ"
    return ModelOutput(Classification(tuple(map(ClassScore, labels, scores)), True, complete=True), job=job)


def subject(name: str, output: ModelOutput, **more: Any) -> Subject:
    """A prediction of one model about one asset."""
    known = {"project": "p", "asset_id": name, "model": "m:1", "confidence": None, **more}
    return Subject(external_id=name, answer=output, **known)


def answers(count: int, *, model: str = "m:1", seed: int = 1, start: int = 0, **more: Any) -> list[Subject]:
    """Single choices of two classes, of all degrees of doubt."""
    source = random.Random(f"{seed} {model} {start}")
    found = []
    for number in range(start, start + count):
        doubt = 0.5 / (1 + math.exp(-source.gauss(-2.5, 1.5)))
        scores = (1 - doubt, doubt) if source.random() < 0.5 else (doubt, 1 - doubt)
        found.append(subject(f"{model} {number}", choice(*scores), model=model, **more))
    return found


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def policy(*rules: dict[str, Any], clock: Clock | None = None, scoring: str = "automatic", **more: Any) -> RankedPolicy:
    """A policy of these rules, with its memory in this process; ``scoring`` is its scorer."""
    given = parse_policy({"scorer": scoring, "rules": list(rules) or [{}]})
    return RankedPolicy(FixedPolicy(given), clock=clock or Clock(), **more)
