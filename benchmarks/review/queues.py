"""Streams of real models' answers, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.output import Classification, ClassScore, ModelOutput

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
def queues(data: Path = DATA) -> dict[str, list[Model]]:
    """All queues of a file by name; the names of those for choosing settings begin with ``tuning-``.

    For every model of a queue the file has ``queue/model/probabilities`` (n, classes) and either
    ``queue/model/classes`` (n), the true class from 0, or ``queue/model/wrong`` (n), 0 or 1; ``queue/model/columns``
    (n, columns) stands for an embedding, where there is one. Models named ``number-job-…`` answer that job.

    Raises:
        ValueError: the file holds no queue, or arrays that do not fit together.
    """
    found: dict[str, list[Model]] = {}
    with np.load(data, allow_pickle=False) as stored:
        for key in stored.files:
            if key.endswith("/probabilities") and key.count("/") == 2:
                queue, model, _ = key.split("/")
                found.setdefault(queue, []).append(_model(stored, f"{queue}/{model}", model))
    if not found:
        raise ValueError(f"{data}: no array is named queue/model/probabilities")
    return found


def _model(stored: Any, name: str, model: str) -> Model:
    probabilities = stored[f"{name}/probabilities"].astype(float)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    if f"{name}/wrong" in stored.files:
        wrong = stored[f"{name}/wrong"].astype(bool)
    else:
        wrong = probabilities.argmax(axis=1) != stored[f"{name}/classes"]
    columns = (
        stored[f"{name}/columns"].astype(float) if f"{name}/columns" in stored.files else np.zeros((len(wrong), 0))
    )
    if not len(probabilities) == len(wrong) == len(columns):
        raise ValueError(f"{name}: probabilities, verdicts and columns are of different lengths")
    _, _, rest = model.partition("-")
    return Model(f"{model}:1", rest.partition("-")[0], probabilities, columns, wrong)


def stream(queue: str, seed: int, *, redeploy: bool = False, data: Path = DATA) -> list[Window]:
    """The windows of a queue in the order of a seed; with ``redeploy`` one model is sharpened at half time."""
    models = queues(data)[queue]
    random = np.random.default_rng([seed, *queue.encode()])
    places = [(number, row) for number, model in enumerate(models) for row in range(len(model.wrong))]
    windows = min(WINDOWS, len(places) // SIZE)
    order = random.permutation(len(places))[: windows * SIZE]
    sharpened = int(random.integers(len(models))) if redeploy else -1
    answers = []
    for position, (number, row) in enumerate(places[i] for i in order):
        sharp = number == sharpened and position >= windows // 2 * SIZE
        answers.append(_answer(models[number], row, f"{position}", sharp))
    return [answers[start : start + SIZE] for start in range(0, len(answers), SIZE)]


def _answer(model: Model, row: int, asset: str, sharp: bool) -> Answer:
    probabilities = model.probabilities[row]
    if sharp:
        probabilities = probabilities ** (1 / SHARPENED)
        probabilities = probabilities / probabilities.sum()
    return Answer(asset, model.name, model.job, probabilities, model.columns[row], bool(model.wrong[row]))
