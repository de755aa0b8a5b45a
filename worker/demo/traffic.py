"""What the demo sends: real answers of really trained models, and what goes wrong on the way to a queue."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from worker.demo.plan import CLASS_NAMES, Plan, Predicted
from worker.sandbox.labelers import JsonResponse

MISTAKES = 0.02


class SimulatedLabelers:
    """What they would answer to each asset, whenever and by whomever it is asked.

    ``answers`` has a class for every external id: so the demo knows what agreement with all of them would be.
    """

    def __init__(self, plan: Plan, *, mistakes: float = MISTAKES, seed: int = 0) -> None:
        dice = random.Random(f"people {seed}")
        self.answers: dict[str, str] = {}
        for one in plan.predictions:
            mistaken = dice.random() < mistakes
            others = [name for name in CLASS_NAMES if name != one.truth]
            self.answers[one.external_id] = dice.choice(others) if mistaken else one.truth

    def __call__(self, external_id: str) -> JsonResponse | None:
        """The answer as a json_response; None for an asset that is not the demo's."""
        name = self.answers.get(external_id)
        return {JOB: {"categories": [{"name": name}]}} if name else None


Channel = Literal["celery", "stream"]
Kind = Literal["prediction", "duplicate", "outdated", "bad"]
Message = dict[str, Any]

CHANNELS: tuple[Channel, Channel] = ("celery", "stream")
JOB = "CLASSIFICATION_JOB"
DUPLICATES_PER_PREDICTION = 0.05
OUTDATED_PER_PREDICTION = 0.005


@dataclass(frozen=True, slots=True)
class SentMessage:
    """One message, the source it goes to and, when it is bad, the cause that its dead letter must state."""

    kind: Kind
    channel: Channel
    message: Message | str
    cause: str = ""


Origin = tuple[int, SentMessage]
"""A message and the number of its round."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Everything that is sent, round by round, and what must come of it.

    ``answers`` has the class that each (external id, model version) must show in Kili, ``truth`` the true class of
    each external id.
    """

    phases: list[list[SentMessage]] = field(repr=False)
    answers: dict[tuple[str, str], str] = field(repr=False)
    truth: dict[str, str] = field(repr=False)

    @property
    def sent(self) -> list[SentMessage]:
        """All messages, in order."""
        return [one for part in self.phases for one in part]

    def count(self, kind: Kind) -> int:
        """Messages of one kind."""
        return sum(one.kind == kind for one in self.sent)

    def through(self, channel: Channel) -> int:
        """Messages of one source."""
        return sum(one.channel == channel for one in self.sent)

    @property
    def causes(self) -> Counter[str]:
        """How many dead letters there must be of each cause."""
        return Counter(one.cause for one in self.sent if one.kind == "bad")


@dataclass(frozen=True, slots=True)
class Producer:
    """Writes messages as a serving stack would: one project, pictures under ``files_url``.

    The rounds follow each other by ``phase_seconds``; the last one ends at ``end``.
    """

    project_id: str
    files_url: str
    end: datetime
    phase_seconds: float = 7200.0

    def message(self, external_id: str, model: str, scores: Mapping[str, float], at: datetime) -> Message:
        """One prediction."""
        name, _, version = model.partition(":")
        return {
            "project_id": self.project_id,
            "external_id": external_id,
            "asset": {"url": f"{self.files_url}/{external_id}"},
            "model": {"name": name, "version": version},
            "output": {"scores": dict(scores)},
            "predicted_at": at.isoformat(),
        }

    def begin(self, phases_left: int) -> datetime:
        """When a round begins after which, itself among them, so many come."""
        return self.end - timedelta(seconds=phases_left * self.phase_seconds)

    def answers(self, part: Sequence[Predicted], phases_left: int) -> list[Message]:
        """The predictions of a round, at even distances."""
        step = timedelta(seconds=self.phase_seconds / max(1, len(part)))
        begin = self.begin(phases_left)
        return [
            self.message(one.external_id, one.model, dict(zip(CLASS_NAMES, one.scores, strict=True)), begin + n * step)
            for n, one in enumerate(part)
        ]


def make_traffic(plan: Plan, producer: Producer, *, seed: int = 0) -> Traffic:
    """Mix the predictions with duplicates, outdated answers and bad messages, half of them through each source.

    Args:
        plan: the predictions.
        producer: writes the messages.
        seed: of what is left to chance.
    """
    dice = random.Random(seed)
    count = len(plan.phases)
    phases = [
        [
            SentMessage("prediction", CHANNELS[place % 2], message)
            for place, message in enumerate(producer.answers(part, left))
        ]
        for left, part in zip(range(count, 0, -1), plan.phases, strict=True)
    ]
    origins = [(number, one) for number, part in enumerate(phases) for one in part]
    extras = [*_duplicates(origins, dice), *_outdated(origins, dice)]
    for number, bad in enumerate(_bad_messages(producer)):
        part = phases[number % count]
        part.insert(dice.randrange(len(part) + 1), bad)
    for number, extra in extras:
        phases[number].append(extra)
    return Traffic(
        phases=phases,
        answers={(one.external_id, one.model): one.answer for one in plan.predictions},
        truth={one.external_id: one.truth for one in plan.predictions},
    )


def _other(channel: Channel) -> Channel:
    return CHANNELS[1 - CHANNELS.index(channel)]


def _some(origins: Sequence[Origin], share: float, dice: random.Random) -> list[Origin]:
    return dice.sample(origins, max(1, round(share * len(origins))))


def _duplicates(origins: Sequence[Origin], dice: random.Random) -> list[Origin]:
    """The very same messages once more, through the other source."""
    chosen = _some(origins, DUPLICATES_PER_PREDICTION, dice)
    return [(number, SentMessage("duplicate", _other(one.channel), one.message)) for number, one in chosen]


def _outdated(origins: Sequence[Origin], dice: random.Random) -> list[Origin]:
    """Answers of an hour earlier, each for another class, that arrive after the newer ones."""
    return [
        (number, SentMessage("outdated", one.channel, _earlier(one.message)))
        for number, one in _some(origins, OUTDATED_PER_PREDICTION, dice)
        if isinstance(one.message, dict)
    ]


def _earlier(message: Message) -> Message:
    scores = list(message["output"]["scores"].values())
    shifted = dict(zip(CLASS_NAMES, [*scores[1:], scores[0]], strict=True))
    past = datetime.fromisoformat(message["predicted_at"]) - timedelta(hours=1)
    return {**message, "output": {"scores": shifted}, "predicted_at": past.isoformat()}


BAD: Sequence[tuple[str, Callable[[Message], Message | str]]] = (
    ("invalid_message", lambda good: _without(good, "external_id")),
    ("invalid_message", lambda good: {**good, "model": {"name": "digit-bayes"}}),
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


def _bad_messages(producer: Producer) -> list[SentMessage]:
    bad = []
    for number, (cause, spoil) in enumerate(BAD):
        good = producer.message(f"bad-{number}.png", "digit-bayes:1", {"SEVEN": 0.9, "ONE": 0.1}, producer.begin(1))
        bad.append(SentMessage("bad", CHANNELS[number % 2], spoil(good), cause))
    return bad


def _without(good: Message, key: str) -> Message:
    return {name: value for name, value in good.items() if name != key}


def _scored(good: Message, scores: Mapping[str, float]) -> Message:
    return {**good, "output": {"scores": dict(scores)}}
