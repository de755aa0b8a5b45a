"""One admission for both doors: every message ends in the spool or in the dead letters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

from worker.deadletters import DeadLetter
from worker.formats import OutputError
from worker.intake.envelope import messages_of
from worker.intake.refusal import NO_PROJECT, History, refusal
from worker.kili.ids import derived_asset_id
from worker.messages import (
    MessageError,
    Prediction,
    PredictionBatch,
    ReadingLimits,
    not_understood,
    read_json,
    read_message,
)
from worker.outputs import ResultElsewhere, output_of, rows_of
from worker.paths import allowed_path
from worker.projects import ProjectConfig, Projects
from worker.results import AWAITED, ResultPlaces
from worker.review import ReviewDecision, ReviewPolicy
from worker.spool import Admission, Arrival, Counted, Dead, Item, Spool, Waiting
from worker.subjects import subject_of

FUTURE = timedelta(hours=24)
AWAITED_LANE = 5
"""Of predictions whose result is yet to be read: how doubtful they are is not known."""

BATCH_BYTES = 64_000_000
TRANSACTION_BYTES = 16_000_000
TRANSACTION_ITEMS = 5_000
"""One transaction ends with the entry that reaches these, so that what is held at once stays bounded."""


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """An entry of the inbox stream: ``payload`` from the stream door, ``envelope`` from the Celery door."""

    entry_id: str
    fields: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Rules:
    """What admission is told by the settings."""

    default_project: str | None = None
    limits: ReadingLimits = field(default_factory=ReadingLimits)
    path_roots: tuple[Path, ...] = ()
    result_places: ResultPlaces = field(default_factory=ResultPlaces)


class Admitter:
    """Turns messages into spool items, and puts them there.

    Args:
        spool: where they go.
        policy: decides lane and priority.
        rules: limits and defaults.
        projects: the operator's word on each project's outputs.
    """

    def __init__(self, spool: Spool, policy: ReviewPolicy, rules: Rules, projects: Projects) -> None:
        self._spool = spool
        self._policy = policy
        self._rules = rules
        self._projects = projects

    def admit_entries(self, entries: Sequence[InboxEntry], *, inbox: str, insist: bool = False) -> Admission:
        """Admit inbox entries, in one or more transactions; with ``inbox`` each leaves it in that which admits it.

        ``insist`` admits also while memory is full.
        """
        total = Admission(0, 0, 0, 0)
        arrivals: list[Arrival] = []
        size = items = 0
        for entry in entries:
            arrivals.append(Arrival(entry.entry_id, tuple(self._items_of(entry))))
            items += len(arrivals[-1].items)
            size += sum(_size(item) for item in arrivals[-1].items)
            if size >= TRANSACTION_BYTES or items >= TRANSACTION_ITEMS:
                total += self._spool.admit(arrivals, inbox=inbox, insist=insist)
                arrivals, size, items = [], 0, 0
        return total + self._spool.admit(arrivals, inbox=inbox, insist=insist) if arrivals else total

    def replay(self, letter: DeadLetter) -> Admission:
        """Admit a dead letter's original again; the letter goes in the same transaction, or nothing happens."""
        history = letter.about.get("history", [])
        if letter.about.get("form") == "envelope":
            items = list(self._items_of_envelope(letter.original, history, check_expiry=False))
        else:
            items = list(self._items(letter.original, history))
        return self._spool.admit([Arrival("", tuple(items), replayed=letter.id)])

    def _items_of(self, entry: InboxEntry) -> Iterator[Item]:
        payload, envelope = entry.fields.get(b"payload"), entry.fields.get(b"envelope")
        if payload is not None:
            yield from self._items(payload)
        elif envelope is not None:
            yield from self._items_of_envelope(envelope)
        else:
            error = MessageError("no_payload", "payload", "is missing from the stream entry", "XADD … payload <json>")
            original = json.dumps(
                {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in entry.fields.items()}
            )
            yield refusal(error, original.encode(), None)

    def _items_of_envelope(
        self, envelope: bytes, history: History = (), *, check_expiry: bool = True
    ) -> Iterator[Item]:
        try:
            messages = messages_of(envelope, check_expiry=check_expiry)
        except MessageError as error:
            yield refusal(error, envelope, None, history, form="envelope")
            return
        except Exception as error:  # noqa: BLE001 - as in _items
            yield refusal(not_understood(error), envelope, None, history, form="envelope")
            return
        for message in messages:
            yield from self._items(message, history)

    def _items(self, message: bytes, history: History = ()) -> list[Item]:
        value: Any = None
        try:
            value = read_json(message, self._rules.limits)
            found = read_message(value)
            if isinstance(found, Prediction):
                return [self._admitted(found, message, history)]
            rows = _within_limit(_with_json(rows_of(found, self._config(found))))
            return [self._admitted(row, raw, history) for row, raw in rows]
        except (MessageError, OutputError) as error:
            return [refusal(error, message, value, history, default_project=self._rules.default_project)]
        except redis.RedisError:
            raise  # the policy's memory is away: the entry stays in the inbox
        except Exception as error:  # noqa: BLE001 - whatever a message does to this code, the doors stay open
            return [refusal(not_understood(error), message, value, history)]

    def _config(self, message: Prediction | PredictionBatch) -> ProjectConfig:
        return self._projects.of(message.project_id or self._rules.default_project or NO_PROJECT)

    def _admitted(self, prediction: Prediction, message: bytes, history: History) -> Waiting | Counted:
        project = self._checked(prediction)
        decision = self._decided(prediction, project)
        if not decision.upload:
            return Counted(project)
        return Waiting(
            project=project,
            lane=decision.lane,
            asset_id=derived_asset_id(project, prediction.external_id),
            model=prediction.model.label,
            stamp=prediction.stamp,
            digest=hashlib.blake2b(message, digest_size=8).hexdigest(),
            payload=message,
            decision=decision.to_bytes(history),
        )

    def _decided(self, prediction: Prediction, project: str) -> ReviewDecision:
        """What the policy says; a result that lies elsewhere is fetched, and decided on, by the wave."""
        try:
            output = output_of(prediction, self._config(prediction))
        except ResultElsewhere as elsewhere:
            self._rules.result_places.address(elsewhere.location)
            return ReviewDecision(AWAITED_LANE, 0, AWAITED, "none")
        return self._policy.decide(subject_of(prediction, output, project))

    def _checked(self, prediction: Prediction) -> str:
        project = prediction.project_id or self._rules.default_project
        if not project:
            raise MessageError(
                "invalid_message",
                "project_id",
                "is missing and no default is set",
                "add it, or set WORKER_DEFAULT_PROJECT",
            )
        if prediction.predicted_at > datetime.now(UTC) + FUTURE:
            raise MessageError(
                "invalid_message", "predicted_at", "is more than a day in the future", "check the producer's clock"
            )
        if prediction.asset is not None and prediction.asset.path is not None:
            self._check_path(prediction.asset.path)
        return project

    def _check_path(self, path: str) -> None:
        if allowed_path(path, self._rules.path_roots) is None:
            raise MessageError(
                "path_refused",
                "asset.path",
                "is not below an allowed folder",
                "add its folder to WORKER_INTAKE__PATH_ROOTS",
            )


def _with_json(rows: Iterable[Prediction]) -> Iterator[tuple[Prediction, bytes]]:
    return ((row, row.model_dump_json(by_alias=True, exclude_none=True).encode()) for row in rows)


def _within_limit(rows: Iterable[tuple[Prediction, bytes]]) -> Iterator[tuple[Prediction, bytes]]:
    """What a batch says once for all its rows is stored with each of them, so a small message can be a large batch."""
    size = 0
    for row, raw in rows:
        size += len(raw)
        if size > BATCH_BYTES:
            problem = f"are more than {BATCH_BYTES:,} bytes as single predictions"
            raise MessageError("too_large", "external_ids", problem, "send smaller batches")
        yield row, raw


def _size(item: Item) -> int:
    match item:
        case Waiting():
            return len(item.payload)
        case Dead():
            return len(item.original)
        case Counted():
            return 0
