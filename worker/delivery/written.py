"""What the fleet wrote to assets within the last minute: reads of Kili may not show it yet."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from worker.environment import clock
from worker.environment.connections import script_of
from worker.environment.json_text import json_bytes
from worker.kili import FoundAsset

logger = logging.getLogger(__name__)

KEPT_SECONDS = 60
MOST_BYTES = 16_000
"""Longer properties are not kept; an asset that is known only as made is then looked up until Kili shows it."""


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
    """Assets that the fleet made or set properties of within the last minute.

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
