"""Who predicts what when: two models of different calibration, a new version of one of them, and its drift.

The traffic comes in rounds. ``digit-logistic:1`` answers its share throughout; the rest is answered by
``digit-bayes:1`` in the first quarter of the phases, then by ``digit-bayes:2``, a better version. From two thirds of
the rounds on, half way through that version's service, its pictures come from an office that writes round amounts and
strikes its zeros through: no such zero was in the training data.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.demo.digits import CLASS_NAMES, Digits

MOST_PREDICTIONS = 3360
LEAST_PREDICTIONS = 36
PER_PHASE = 280
LEAST_PHASES = 3
LOGISTIC, FIRST, SECOND = "digit-logistic:1", "digit-bayes:1", "digit-bayes:2"
MODELS = (LOGISTIC, FIRST, SECOND)
LOGISTIC_SHARE = 2 / 7
STRUCK_SHARE = 0.22
"""Struck zeros among the pictures of the office."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """One asset, and what one model version says about it.

    ``label`` is the true digit, ``scores`` has one probability per class in the order of CLASS_NAMES; ``drifted`` is a
    picture of the kind that the model has not learned.
    """

    model: str
    image: bytes
    label: int
    scores: Sequence[float]
    drifted: bool = False
    external_id: str = ""

    @property
    def answer(self) -> str:
        """The class that the model gives."""
        return CLASS_NAMES[max(range(len(self.scores)), key=self.scores.__getitem__)]

    @property
    def truth(self) -> str:
        """The class that is right."""
        return CLASS_NAMES[self.label]

    @property
    def confidence(self) -> float:
        """The model's own, 0 to 1."""
        return max(self.scores)

    @property
    def is_wrong(self) -> bool:
        """Whether the model errs."""
        return self.answer != self.truth


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is predicted, round by round; from round ``drift_from`` on (0 is the first) there is drift."""

    phases: list[list[Predicted]] = field(repr=False)
    drift_from: int

    @property
    def predictions(self) -> list[Predicted]:
        """All of them, in order."""
        return [one for part in self.phases for one in part]

    @property
    def drifted_model(self) -> str:
        """The version whose pictures change."""
        return SECOND

    @property
    def drifted_class(self) -> str:
        """What it takes most of them for."""
        answers = Counter(one.answer for one in self.predictions if one.drifted)
        return answers.most_common(1)[0][0] if answers else ""


def make_plan(digits: Digits, predictions: int = MOST_PREDICTIONS, *, seed: int = 0) -> Plan:
    """Distribute pictures over models and rounds; no model version sees a picture twice.

    Args:
        digits: images, labels and the models' answers.
        predictions: how many, LEAST_PREDICTIONS to MOST_PREDICTIONS.
        seed: of the order of the pictures.
    """
    dice = random.Random(f"plan {seed}")
    count = max(LEAST_PHASES, round(predictions / PER_PHASE))
    second_from, drift_from = max(1, count // 4), max(2, count * 2 // 3)
    sizes = [predictions * (number + 1) // count - predictions * number // count for number in range(count)]
    logistic = [round(LOGISTIC_SHARE * size) for size in sizes]
    bayes = [size - taken for size, taken in zip(sizes, logistic, strict=True)]
    parts = [
        *_cut(_shuffled(digits, "bayes", FIRST, dice), bayes[:second_from]),
        *_cut(_second(digits, bayes[second_from:], drift_from - second_from, dice), bayes[second_from:]),
    ]
    phases = []
    for one, other in zip(_cut(_shuffled(digits, "logistic", LOGISTIC, dice), logistic), parts, strict=True):
        together = one + other
        dice.shuffle(together)
        phases.append(together)
    return Plan(_named(phases), drift_from)


def _shuffled(digits: Digits, source: str, model: str, dice: random.Random) -> list[Predicted]:
    rows = zip(digits.images, digits.labels, digits.models[source], strict=True)
    found = [Predicted(model, image, label, scores) for image, label, scores in rows]
    dice.shuffle(found)
    return found


def _second(digits: Digits, sizes: Sequence[int], calm: int, dice: random.Random) -> list[Predicted]:
    """What the second version answers: so many calm rounds, then those of the office."""
    pictures = _shuffled(digits, "smoothed", SECOND, dice)
    before, after = sum(sizes[:calm]), sum(sizes[calm:])
    rows = zip(digits.struck.images, digits.struck.probabilities, strict=True)
    struck = [Predicted(SECOND, image, 0, scores, drifted=True) for image, scores in rows]
    dice.shuffle(struck)
    struck = struck[: round(STRUCK_SHARE * after)]
    others = [one for one in pictures[before:] if one.label][: after - len(struck)]
    office = struck + others
    dice.shuffle(office)
    return pictures[:before] + office


def _cut(pictures: list[Predicted], sizes: Sequence[int]) -> list[list[Predicted]]:
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [pictures[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def _named(phases: list[list[Predicted]]) -> list[list[Predicted]]:
    """Number the assets in the order in which they come."""
    number = 0
    named = []
    for part in phases:
        named.append([_with_name(one, number + place) for place, one in enumerate(part)])
        number += len(part)
    return named


def _with_name(one: Predicted, number: int) -> Predicted:
    return Predicted(one.model, one.image, one.label, one.scores, one.drifted, f"digit-{number:04}.png")
