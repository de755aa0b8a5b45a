"""Queues of predictions to draw from: what really trained models said about images that they had not seen."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from worker.demo.digits import CLASS_NAMES, load_digits
from worker.formats.output import Classification, ClassScore, ModelOutput


@dataclass(frozen=True, slots=True)
class Said:
    """One prediction: the output as a policy sees it, whether it is wrong, and the model's confidence."""

    model: str
    output: ModelOutput
    wrong: bool
    confidence: float


@dataclass(frozen=True, slots=True)
class Queue:
    """Predictions of one or more models that share the reviewers."""

    name: str
    models: Mapping[str, Sequence[Said]]

    def draw(self, count: int, dice: random.Random) -> list[Said]:
        """Draw predictions with replacement, the models in equal parts."""
        pools = list(self.models.values())
        return [dice.choice(pools[index % len(pools)]) for index in range(count)]

    @property
    def error_rate(self) -> float:
        """Share of wrong predictions, the models in equal parts."""
        rates = [sum(one.wrong for one in pool) / len(pool) for pool in self.models.values()]
        return sum(rates) / len(rates)


@cache
def load_queues() -> tuple[Queue, ...]:
    """Every model alone, and every pair of models of different calibration in one queue."""
    pools = {name: _said(name) for name in load_digits().models}
    names = sorted(pools)
    alone = [Queue(name, {name: pools[name]}) for name in names]
    pairs = [
        Queue(f"{one}+{other}", {one: pools[one], other: pools[other]})
        for index, one in enumerate(names)
        for other in names[index + 1 :]
    ]
    return (*alone, *pairs)


def _said(name: str) -> list[Said]:
    digits = load_digits()
    found = []
    for scores, label in zip(digits.models[name], digits.labels, strict=True):
        best = max(range(len(scores)), key=scores.__getitem__)
        pairs = zip(CLASS_NAMES, scores, strict=True)
        answer = Classification(tuple(ClassScore(*pair) for pair in pairs), exclusive=True, complete=True)
        found.append(Said(f"{name}:1", ModelOutput(answer), best != label, scores[best]))
    return found
