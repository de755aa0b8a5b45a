"""Queues of predictions to draw from: what really trained models said about samples that they had not seen.

The data are those of ``benchmarks.review`` but for the queues by which settings were chosen: eight queues of two or
three models of different calibration on UCI data sets.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from benchmarks.review import queues as data
from worker.formats.output import Classification, ClassScore, ModelOutput

TUNING = "tuning-"


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
    """The queues that no setting was chosen by."""
    return tuple(
        Queue(name, {model.name: _said(model) for model in models})
        for name, models in data.queues().items()
        if not name.startswith(TUNING)
    )


def _said(model: data.Model) -> list[Said]:
    found = []
    for row, wrong in zip(model.probabilities.tolist(), model.wrong.tolist(), strict=True):
        scores = tuple(ClassScore(f"class {index}", share) for index, share in enumerate(row))
        answer = Classification(scores, exclusive=True, complete=True)
        found.append(Said(model.name, ModelOutput(answer, job=model.job), bool(wrong), max(row)))
    return found
