"""What the demo sends: real answers of really trained models, and what goes wrong on the way to a queue."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from worker.demo.digits import CLASS_NAMES, Digits

Door = Literal["celery", "stream"]
Kind = Literal["prediction", "duplicate", "outdated", "bad"]
Message = dict[str, Any]

DOORS: tuple[Door, Door] = ("celery", "stream")
JOB = "CLASSIFICATION_JOB"
DUPLICATES_PER_PREDICTION = 0.05
OUTDATED_PER_PREDICTION = 0.005


@dataclass(frozen=True, slots=True)
class ModelRun:
    """One model version and the assets it answers; ``source`` is the model's name in the data file."""

    name: str
    version: str
    source: str
    assets: range

    @property
    def label(self) -> str:
        """``name:version``, Kili's ``modelName``."""
        return f"{self.name}:{self.version}"


@dataclass(frozen=True, slots=True)
class Sent:
    """One message, the door it goes to and, when it is bad, the cause that its dead letter must state."""

    kind: Kind
    door: Door
    message: Message | str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Everything that is sent, in order, and what must come of it.

    ``answers`` has the class that each (external id, model label) must show in Kili, ``truth`` the true class of
    each external id, ``runs`` the model versions.
    """

    runs: Sequence[ModelRun]
    sent: list[Sent] = field(repr=False)
    answers: dict[tuple[str, str], str] = field(repr=False)
    truth: dict[str, str] = field(repr=False)

    def count(self, kind: Kind) -> int:
        """Messages of one kind."""
        return sum(one.kind == kind for one in self.sent)

    def through(self, door: Door) -> int:
        """Messages of one door."""
        return sum(one.door == door for one in self.sent)

    @property
    def causes(self) -> Counter[str]:
        """How many dead letters there must be of each cause."""
        return Counter(one.cause for one in self.sent if one.kind == "bad")


@dataclass(frozen=True, slots=True)
class Producer:
    """Writes messages as a serving stack would: one project, pictures under ``files_url``, one moment."""

    project_id: str
    files_url: str
    at: datetime

    def message(self, external_id: str, model: tuple[str, str], scores: Mapping[str, float]) -> Message:
        """One prediction."""
        return {
            "project_id": self.project_id,
            "external_id": external_id,
            "asset": {"url": f"{self.files_url}/{external_id}"},
            "model": {"name": model[0], "version": model[1]},
            "output": {"scores": dict(scores)},
            "predicted_at": self.at.isoformat(),
        }

    def answers(self, run: ModelRun, digits: Digits) -> Iterable[Message]:
        """What a model version says about its assets."""
        for index in run.assets:
            scores = dict(zip(CLASS_NAMES, digits.models[run.source][index], strict=True))
            yield self.message(external_id_of(index), (run.name, run.version), scores)


def external_id_of(index: int) -> str:
    """Name of an image's asset, and of its file."""
    return f"digit-{index:04}.png"


def make_traffic(digits: Digits, runs: Sequence[ModelRun], producer: Producer, *, seed: int = 0) -> Traffic:
    """Mix the predictions of all model versions with duplicates, outdated answers and bad messages, half a door each.

    Args:
        digits: images, labels and the models' answers.
        runs: the model versions; they may answer the same assets.
        producer: writes the messages.
        seed: of what is left to chance.
    """
    dice = random.Random(seed)
    good = [message for run in runs for message in producer.answers(run, digits)]
    sent = [Sent("prediction", DOORS[number % 2], message) for number, message in enumerate(good)]
    extras = [*_duplicates(sent, dice), *_outdated(sent, dice, producer.at)]
    for bad in _bad_messages(producer):
        sent.insert(dice.randrange(len(sent) + 1), bad)
    covered = sorted({index for run in runs for index in run.assets})
    return Traffic(
        runs=runs,
        sent=[*sent, *extras],
        answers={_key(message): _winner(message["output"]["scores"]) for message in good},
        truth={external_id_of(index): CLASS_NAMES[digits.labels[index]] for index in covered},
    )


def _key(message: Message) -> tuple[str, str]:
    return message["external_id"], f"{message['model']['name']}:{message['model']['version']}"


def _winner(scores: Mapping[str, float]) -> str:
    return max(scores, key=lambda name: scores[name])


def _other(door: Door) -> Door:
    return DOORS[1 - DOORS.index(door)]


def _some(sent: Sequence[Sent], share: float, dice: random.Random) -> list[Sent]:
    return dice.sample(sent, max(1, round(share * len(sent))))


def _duplicates(sent: Sequence[Sent], dice: random.Random) -> list[Sent]:
    """The very same messages once more, through the other door."""
    chosen = _some(sent, DUPLICATES_PER_PREDICTION, dice)
    return [Sent("duplicate", _other(one.door), one.message) for one in chosen]


def _outdated(sent: Sequence[Sent], dice: random.Random, at: datetime) -> list[Sent]:
    """Answers of an hour earlier, each for another class, that arrive after the newer ones."""
    late = []
    for one in _some(sent, OUTDATED_PER_PREDICTION, dice):
        if isinstance(one.message, dict):
            scores = list(one.message["output"]["scores"].values())
            shifted = dict(zip(CLASS_NAMES, [*scores[1:], scores[0]], strict=True))
            past = {"output": {"scores": shifted}, "predicted_at": (at - timedelta(hours=1)).isoformat()}
            late.append(Sent("outdated", one.door, {**one.message, **past}))
    return late


BAD: Sequence[tuple[str, Callable[[Message], Message | str]]] = (
    ("invalid_message", lambda good: _without(good, "external_id")),
    ("invalid_message", lambda good: {**good, "model": {"name": "digit-network"}}),
    ("invalid_message", lambda good: {**good, "metdata": {"camera": "3"}}),
    ("invalid_message", lambda good: {**good, "predicted_at": "2101-01-01T00:00:00Z"}),
    ("invalid_message", lambda good: {**good, "predicted_at": "2026-11-23T10:15:00"}),
    ("invalid_message", lambda good: _scored(good, {"SEVEN": 1.7})),
    ("not_json", lambda good: _scored(good, {"SEVEN": float("nan")})),
    ("not_json", lambda good: f'{{"external_id": "{good["external_id"]}", "asset": '),
    ("unknown_class", lambda good: _scored(good, {"ELEVEN": 0.97, "ONE": 0.03})),
    ("unknown_job", lambda good: {**good, "output": {**good["output"], "job": "COLOUR_JOB"}}),
)
"""How a good message becomes bad, and the cause of the dead letter that it becomes."""


def _bad_messages(producer: Producer) -> list[Sent]:
    bad = []
    for number, (cause, spoil) in enumerate(BAD):
        good = producer.message(f"bad-{number}.png", ("digit-network", "1"), {"SEVEN": 0.9, "ONE": 0.1})
        bad.append(Sent("bad", DOORS[number % 2], spoil(good), cause))
    return bad


def _without(good: Message, key: str) -> Message:
    return {name: value for name, value in good.items() if name != key}


def _scored(good: Message, scores: Mapping[str, float]) -> Message:
    return {**good, "output": {"scores": dict(scores)}}
