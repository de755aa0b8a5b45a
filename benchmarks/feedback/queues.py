"""Queues of predictions to draw from: what really trained models said about samples that they had not seen.

The data are those of ``benchmarks.review`` but for the queues by which settings were chosen: eight queues of two or
three models of different calibration on UCI data sets.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import overload

from benchmarks.review import queues as data
from worker.contract.output import Classification, ClassScore, ModelOutput

TUNING = "tuning-"


@dataclass(frozen=True, slots=True)
class Said:
    """One prediction: the output as a policy sees it, whether it is wrong, and the model's confidence."""

    model: str
    output: ModelOutput
    wrong: bool
    confidence: float


class Pool(Sequence[Said]):
    """All predictions of one model; each is made when it is first drawn."""

    def __init__(self, model: data.Model) -> None:
        self._model = model
        self._made: dict[int, Said] = {}

    @property
    def error_rate(self) -> float:
        """Share of wrong predictions."""
        return float(self._model.wrong.mean())

    def __len__(self) -> int:
        return len(self._model.wrong)

    @overload
    def __getitem__(self, place: int) -> Said: ...
    @overload
    def __getitem__(self, place: slice) -> list[Said]: ...
    def __getitem__(self, place: int | slice) -> Said | list[Said]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if place not in self._made:
            self._made[place] = self._make(place)
        return self._made[place]

    def _make(self, place: int) -> Said:
        model = self._model
        row = model.probabilities[place].tolist()
        scores = tuple(ClassScore(f"class {index}", share) for index, share in enumerate(row))
        answer = Classification(scores, exclusive=True, complete=True)
        return Said(model.name, ModelOutput(answer, job=model.job), bool(model.wrong[place]), max(row))


@dataclass(frozen=True, slots=True)
class Queue:
    """Predictions of one or more models that share the reviewers."""

    name: str
    models: Mapping[str, Pool]

    def draw(self, count: int, dice: random.Random) -> list[Said]:
        """Draw predictions with replacement, the models in equal parts."""
        pools = list(self.models.values())
        return [dice.choice(pools[index % len(pools)]) for index in range(count)]

    @property
    def error_rate(self) -> float:
        """Share of wrong predictions, the models in equal parts."""
        rates = [pool.error_rate for pool in self.models.values()]
        return sum(rates) / len(rates)


@cache
def load_queues() -> tuple[Queue, ...]:
    """The queues that no setting was chosen by."""
    return tuple(queue_of(name) for name in data.queues() if not name.startswith(TUNING))


@cache
def queue_of(name: str) -> Queue:
    """One queue by its name."""
    return Queue(name, {model.name: Pool(model) for model in data.queues()[name]})
