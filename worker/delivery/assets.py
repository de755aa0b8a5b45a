"""Find out which assets Kili has, and create the missing ones, each exactly once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import redis

from worker.connections import insist
from worker.deadletters import Cause
from worker.delivery.bisect import Refusal, Sent, send_each
from worker.delivery.content import missing_asset
from worker.delivery.item import Item
from worker.kili import FoundAsset, KiliClient, NewAsset, RefusedItems, ServerFault

logger = logging.getLogger(__name__)

MADE_SECONDS = 60
LOOK_AGAIN_MS = 2000


class MadeAssets:
    """Assets the fleet created within the last minute: reads of Kili may not show them yet."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._prefix = f"{prefix}made:"

    def add(self, asset_ids: Iterable[str]) -> None:
        """Remember; failing to costs only a second look, so it is logged and no more."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for asset_id in asset_ids:
                    insist(pipe, "SET", self._prefix + asset_id, b"1", "EX", MADE_SECONDS)
                pipe.execute()
        except redis.RedisError as error:
            logger.debug("new assets not remembered: %s", error, extra={"action": "made_not_remembered"})

    def among(self, asset_ids: Sequence[str]) -> set[str]:
        """Those of the ids that were created lately."""
        if not asset_ids:
            return set()
        found = self._redis.mget([self._prefix + asset_id for asset_id in asset_ids])
        return {asset_id for asset_id, value in zip(asset_ids, found, strict=True) if value is not None}


@dataclass(slots=True)
class Located:
    """Items by what is to be done next."""

    ready: list[Item] = field(default_factory=list)
    missing: list[tuple[Item, Cause]] = field(default_factory=list)
    later: list[Item] = field(default_factory=list)


class AssetKeeper:
    """Looks assets up and creates them.

    Args:
        kili: the client.
        made: assets created lately by anyone in the fleet.
        read_lag: seconds by which Kili's reads may lag.
        grace_ms: how long an item without content waits for its asset.
        stop: cuts waits short.
    """

    def __init__(
        self, kili: KiliClient, made: MadeAssets, *, read_lag: float, grace_ms: int, stop: threading.Event
    ) -> None:
        self._kili = kili
        self._made = made
        self._read_lag = read_lag
        self._grace_ms = grace_ms
        self._stop = stop

    def locate(self, project: str, items: Sequence[Item]) -> Located:
        """Decide for each item whether its asset exists, is to be created, or is not there."""
        names = list(dict.fromkeys(item.external_id for item in items))
        existing = self._kili.existing_external_ids(project, names)
        made = self._made.among([item.entry.asset_id for item in items if item.external_id not in existing])
        found = self._kili.find_assets(project, sorted(existing)) if existing else {}
        located = Located()
        for item in items:
            candidates = found.get(item.external_id, [])
            if candidates:
                _use(item, candidates)
            elif item.external_id in existing:
                located.later.append(item)
                continue
            item.exists = item.exists or item.entry.asset_id in made
            self._place(item, located)
        return located

    def create(self, project: str, pairs: Sequence[tuple[Item, NewAsset]]) -> Sent[tuple[Item, NewAsset]]:
        """Create assets; one that turns out to be there already counts as created."""
        sent = self._send(project, pairs)
        self._made.add(asset.id for _, asset in sent.accepted)
        return sent

    def _send(self, project: str, pairs: Sequence[tuple[Item, NewAsset]]) -> Sent[tuple[Item, NewAsset]]:
        try:
            self._append(project, pairs)
            return Sent(accepted=list(pairs))
        except RefusedItems as refusal:
            there = self._already_there(project, pairs, refusal)
        except ServerFault as fault:
            if not fault.may_be_items:
                raise
            there = set()
        rest = [pair for pair in pairs if pair[1].id not in there]
        sent = send_each(rest, lambda part: self._append(project, part))
        known = [pair for pair, refusal in sent.refused if _says_it_exists(refusal)]
        sent.accepted += known + [pair for pair in pairs if pair[1].id in there]
        sent.refused = [(pair, refusal) for pair, refusal in sent.refused if not _says_it_exists(refusal)]
        return sent

    def _append(self, project: str, pairs: Sequence[tuple[Item, NewAsset]]) -> None:
        self._kili.append_assets(project, [asset for _, asset in pairs])

    def _already_there(self, project: str, pairs: Sequence[tuple[Item, NewAsset]], refusal: RefusedItems) -> set[str]:
        ids = [asset.id for _, asset in pairs]
        sent_before = refusal.maybe_applied or refusal.already_exists
        if sent_before or any(item.entry.deliveries > 1 for item, _ in pairs):
            self._stop.wait(self._read_lag)
        return set(self._kili.assets_by_id(project, ids))

    def _place(self, item: Item, located: Located) -> None:
        if item.exists or item.prediction.asset is not None:
            located.ready.append(item)
        elif time.time() * 1000 - item.entry.waited_since_ms < self._grace_ms:
            located.later.append(item)
        else:
            located.missing.append((item, missing_asset()))


def _says_it_exists(refusal: Refusal) -> bool:
    return isinstance(refusal, RefusedItems) and refusal.already_exists


def _use(item: Item, candidates: Sequence[FoundAsset]) -> None:
    own = [asset for asset in candidates if asset.id == item.entry.asset_id]
    asset = own[0] if own else candidates[0]
    item.asset_id, item.exists = asset.id, True
    item.found_metadata, item.found_priority = asset.metadata, asset.priority
