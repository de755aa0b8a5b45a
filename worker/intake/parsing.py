"""From what stands in the inbox to predictions that the policy can decide on, or to the rejection of a message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import msgspec
import redis

from worker.contract import (
    MessageError,
    Prediction,
    PredictionBatch,
    ReadingLimits,
    read_json,
    read_raw,
    unforeseen,
)
from worker.environment import clock
from worker.formats import OutputError
from worker.intake.originals import EventRules, message_of_event, message_of_pair, messages_of
from worker.kili.ids import derived_asset_id
from worker.projects.configuration import ProjectConfig, Projects
from worker.projects.outputs import ResultElsewhere, check_output, output_of, plain_scores, rows_of
from worker.projects.results import ResultPlaces, allowed_path
from worker.review import Subject
from worker.review.decision import subject_of, subject_of_scores
from worker.spool import Dead
from worker.spool.dead_letters import Cause, Form, Sender, write_letter

NO_PROJECT = "-"

History = Sequence[dict[str, Any]]


def rejection(
    error: MessageError | OutputError,
    original: bytes,
    value: Any = None,
    history: History = (),
    *,
    default_project: str | None = None,
    form: Form = "message",
    source: str = "",
) -> Dead:
    """The dead letter of a message.

    Args:
        error: why it cannot be admitted.
        original: what arrived, of the kind ``form``.
        value: the same as parsed JSON, as far as that went; tells whose message it is.
        history: of earlier letters.
        default_project: of messages that name none.
        form: of the original.
        source: name of the source that brought it.
    """
    cause = Cause(getattr(error, "cause", "unreadable_output"), "message", error.field, error.problem, error.fix)
    sender = _sender(value, default_project)
    letter = write_letter(cause, sender, stage="intake", history=history, form=form, source=source)
    return Dead(sender.project_id or NO_PROJECT, cause.slug, letter, original)


def _sender(value: Any, default_project: str | None) -> Sender:
    found: Mapping[str, Any] = value if isinstance(value, dict) else {}
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


FORMS: Mapping[bytes, Form] = {b"envelope": "envelope", b"event": "event", b"pair": "pair"}
"""Fields of an inbox entry other than ``payload``, and the form of the message in each."""

SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
FUTURE_SECONDS = 86_400
BATCH_BYTES = 64_000_000


class InboxEntry(msgspec.Struct, gc=False):
    """An entry of the inbox stream.

    Its message stands in one of the fields ``payload`` (a prediction), ``envelope`` (a Celery message), ``event`` (a
    CloudEvent) or ``pair`` (a logged request with its response). ``source`` names what brought it.
    """

    entry_id: str
    fields: Mapping[bytes, bytes]

    @property
    def source(self) -> str:
        """The source's name; entries that name none came from the stream, or from Celery when they are envelopes."""
        if len(self.fields) == 1 and b"payload" in self.fields:
            return "stream"
        return _source(self.fields.get(b"source", b""), b"envelope" in self.fields)


@lru_cache(maxsize=256)
def _source(name: bytes, enveloped: bool) -> str:
    named = name.decode("utf-8", "replace")
    return named if SOURCE_NAME.fullmatch(named) else "celery" if enveloped else "stream"


@dataclass(frozen=True, slots=True)
class Rules:
    """What admission is told by the settings."""

    default_project: str | None = None
    limits: ReadingLimits = field(default_factory=ReadingLimits)
    path_roots: tuple[Path, ...] = ()
    result_places: ResultPlaces = field(default_factory=ResultPlaces)
    events: EventRules = field(default_factory=EventRules)


class ParsedPrediction(msgspec.Struct, gc=False):
    """A prediction that can be admitted, and its JSON; ``subject`` is None while its result is awaited."""

    project: str
    asset_id: str
    model: str
    stamp: int
    message: bytes
    history: History
    subject: Subject | None
    source: str = ""


