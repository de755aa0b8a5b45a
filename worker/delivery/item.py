"""One leased prediction on its way through a wave."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from worker.contract import AssetContent, Prediction
from worker.contract.message import EPOCH
from worker.delivery.written import Properties
from worker.review import ReviewDecision
from worker.spool import Leased, Outcome, Settlement
from worker.spool.dead_letters import Cause, Sender, write_letter
from worker.tracing import TRACE_KEY


@dataclass(slots=True)
class Item:
    """A prediction that is ready to be sent.

    ``asset_id`` is the asset's id in Kili: the derived one, or that of an asset found under the same external id.
    ``size`` is in bytes, a good guess at the item's share of a request.
    ``exists`` tells whether the asset is in Kili as far as is known, ``found`` what it holds there. ``content`` is the
    prediction's own, or that of another prediction of the same asset that is sent with it. ``given_priority`` is what
    the asset got in the document that did not create it.
    ``leads`` is False where a newer prediction of the same asset, by another model, sets its properties.
    ``is_again`` tells that whatever is known of the asset's properties may have been overwritten since.
    """

    entry: Leased
    prediction: Prediction
    decision: ReviewDecision
    json_response: str
    asset_id: str
    size: int
    exists: bool = False
    leads: bool = True
    is_again: bool = False
    content: AssetContent | None = None
    found: Properties | None = None
    given_priority: int = 0
    _own: dict[str, Any] | None = field(default=None, init=False, repr=False)
    _own_text: str = field(default="", init=False, repr=False)

    @property
    def external_id(self) -> str:
        """The asset's name within the project."""
        return self.prediction.external_id

    @property
    def answer(self) -> tuple[str, str]:
        """What a newer prediction of it would replace: the label of a model version on an asset."""
        return self.entry.asset_id, self.entry.model

    def outlasts(self, newest: Item) -> bool:
        """Whether the newest of its answer does not supersede it yet: it is that, or alone has the asset's content."""
        return self is newest or not (self.exists or self.prediction.asset is None or newest.prediction.asset)

    def is_known_to_hold(self, properties: Properties) -> None:
        """The asset is in Kili with these properties."""
        self.exists, self.found = True, properties

    def metadata(self) -> dict[str, Any]:
        """The asset's jsonMetadata: what Kili holds, the message's own, and the worker's keys; not to be changed."""
        if self._own is None:
            self._own = {
                **self.prediction.metadata,
                "prediction_model": self.prediction.model.label,
                "prediction_at": moment_of(self.prediction.predicted_at),
                **self.decision.metadata(),
            }
            trace = ReviewDecision.trace_in(self.entry.decision)
            if trace:
                self._own[TRACE_KEY] = f"{trace.partition(' ')[0]} {self._own['prediction_at']}"
        if self.found is None or self.found.metadata is self._own:
            return self._own
        found = self.found.metadata
        if TRACE_KEY in found and TRACE_KEY not in self._own:
            found = {key: value for key, value in found.items() if key != TRACE_KEY}
        return {**found, **self._own}

    def metadata_text(self) -> str:
        """The same as JSON text."""
        return self._text_of(self.metadata())

    def properties(self, priority: int) -> Properties:
        """The metadata as the asset is to hold it, with a priority."""
        metadata = self.metadata()
        return Properties(metadata, priority, self._text_of(metadata))

    def _text_of(self, metadata: dict[str, Any]) -> str:
        if metadata is not self._own:
            return json_text(metadata)
        self._own_text = self._own_text or json_text(metadata)
        return self._own_text

    @property
    def needs_update(self) -> bool:
        """Whether properties must be set after the label: a priority, or anything new on an asset that was there."""
        if not self.leads:
            return False
        if self.found is None:
            return self.decision.priority != 0
        wanted = self.metadata()
        if wanted is self.found.metadata:
            return self.is_again or self.found.priority != self.decision.priority
        if str(self.found.metadata.get("prediction_at", "")) > wanted["prediction_at"]:
            return False
        return self.is_again or self.found.metadata != wanted or self.found.priority != self.decision.priority

    @property
    def has_new_metadata(self) -> bool:
        """Whether the asset, which was there, holds other metadata than it is to hold."""
        return self.found is not None and (self.is_again or self.found.metadata != self.metadata())


def json_text(metadata: Mapping[str, Any]) -> str:
    """An asset's jsonMetadata as JSON text."""
    try:
        return to_json(metadata).decode()
    except PydanticSerializationError:  # a text that UTF-8 cannot hold
        return json.dumps(metadata, ensure_ascii=False)


def moment_of(at: datetime) -> str:
    """A moment in ISO 8601, in UTC with six digits of a second: such texts are in the order of time."""
    since = at - EPOCH
    return f"{_second_of(since.days, since.seconds)}.{since.microseconds:06d}+00:00"


@lru_cache(maxsize=1024)
def _second_of(days: int, seconds: int) -> str:
    return (EPOCH + timedelta(days, seconds)).isoformat(timespec="seconds").removesuffix("+00:00")


def newest_of(items: Iterable[Item]) -> dict[tuple[str, str], Item]:
    """Of each model's predictions on an asset the newest."""
    newest: dict[tuple[str, str], Item] = {}
    for item in items:
        answer = item.answer
        known = newest.setdefault(answer, item)
        if known is not item and item.entry.rank > known.entry.rank:
            newest[answer] = item
    return newest


def sender_of(entry: Leased, prediction: Prediction | None, project: str) -> Sender:
    """What is known of a leased message."""
    if prediction is None:
        return Sender(project_id=project, model=entry.model)
    return Sender(project, prediction.external_id, entry.model, prediction.message_id)


@dataclass(frozen=True, slots=True)
class DeadLetterWriter:
    """How a leased entry becomes a dead letter."""

    project: str
    history: list[dict[str, Any]] = field(default_factory=list)

    def of(self, entry: Leased, prediction: Prediction | None, cause: Cause, stage: str) -> Settlement:
        """The settlement that moves the entry to the dead letters."""
        sender = sender_of(entry, prediction, self.project)
        letter = write_letter(
            cause,
            sender,
            stage=stage,
            history=[*history_of(entry), *self.history],
            source=source_of(entry),
            trace=ReviewDecision.trace_in(entry.decision),
        )
        return Settlement(entry, Outcome.DEAD, cause.slug, letter)


def source_of(entry: Leased) -> str:
    """The source that brought the message; empty when that is not known."""
    return ReviewDecision.source_in(entry.decision)


def history_of(entry: Leased) -> list[dict[str, Any]]:
    """What the message went through before this wave (from earlier dead letters), and how many waves took it."""
    earlier = ReviewDecision.history_in(entry.decision)
    return [*earlier, {"stage": "delivery", "waves": entry.deliveries}]
