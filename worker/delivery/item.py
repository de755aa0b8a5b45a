"""One leased prediction on its way through a wave, and the properties that it and others gave its asset lately."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import redis
from pydantic_core import PydanticSerializationError, to_json

from worker.contract import AssetContent, Prediction
from worker.contract.message import EPOCH
from worker.environment import clock
from worker.environment.connections import script_of
from worker.environment.json_text import json_bytes
from worker.kili import FoundAsset
from worker.review import ReviewDecision
from worker.spool import Leased, Outcome, Settlement
from worker.spool.dead_letters import Cause, Sender, write_letter
from worker.tracing import TRACE_KEY

logger = logging.getLogger(__name__)

KEPT_SECONDS = 60
MOST_BYTES = 16_000
"""Longer properties are not kept; an asset that is known only as made is then looked up until Kili shows it."""


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


@dataclass(frozen=True, slots=True)
class DeadLetterWriter:
    """How a leased entry becomes a dead letter."""

    project: str

    def of(self, entry: Leased, prediction: Prediction | None, cause: Cause, stage: str) -> Settlement:
        """The settlement that moves the entry to the dead letters; its history tells how many waves took it."""
        letter = write_letter(
            cause,
            self._sender(entry, prediction),
            stage=stage,
            history=[*ReviewDecision.history_in(entry.decision), {"stage": "delivery", "waves": entry.deliveries}],
            source=ReviewDecision.source_in(entry.decision),
            trace=ReviewDecision.trace_in(entry.decision),
        )
        return Settlement(entry, Outcome.DEAD, cause.slug, letter)

    def _sender(self, entry: Leased, prediction: Prediction | None) -> Sender:
        if prediction is None:
            return Sender(project_id=self.project, model=entry.model)
        return Sender(self.project, prediction.external_id, entry.model, prediction.message_id)


@dataclass(slots=True)
class Properties:
    """An asset's jsonMetadata and priority, as they were written; ``text`` is the metadata as JSON, where at hand."""

    metadata: dict[str, Any]
    priority: int
    text: str = field(default="", compare=False, repr=False)

    def over(self, found: FoundAsset) -> Properties:
        """What the asset holds by now: what was found, unless it was read before this was written."""
        if _moment(found.metadata) >= _moment(self.metadata):
            return Properties(found.metadata, found.priority)
        return Properties({**found.metadata, **self.metadata}, self.priority)


class WrittenLately:
    """Assets that the fleet made or set properties of within the last minute: reads of Kili may not show it yet.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._made = f"{prefix}made"
        self._prefix = f"{prefix}written:"
        self._add_made = script_of(client, __package__, "made.lua")
        self._keep = script_of(client, __package__, "written.lua")

    def note(self, written: Mapping[str, Properties | None], *, made: Iterable[str] = ()) -> None:
        """Remember properties by asset id (None: not known), and who was made.

        Failing to costs only a second look, so it is logged and no more.
        """
        now = math.ceil(clock.now())
        arguments = [word for asset_id in made for word in (now, asset_id)]
        try:
            if arguments:
                self._add_made(keys=[self._made], args=[now - KEPT_SECONDS, KEPT_SECONDS, *arguments])
            if written:
                keys = [f"{self._prefix}{asset_id}" for asset_id in written]
                self._keep(keys=keys, args=[KEPT_SECONDS, *map(_text_of, written.values())])
        except redis.RedisError as error:
            logger.debug("what was written is not remembered: %s", error, extra={"action": "written_not_remembered"})

    def made(self, asset_ids: Sequence[str]) -> set[str]:
        """Those of the assets that were created lately."""
        if not asset_ids:
            return set()
        made: Any = self._redis.zmscore(self._made, list(asset_ids))
        since = clock.now() - KEPT_SECONDS
        return {asset_id for asset_id, at in zip(asset_ids, made, strict=True) if at is not None and at > since}

    def properties(self, asset_ids: Sequence[str]) -> dict[str, Properties]:
        """What was written lately, by asset id."""
        if not asset_ids:
            return {}
        found: Any = self._redis.mget([f"{self._prefix}{asset_id}" for asset_id in asset_ids])
        return {asset_id: Properties(*json.loads(raw)) for asset_id, raw in zip(asset_ids, found, strict=True) if raw}


def _text_of(properties: Properties | None) -> bytes:
    """As it is kept; nothing where it is not known or too long."""
    if properties is None:
        return b""
    try:
        text = f"[{properties.text},{properties.priority}]".encode() if properties.text else _json_of(properties)
    except UnicodeEncodeError:
        text = _json_of(properties)
    return text if len(text) <= MOST_BYTES else b""


def _json_of(properties: Properties) -> bytes:
    return json_bytes([properties.metadata, properties.priority])


def _moment(metadata: Mapping[str, Any]) -> str:
    return str(metadata.get("prediction_at", ""))