class MessageParser:
    """Reads entries and messages.

    Args:
        rules: limits and defaults.
        projects: the configuration of each project's outputs.
        checks_only: what is found is not to be admitted here; what admission alone needs is left out.
    """

    def __init__(self, rules: Rules, projects: Projects, *, checks_only: bool = False) -> None:
        self._checks_only = checks_only
        self._is_past = float("-inf")
        """What is stamped before it, in microseconds since the epoch, needs no look at the clock."""
        self._rules = rules
        self._projects = projects

    def of_entry(self, entry: InboxEntry) -> Iterable[ParsedPrediction | Dead]:
        """What an inbox entry holds; never nothing, and never an error but of Redis."""
        message = entry.fields.get(b"payload")
        if message is not None:
            return self.of_message(message, (), entry.source)
        for name, form in FORMS.items():
            original = entry.fields.get(name)
            if original is not None:
                return self.of_original(form, original, (), entry.source, check_expiry=True)
        error = MessageError("no_payload", "payload", "is missing from the stream entry", "XADD … payload <json>")
        fields = {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in entry.fields.items()}
        return [rejection(error, json.dumps(fields).encode(), source=entry.source)]

    def of_original(
        self, form: Form, original: bytes, history: History = (), source: str = "", *, check_expiry: bool = False
    ) -> Iterable[ParsedPrediction | Dead]:
        """The predictions of what arrived in a form; ``check_expiry`` refuses Celery messages that have expired."""
        if form == "message":
            return self.of_message(original, history, source)
        return self._of_wrapped(form, original, history, source, check_expiry)

    def _of_wrapped(
        self, form: Form, original: bytes, history: History, source: str, check_expiry: bool
    ) -> Iterator[ParsedPrediction | Dead]:
        try:
            messages = self._messages_in(form, original, check_expiry)
        except (MessageError, OutputError) as error:
            yield rejection(error, original, None, history, form=form, source=source)
            return
        except Exception as error:  # noqa: BLE001 - as in of_message
            yield rejection(unforeseen(error), original, None, history, form=form, source=source)
            return
        for message in messages:
            yield from self.of_message(message, history, source)

    def message_in(self, form: Form, original: bytes) -> bytes | None:
        """The one message that an original carries; None where it carries several, or none that can be read."""
        if form == "message":
            return original
        try:
            messages = self._messages_in(form, original, check_expiry=False)
        except (MessageError, OutputError, ValueError, KeyError):
            return None
        return messages[0] if len(messages) == 1 else None

    def _messages_in(self, form: Form, original: bytes, check_expiry: bool) -> list[bytes]:
        if form == "envelope":
            return messages_of(original, check_expiry=check_expiry)
        convert = message_of_pair if form == "pair" else message_of_event
        return [convert(original, self._rules.events, self._rules.limits)]

    def of_message(self, message: bytes, history: History = (), source: str = "") -> list[ParsedPrediction | Dead]:
        """The predictions of one message."""
        try:
            found = read_raw(message, self._rules.limits)
            if isinstance(found, Prediction):
                return [self._parsed(found, message, history, source)]
            rows = _within_limit(_with_json(rows_of(found, self._config(found))))
            return [self._parsed(row, raw, history, source) for row, raw in rows]
        except redis.RedisError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a message does to this code, intake goes on
            return [self.refused(error, message, history, source)]

    def refused(self, error: Exception, message: bytes, history: History, source: str = "") -> Dead:
        """The dead letter of a message."""
        try:
            value = read_json(message, self._rules.limits)
        except MessageError:
            value = None
        if not isinstance(error, MessageError | OutputError):
            return rejection(unforeseen(error), message, value, history, source=source)
        default = self._rules.default_project
        return rejection(error, message, value, history, default_project=default, source=source)

    def _config(self, message: Prediction | PredictionBatch) -> ProjectConfig:
        return self._projects.of(message.project_id or self._rules.default_project or NO_PROJECT)

    def _parsed(self, prediction: Prediction, message: bytes, history: History, source: str) -> ParsedPrediction:
        project, stamp, asset = prediction.project_id or self._default_project(), prediction.stamp, prediction.asset
        if stamp > self._is_past:
            self._check_stamp(stamp)
        if asset is not None and asset.path is not None:
            self._check_path(asset.path)
        subject = self._subject(prediction, project)
        if subject is not None:
            return ParsedPrediction(project, subject.asset_id, subject.model, stamp, message, history, subject, source)
        asset_id = "" if self._checks_only else derived_asset_id(project, prediction.external_id)
        return ParsedPrediction(project, asset_id, prediction.model.label, stamp, message, history, None, source)

    def _subject(self, prediction: Prediction, project: str) -> Subject | None:
        """None for a result that lies elsewhere: it is fetched, and decided on, by the wave."""
        config = self._projects.of(project)
        try:
            if self._checks_only:
                check_output(prediction, config)
                return None
            scores = plain_scores(prediction, config)
            if scores is not None:
                return subject_of_scores(prediction, scores, partial(output_of, prediction, config), project)
            return subject_of(prediction, output_of(prediction, config), project)
        except ResultElsewhere as elsewhere:
            self._rules.result_places.address(elsewhere.location)
        return None

    def _default_project(self) -> str:
        if not self._rules.default_project:
            raise MessageError(
                "invalid_message",
                "project_id",
                "is missing and no default is set",
                "add it, or set WORKER_DEFAULT_PROJECT",
            )
        return self._rules.default_project

    def _check_stamp(self, stamp: int) -> None:
        self._is_past = (clock.now() + FUTURE_SECONDS) * 1e6
        if stamp > self._is_past:
            raise MessageError(
                "invalid_message", "predicted_at", "is more than a day in the future", "check the producer's clock"
            )

    def _check_path(self, path: str) -> None:
        if allowed_path(path, self._rules.path_roots) is None:
            raise MessageError(
                "path_refused",
                "asset.path",
                "is not below an allowed folder",
                "add its folder to WORKER_INTAKE__PATH_ROOTS",
            )


def _with_json(rows: Iterable[Prediction]) -> Iterator[tuple[Prediction, bytes]]:
    return ((row, row.to_json()) for row in rows)


def _within_limit(rows: Iterable[tuple[Prediction, bytes]]) -> Iterator[tuple[Prediction, bytes]]:
    """What a batch says once for all its rows is stored with each of them, so a small message can be a large batch."""
    size = 0
    for row, raw in rows:
        size += len(raw)
        if size > BATCH_BYTES:
            problem = f"are more than {BATCH_BYTES:,} bytes as single predictions"
            raise MessageError("too_large", "external_ids", problem, "send smaller batches")
        yield row, raw
