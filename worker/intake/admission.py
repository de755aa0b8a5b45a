"""One admission for both doors: every message ends in the spool or in the dead letters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from worker.deadletters import Cause, DeadLetter, Sender, write_letter
from worker.formats import OutputError
from worker.intake.envelope import messages_of
from worker.kili.ids import derived_asset_id
from worker.messages import MessageError, Prediction, PredictionBatch, ReadingLimits, read_json, read_message
from worker.outputs import output_of, rows_of
from worker.paths import allowed_path
from worker.projects import ProjectConfig, Projects
from worker.review import ReviewPolicy, Subject, own_confidence
from worker.spool import Admission, Arrival, Dead, Item, Spool, Waiting

NO_PROJECT = "-"
FUTURE = timedelta(hours=24)

History = Sequence[dict[str, Any]]


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

    def admit_entries(self, entries: Sequence[InboxEntry], *, inbox: str) -> Admission:
        """Admit inbox entries; with ``inbox`` they leave it in the same transaction."""
        arrivals = [Arrival(entry.entry_id, tuple(self._items_of(entry))) for entry in entries]
        return self._spool.admit(arrivals, inbox=inbox)

    def admit_messages(self, messages: Sequence[bytes]) -> Admission:
        """Admit messages that came another way than through the inbox."""
        return self._spool.admit([Arrival("", tuple(item for message in messages for item in self._items(message)))])

    def replay(self, letter: DeadLetter) -> Admission:
        """Admit a dead letter's original again; the letter goes in the same transaction, or nothing happens."""
        history = letter.about.get("history", [])
        if letter.about.get("form") == "envelope":
            items = list(self._items_of_envelope(letter.original, history, check_expiry=False))
        else:
            items = list(self._items(letter.original, history))
        items[0] = replace(items[0], replayed=letter.id)
        return self._spool.admit([Arrival("", tuple(items))])

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
            yield _dead(error, original.encode(), None)

    def _items_of_envelope(
        self, envelope: bytes, history: History = (), *, check_expiry: bool = True
    ) -> Iterator[Item]:
        try:
            messages = messages_of(envelope, check_expiry=check_expiry)
        except MessageError as error:
            yield _dead(error, envelope, None, history, form="envelope")
            return
        for message in messages:
            yield from self._items(message, history)

    def _items(self, message: bytes, history: History = ()) -> list[Item]:
        value: Any = None
        try:
            value = read_json(message, self._rules.limits)
            found = read_message(value)
            if isinstance(found, Prediction):
                return [self._waiting(found, message, history)]
            rows = rows_of(found, self._config(found))
            return [self._waiting(row, _json_of(row), history) for row in rows]
        except (MessageError, OutputError) as error:
            return [_dead(error, message, value, history, default_project=self._rules.default_project)]

    def _config(self, message: Prediction | PredictionBatch) -> ProjectConfig:
        return self._projects.of(message.project_id or self._rules.default_project or NO_PROJECT)

    def _waiting(self, prediction: Prediction, message: bytes, history: History) -> Waiting:
        project = self._checked(prediction)
        output = output_of(prediction, self._config(prediction))
        asset_id = derived_asset_id(project, prediction.external_id)
        confidence = prediction.confidence if prediction.confidence is not None else own_confidence(output)
        model = prediction.model.label
        decision = self._policy.decide(
            Subject(project, prediction.external_id, asset_id, model, output, confidence, prediction.metadata)
        )
        return Waiting(
            project=project,
            lane=decision.lane,
            asset_id=asset_id,
            model=model,
            stamp=prediction.stamp,
            digest=hashlib.blake2b(message, digest_size=8).hexdigest(),
            payload=message,
            decision=decision.to_bytes(history),
        )

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


def _json_of(row: Prediction) -> bytes:
    return row.model_dump_json(by_alias=True, exclude_none=True).encode()


def _dead(
    error: MessageError | OutputError,
    message: bytes,
    value: Any,
    history: History = (),
    *,
    default_project: str | None = None,
    form: Literal["message", "envelope"] = "message",
) -> Dead:
    cause = Cause(getattr(error, "cause", "unreadable_output"), "message", error.field, error.problem, error.fix)
    sender = _sender(value, default_project)
    letter = write_letter(cause, sender, stage="intake", history=history, form=form)
    return Dead(sender.project_id or NO_PROJECT, cause.slug, letter, message)


def _sender(value: Any, default_project: str | None) -> Sender:
    found = value if isinstance(value, dict) else {}
    model = found.get("model")
    named = isinstance(model, dict) and isinstance(model.get("name"), str) and isinstance(model.get("version"), str)
    return Sender(
        project_id=_text(found.get("project_id")) or default_project,
        external_id=_text(found.get("external_id")),
        model=f"{model['name']}:{model['version']}"[:400] if named and model else None,
        message_id=_text(found.get("message_id")),
    )


def _text(value: Any) -> str | None:
    return value[:1024] if isinstance(value, str) and value else None
