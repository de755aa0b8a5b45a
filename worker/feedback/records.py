"""What is kept of one asset: the decision, what each model version said of it, and what the humans said of that."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import msgspec

from worker.feedback.reading import LabelKind

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

Classes = dict[str, list[str]]
"""Per job, the names of the categories in a response, sorted."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The review decision stored with the asset, about the model version that led at that time.

    ``band``: 3 must-review, 2 audit, 1 scored, 0 untouched; ``at`` in seconds since the epoch; ``uploaded`` is the
    share of the predictions like it that were uploaded at all.
    """

    model: str
    at: float
    band: int = 0
    p_error: float | None = None
    inclusion: float | None = None
    confidence: float | None = None
    uploaded: float = 1.0
    reason: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class HumanVerdict:
    """One human label held against one model version's answer.

    Attributes:
        label_id: of the human label; ``label_type`` DEFAULT or REVIEW.
        at: when it was written, seconds since the epoch.
        agreement: 0-1, over all jobs; ``jobs`` has it per job.
        classes: what the human said.
        mark: Kili's own figure for the human label, None where it is about another model version or not there yet.
        standing: False once the same person has answered again, or a reviewer after them.
        seconds: how long the human took, if known.
    """

    label_id: str
    label_type: str
    author: str
    at: float
    agreement: float
    jobs: dict[str, float]
    classes: Classes
    mark: float | None
    standing: bool
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model version said of the asset, and every verdict on it."""

    model: str
    label_id: str
    at: float
    classes: Classes
    verdicts: tuple[HumanVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelKey:
    """A label by id, kind and day in UTC: what a count of Kili's labels is held against."""

    id: str
    kind: LabelKind
    day: date


@dataclass(frozen=True, slots=True)
class AssetRecord:
    """Everything that is kept of an asset; ``created`` is its day in Kili, ``slices`` are metadata to group by.

    ``first_human`` is when the first human label came, seconds since the epoch, None without one.
    """

    asset_id: str
    external_id: str
    created: date
    decision: Decision | None
    slices: dict[str, str]
    answers: tuple[Answer, ...]
    labels: tuple[LabelKey, ...]
    first_human: float | None

    @property
    def verdicts(self) -> int:
        """How many verdicts there are on it."""
        return sum(len(answer.verdicts) for answer in self.answers)

    @property
    def unmarked(self) -> bool:
        """Whether Kili has yet to compute the mark of its newest human label."""
        standing = [one for one in self.answers[-1].verdicts if one.standing] if self.answers else []
        return bool(standing) and all(one.mark is None for one in standing)

    def to_json(self) -> str:
        """One line of JSON; lists instead of objects keep it small."""
        known = self.decision
        decision = known and [getattr(known, name) for name in Decision.__slots__]
        answers = [
            [answer.model, answer.label_id, answer.at, answer.classes, [_verdict_row(one) for one in answer.verdicts]]
            for answer in self.answers
        ]
        labels = [[key.id, key.kind.value, key.day.isoformat()] for key in self.labels]
        row = [self.external_id, self.created.isoformat(), decision, self.slices, answers, labels, self.first_human]
        return _ENCODER.encode(row)

    @classmethod
    def from_json(cls, asset_id: str, text: str | bytes, *, with_labels: bool = True) -> AssetRecord:
        """Read what ``to_json`` wrote; what many records have in common is held in memory once."""
        external_id, created, decision, slices, answers, labels, first = msgspec.json.decode(text)
        return cls(
            asset_id=asset_id,
            external_id=external_id,
            created=_day(created),
            decision=_decision(decision) if decision else None,
            slices=_shared_slices(tuple(slices.items())),
            answers=tuple([_answer(row) for row in answers]),
            labels=tuple(LabelKey(key, LabelKind(kind), _day(day)) for key, kind, day in labels) if with_labels else (),
            first_human=first,
        )


def delays_of(record: AssetRecord) -> dict[str, float]:
    """Per verdict, the seconds since the newest answer that was there before it."""
    delays: dict[str, float] = {}
    for answer in record.answers:
        for verdict in answer.verdicts:
            seconds = verdict.at - answer.at
            if seconds >= 0:
                delays[verdict.label_id] = min(seconds, delays.get(verdict.label_id, seconds))
    return delays


def _verdict_row(verdict: HumanVerdict) -> list[Any]:
    return [getattr(verdict, name) for name in HumanVerdict.__slots__]


def _decision(row: list[Any]) -> Decision:
    shared: list[Any] = [sys.intern(value) if value.__class__ is str else value for value in row]
    return Decision(*shared)


def _answer(row: list[Any]) -> Answer:
    model, label_id, at, classes, verdicts = row
    return Answer(sys.intern(model), label_id, at, _classes(classes), tuple([_verdict(one) for one in verdicts]))


def _verdict(row: list[Any]) -> HumanVerdict:
    label_id, label_type, author, at, agreement, jobs, classes, mark, standing, seconds = row
    about = (label_id, sys.intern(label_type), sys.intern(author), at, agreement)
    return HumanVerdict(*about, _shared_jobs(tuple(jobs.items())), _classes(classes), mark, standing, seconds)


def _classes(classes: Classes) -> Classes:
    return _shared_classes(tuple([(job, tuple(names)) for job, names in classes.items()]))


@lru_cache(2000)
def _shared_classes(items: tuple[tuple[str, tuple[str, ...]], ...]) -> Classes:
    return {job: list(names) for job, names in items}


@lru_cache(2000)
def _shared_slices(items: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return dict(items)


@lru_cache(2000)
def _shared_jobs(items: tuple[tuple[str, float], ...]) -> dict[str, float]:
    return dict(items)


@lru_cache(2000)
def _day(text: str) -> date:
    return date.fromisoformat(text)
