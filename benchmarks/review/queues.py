"""Streams of real models' answers, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from worker.formats.output import Classification, ClassScore, ModelOutput

DATA = Path(__file__).with_name("queues.npz")
WINDOWS = 30
SIZE = 200
SHARPENED = 0.35
"""Temperature of the re-deployed model's logits: the same answers, far more certain."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Model:
    """All answers of one model: probabilities (n, classes), input columns (n, columns), wrong (n)."""

    name: str
    job: str
    probabilities: Array
    columns: Array
    wrong: Array


@dataclass(frozen=True)
class Answer:
    """What one model said about one asset, and whether it was wrong."""

    asset: str
    model: str
    job: str
    probabilities: Array
    columns: Array
    wrong: bool

    @property
    def confidence(self) -> float:
        """The greatest probability."""
        return float(self.probabilities.max())

    @property
    def others(self) -> float:
        """The sum of all probabilities but the greatest."""
        return float(np.sort(self.probabilities)[:-1].sum())

    def output(self) -> ModelOutput:
        """As a serving stack would send it."""
        scores = tuple(ClassScore(f"class {i}", float(p)) for i, p in enumerate(self.probabilities))
        return ModelOutput(Classification(scores, exclusive=True, complete=True), job=self.job)


Window = list[Answer]


@cache
def queues() -> dict[str, list[Model]]:
    """All queues by name; the names of those for choosing settings begin with ``tuning-``."""
    found: dict[str, list[Model]] = {}
    with np.load(DATA, allow_pickle=False) as stored:
        for name in (key.removesuffix("/classes") for key in stored.files if key.endswith("/classes")):
            queue, model = name.split("/")
            probabilities = stored[f"{name}/probabilities"].astype(float)
            probabilities /= probabilities.sum(axis=1, keepdims=True)
            wrong = probabilities.argmax(axis=1) != stored[f"{name}/classes"]
            columns = stored[f"{name}/columns"].astype(float)
            job = model.split("-")[1]
            found.setdefault(queue, []).append(Model(f"{model}:1", job, probabilities, columns, wrong))
    return found


def stream(queue: str, seed: int, *, redeploy: bool = False) -> list[Window]:
    """The windows of a queue in the order of a seed; with ``redeploy`` one model is sharpened at half time."""
    models = queues()[queue]
    random = np.random.default_rng([seed, *queue.encode()])
    places = [(number, row) for number, model in enumerate(models) for row in range(len(model.wrong))]
    order = random.permutation(len(places))[: WINDOWS * SIZE]
    sharpened = int(random.integers(len(models))) if redeploy else -1
    answers = []
    for position, (number, row) in enumerate(places[i] for i in order):
        sharp = number == sharpened and position >= WINDOWS // 2 * SIZE
        answers.append(_answer(models[number], row, f"{position}", sharp))
    return [answers[start : start + SIZE] for start in range(0, len(answers) - SIZE + 1, SIZE)]


def _answer(model: Model, row: int, asset: str, sharp: bool) -> Answer:
    probabilities = model.probabilities[row]
    if sharp:
        probabilities = probabilities ** (1 / SHARPENED)
        probabilities = probabilities / probabilities.sum()
    return Answer(asset, model.name, model.job, probabilities, model.columns[row], bool(model.wrong[row]))
