"""What the demo sends, and whether what was promised came of it.

Sent are real answers of really trained models, and what goes wrong on the way to a queue. What came of them is counted
in the sandbox's state and the worker's.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from worker.demo.plan import CLASS_NAMES, JOB, Plan, Predicted

Channel = Literal["celery", "stream"]
Kind = Literal["prediction", "duplicate", "outdated", "bad"]
Message = dict[str, Any]

CHANNELS: tuple[Channel, Channel] = ("celery", "stream")
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


Asset = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DemoEvidence:
    """Everything that was looked at.

    ``assets`` is the sandbox's state with every label, ``calls`` its count of delivery's calls by operation; ``ledger``
    and ``letters`` (dead letters without their messages) are the worker's own; ``labeled`` names, for each round, the
    assets in the order in which the labelers took them; ``unread_labels`` are the labels that the worker has not read.
    """

    assets: Sequence[Asset]
    calls: Mapping[str, int]
    ledger: Mapping[str, int]
    letters: Sequence[Mapping[str, Any]]
    labeled: Sequence[Sequence[str]]
    unread_labels: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """Messages sent, by source and by kind."""

    messages: int
    celery: int
    stream: int
    predictions: int
    duplicates: int
    outdated: int
    bad: int


@dataclass(frozen=True, slots=True)
class InKili:
    """What the sandbox holds.

    ``missing`` counts predictions without their label, ``wrong_labels`` those whose label does not say what the
    newest prediction said, ``unexpected_assets`` assets that no prediction asked for.
    """

    assets: int
    inference_labels: int
    duplicate_assets: int
    duplicate_labels: int
    missing: int
    wrong_labels: int
    unexpected_assets: int
    calls: int
    calls_by_operation: dict[str, int]
    calls_per_100_predictions: float


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters of one cause and the fields that they name."""

    cause: str
    count: int
    fields: list[str]


def published_of(traffic: Traffic) -> Published:
    """Count the messages."""
    return Published(
        messages=len(traffic.sent),
        celery=traffic.through("celery"),
        stream=traffic.through("stream"),
        predictions=traffic.count("prediction"),
        duplicates=traffic.count("duplicate"),
        outdated=traffic.count("outdated"),
        bad=traffic.count("bad"),
    )


def in_kili_of(traffic: Traffic, evidence: DemoEvidence) -> InKili:
    """Count assets, labels and calls."""
    names = Counter(asset["externalId"] for asset in evidence.assets)
    labels = list(_inferences(evidence.assets))
    keys = Counter(key for key, _ in labels)
    calls = sum(evidence.calls.values())
    return InKili(
        assets=names.total(),
        inference_labels=keys.total(),
        duplicate_assets=names.total() - len(names),
        duplicate_labels=keys.total() - len(keys),
        missing=len(traffic.answers.keys() - keys.keys()),
        wrong_labels=sum(label != traffic.answers.get(key, label) for key, label in labels),
        unexpected_assets=len(names.keys() - traffic.truth.keys()),
        calls=calls,
        calls_by_operation=dict(evidence.calls),
        calls_per_100_predictions=round(100 * calls / max(1, len(keys)), 2),
    )


def dead_letters_of(letters: Sequence[Mapping[str, Any]]) -> list[DeadLetterGroup]:
    """Group dead letters by cause, the most frequent first."""
    causes = Counter(letter["cause"] for letter in letters)
    return [
        DeadLetterGroup(cause, count, sorted({letter["field"] for letter in letters if letter["cause"] == cause}))
        for cause, count in sorted(causes.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


def _inferences(assets: Sequence[Asset]) -> Iterator[tuple[tuple[str, str], str]]:
    """((external id, model label), class) of every INFERENCE label."""
    for asset in assets:
        for label in asset["labels"]:
            if label["labelType"] == "INFERENCE":
                yield (asset["externalId"], label["modelName"]), _class_of(label)


def reviewed_in(assets: Sequence[Asset]) -> set[str]:
    """External ids of the assets with a human label."""
    return {one["externalId"] for one in assets if any(label["labelType"] == "DEFAULT" for label in one["labels"])}


def _class_of(label: Mapping[str, Any]) -> str:
    response = label["jsonResponse"]
    response = json.loads(response) if isinstance(response, str) else response
    return str(response[JOB]["categories"][0]["name"])


def broken_promises(traffic: Traffic, evidence: DemoEvidence, published: Published, in_kili: InKili) -> list[str]:
    """What does not hold, in words; nothing when everything does."""
    return [
        *_broken_in_kili(traffic, in_kili),
        *_broken_in_dead_letters(traffic, evidence),
        *_broken_in_ledger(published, evidence),
        *_broken_in_review(evidence),
    ]


def _broken_in_kili(traffic: Traffic, found: InKili) -> Iterator[str]:
    if found.duplicate_assets or found.duplicate_labels:
        yield f"{found.duplicate_assets} assets and {found.duplicate_labels} INFERENCE labels are there twice"
    if found.missing:
        yield f"{found.missing} of {len(traffic.answers)} predictions have no INFERENCE label"
    if found.wrong_labels:
        yield f"{found.wrong_labels} INFERENCE labels do not say what the newest prediction said"
    if found.unexpected_assets:
        yield f"{found.unexpected_assets} assets are there that no prediction asked for"


def _broken_in_dead_letters(traffic: Traffic, evidence: DemoEvidence) -> Iterator[str]:
    causes = Counter(letter["cause"] for letter in evidence.letters)
    if causes != traffic.causes:
        yield f"the dead letters are {_listed(causes)}; they should be {_listed(traffic.causes)}"
    nameless = sum(not letter["field"] for letter in evidence.letters)
    if nameless:
        yield f"{nameless} dead letters name no field"


def _broken_in_ledger(published: Published, evidence: DemoEvidence) -> Iterator[str]:
    ledger = evidence.ledger
    if ledger["balance"]:
        yield f"the conservation sum is off by {ledger['balance']}"
    if ledger["received"] != published.messages:
        yield f"{published.messages} messages were published, {ledger['received']} received"
    if ledger["dead"] != published.bad:
        yield f"{published.bad} bad messages were published, {ledger['dead']} are dead letters"
    good = published.messages - published.bad
    if ledger["delivered"] + ledger["superseded"] != good:
        yield f"of {good} good messages {ledger['delivered']} were delivered and {ledger['superseded']} superseded"


def _broken_in_review(evidence: DemoEvidence) -> Iterator[str]:
    labeled = {name for part in evidence.labeled for name in part}
    reviewed = reviewed_in(evidence.assets)
    if reviewed != labeled:
        yield f"the labelers labeled {len(labeled)} assets, Kili shows {len(reviewed)}"
    if evidence.unread_labels:
        yield f"{evidence.unread_labels} of {len(labeled)} human labels were not read by the worker"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"
