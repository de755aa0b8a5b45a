"""Assets of several units: the expected number of errors against other ways to make one score of many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.review.queues import queues
from worker.contract.output import (
    Answer,
    DetectedObject,
    Detection,
    Entities,
    Entity,
    ModelOutput,
    Shape,
    Transcription,
)
from worker.review.expected_errors import read_errors

DATA = Path(__file__).with_name("structures.npz")
SHARE = 0.1
LINES = 2000
_BOX = Shape("rectangle", (((0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0)),))


@dataclass(frozen=True)
class Set:
    """Assets of one kind: what the model said, and how many errors there are."""

    outputs: tuple[ModelOutput, ...]
    scores: tuple[tuple[float, ...], ...]
    errors: tuple[int, ...]


Score = Callable[[ModelOutput, Sequence[float]], float]

SCORES: dict[str, Score] = {
    "expected errors": lambda output, _: read_errors(output).expected_errors or 0.0,
    "least sure unit (1 - min)": lambda _, scores: 1 - min(scores, default=1.0),
    "mean of 1 - p": lambda _, scores: sum(1 - p for p in scores) / max(1, len(scores)),
    "surest unit (1 - max)": lambda _, scores: 1 - max(scores, default=1.0),
    "empty counts as 1, else mean": lambda _, scores: sum(1 - p for p in scores) / len(scores) if scores else 1.0,
    "number of units": lambda _, scores: float(len(scores)),
}
"""Ways to order assets, by the model's output and the scores of what it asserts."""


def structures() -> dict[str, dict[str, dict[str, float]]]:
    """Per set and score: area under the ROC curve for "has an error", and errors found in a tenth of the assets."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, one in {**_stored(), "transcription/letters": _lines()}.items():
        errors = np.array(one.errors)
        columns = {
            label: np.array([score(*pair) for pair in zip(one.outputs, one.scores, strict=True)])
            for label, score in SCORES.items()
        }
        columns["oracle"] = errors.astype(float)
        found[name] = {
            label: {"auroc": auroc(values, errors > 0), "found": found_share(values, errors)}
            for label, values in columns.items()
        }
    return found


def structures_table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """For the terminal."""
    lines = ["several units per asset: AUROC of `has an error` / share of all errors in the reviewed tenth"]
    for name, rows in found.items():
        lines += ["", name, *(f"  {label:30} {row['auroc']:.3f} / {row['found']:.3f}" for label, row in rows.items())]
    return "\n".join(lines)


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive scores higher than a negative; ties count half."""
    values, ranks = np.unique(scores, return_inverse=True)
    counts = np.bincount(ranks, minlength=len(values))
    middle = np.cumsum(counts) - (counts - 1) / 2
    n = positive.sum()
    return float((middle[ranks][positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def found_share(scores: np.ndarray, errors: np.ndarray) -> float:
    """Share of all errors in the highest tenth; ties in a fixed random order."""
    order = np.lexsort((np.random.default_rng(0).random(len(scores)), -scores))
    return float(errors[order[: round(SHARE * len(scores))]].sum() / errors.sum())


@cache
def _stored() -> dict[str, Set]:
    found: dict[str, Set] = {}
    with np.load(DATA, allow_pickle=False) as stored:
        for name in (key.removesuffix("/errors") for key in stored.files if key.endswith("/errors")):
            errors = tuple(int(one) for one in stored[f"{name}/errors"])
            first, second = ("shown", "candidates") if name.startswith("detection") else ("entities", "tokens")
            told = list(_lists(stored[f"{name}/{first}"], stored[f"{name}/{first}-lengths"]))
            more = list(_lists(stored[f"{name}/{second}"], stored[f"{name}/{second}-lengths"]))
            make = _detection if first == "shown" else _entities
            outputs = tuple(make(*pair) for pair in zip(told, more, strict=True))
            found[name] = Set(outputs, tuple(map(tuple, told)), errors)
    return found


def _lists(values: np.ndarray, lengths: np.ndarray) -> Iterator[list[float]]:
    ends = np.cumsum(lengths.astype(int))
    for end, length in zip(ends, lengths, strict=True):
        yield values[end - int(length) : end].astype(float).tolist()


def _detection(shown: list[float], candidates: list[float]) -> ModelOutput:
    answer = Detection(tuple(DetectedObject("digit", _BOX, score) for score in shown))
    return ModelOutput(answer, evidence={"candidate_scores": candidates})


def _entities(entities: list[float], tokens: list[float]) -> ModelOutput:
    answer = Entities(tuple(Entity("entity", i, i + 1, "x", score) for i, score in enumerate(entities)))
    return ModelOutput(answer, evidence={"token_scores": tokens})


def _lines() -> Set:
    """Lines of 5 to 20 real letters, each read by one model."""
    random = np.random.default_rng(5)
    model = queues()["letters"][2]
    best = model.probabilities.max(axis=1)
    outputs: list[ModelOutput] = []
    scores, errors = [], []
    for _ in range(LINES):
        letters = random.integers(0, len(best), int(random.integers(5, 21)))
        logs = tuple(math.log(max(float(p), 1e-10)) for p in best[letters])
        answer: Answer = Transcription("x" * len(letters), token_logprobs=logs)
        outputs.append(ModelOutput(answer))
        scores.append(tuple(math.exp(one) for one in logs))
        errors.append(int(model.wrong[letters].sum()))
    return Set(tuple(outputs), tuple(scores), tuple(errors))
