"""What was sent and what came of it, counted in the sandbox's state and the worker's, against the promises."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.demo.traffic import JOB, Traffic

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
