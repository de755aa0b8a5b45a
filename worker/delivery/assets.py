"""Find out which assets Kili has, and create the missing ones, each exactly once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from worker.connections import insist
from worker.deadletters import Cause
from worker.delivery.bisect import Fits, Send, Sent, send_each
from worker.delivery.callers import Callers
from worker.delivery.content import missing_asset
from worker.delivery.imports import Imports
from worker.delivery.item import Item
from worker.kili import FoundAsset, KiliClient, KiliError, NewAsset, RefusedItems, UnknownOutcome

logger = logging.getLogger(__name__)

MADE_SECONDS = 60
LOOK_AGAIN_MS = 2000


class MadeAssets:
    """Assets the fleet created within the last minute: reads of Kili may not show them yet."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}made"

    def add(self, asset_ids: Iterable[str]) -> None:
        """Remember; failing to costs only a second look, so it is logged and no more."""
        now = time.time()
        made = [word for asset_id in asset_ids for word in (now, asset_id)]
        if not made:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                insist(pipe, "ZREMRANGEBYSCORE", self._key, "-inf", now - MADE_SECONDS)
                insist(pipe, "ZADD", self._key, *made)
                insist(pipe, "EXPIRE", self._key, MADE_SECONDS)
                pipe.execute()
        except redis.RedisError as error:
            logger.debug("new assets not remembered: %s", error, extra={"action": "made_not_remembered"})

    def among(self, asset_ids: Sequence[str]) -> set[str]:
        """Those of the ids that were created lately."""
        if not asset_ids:
            return set()
        made: Any = self._redis.zmscore(self._key, list(asset_ids))
        since = time.time() - MADE_SECONDS
        return {asset_id for asset_id, at in zip(asset_ids, made, strict=True) if at is not None and at > since}


@dataclass(slots=True)
class Located:
    """Items by what is to be done next; ``importing`` ones are looked at again after so many seconds."""

    ready: list[Item] = field(default_factory=list)
    missing: list[tuple[Item, Cause]] = field(default_factory=list)
    later: list[Item] = field(default_factory=list)
    importing: list[tuple[Item, float]] = field(default_factory=list)
    refused: list[tuple[Item, Exception]] = field(default_factory=list)


class AssetKeeper:
    """Looks assets up and creates them.

    Args:
        callers: the clients.
        made: assets created lately by anyone in the fleet.
        imports: assets that Kili is importing.
        read_lag: seconds by which Kili's reads may lag.
        grace_ms: how long an item without content waits for its asset.
    """

    def __init__(self, callers: Callers, made: MadeAssets, imports: Imports, *, read_lag: float, grace_ms: int) -> None:
        self._callers = callers
        self._made = made
        self._imports = imports
        self._read_lag = read_lag
        self._grace_ms = grace_ms

    def locate(self, project: str, items: Sequence[Item]) -> Located:
        """Decide for each item whether its asset exists, is to be created, or is not there."""
        existing, refused = self._existing(project, list(dict.fromkeys(item.external_id for item in items)))
        made = self._made.among([item.entry.asset_id for item in items if item.external_id not in existing])
        found = self._callers.first.find_assets(project, sorted(existing)) if existing else {}
        located = Located()
        for item in items:
            candidates = found.get(item.external_id, [])
            if item.external_id in refused:
                located.refused.append((item, refused[item.external_id]))
                continue
            if len(candidates) > 1:
                located.missing.append((item, _ambiguous(item, candidates)))
                continue
            if candidates:
                _use(item, candidates[0])
            elif item.external_id in existing:
                located.later.append(item)
                continue
            item.exists = item.exists or item.entry.asset_id in made
            self._place(item, located)
        self._imports.forget({item.entry.asset_id for item in items if item.external_id in found})
        self._set_importing_apart(project, located)
        return located

    def create(
        self,
        project: str,
        pairs: Sequence[tuple[Item, NewAsset]],
        append: Send[tuple[Item, NewAsset]],
        fits: Fits[tuple[Item, NewAsset]],
    ) -> Sent[tuple[Item, NewAsset]]:
        """Create assets by ``append``, in parts that fit; one that turns out to be there counts as created."""
        sent = self.send(project, pairs, append, fits)
        self._made.add(asset.id for _, asset in sent.accepted)
        return sent

    def send(
        self,
        project: str,
        pairs: Sequence[tuple[Item, NewAsset]],
        append: Send[tuple[Item, NewAsset]],
        fits: Fits[tuple[Item, NewAsset]],
    ) -> Sent[tuple[Item, NewAsset]]:
        """Send assets by ``append``, in parts that fit; one that turns out to be there counts as accepted."""
        sent = send_each(pairs, append, self._callers, sift=_Recheck(self._there, project), fits=fits)
        known = [pair for pair, refusal in sent.refused if _says_it_exists(refusal)]
        sent.refused = [(pair, refusal) for pair, refusal in sent.refused if not _says_it_exists(refusal)]
        sent.accepted += known
        return sent

    def remember(self, asset_ids: Iterable[str]) -> None:
        """These were created otherwise."""
        self._made.add(asset_ids)

    def _existing(self, project: str, names: Sequence[str]) -> tuple[set[str], dict[str, Exception]]:
        existing: set[str] = set()

        def ask(part: Sequence[str], kili: KiliClient) -> None:
            existing.update(kili.existing_external_ids(project, part))

        sent = send_each(names, ask, self._callers)
        sent.check()
        return existing, dict(sent.refused)

    def _there(self, project: str, asset_ids: Sequence[str], error: KiliError, *, wait: bool) -> set[str]:
        if wait:
            self._callers.stop.wait(self._read_lag)
        kili = self._callers.once if isinstance(error, UnknownOutcome) else self._callers.first
        return set(kili.assets_by_id(project, asset_ids))

    def _set_importing_apart(self, project: str, located: Located) -> None:
        absent = list(dict.fromkeys(item.asset_id for item in located.ready if not item.exists))
        steps = self._imports.look(project, absent)
        ready, located.ready = located.ready, []
        for item in ready:
            step = None if item.exists else steps.get(item.asset_id)
            if step is None:
                located.ready.append(item)
            elif isinstance(step, Cause):
                located.missing.append((item, step))
            else:
                located.importing.append((item, step))

    def _place(self, item: Item, located: Located) -> None:
        if item.exists or item.prediction.asset is not None:
            located.ready.append(item)
        elif time.time() * 1000 - item.entry.waited_since_ms < self._grace_ms:
            located.later.append(item)
        else:
            located.missing.append((item, missing_asset()))


class _Recheck:
    """Before a refused part is split: which of its assets are there, by an earlier or a half-applied call?

    Asked once for a batch, and again where the server says so of an asset or an item is about to be condemned.
    """

    def __init__(self, there: Callable[..., set[str]], project: str) -> None:
        self._there = there
        self._project = project
        self._asked = False

    def __call__(self, part: Sequence[tuple[Item, NewAsset]], error: KiliError) -> Mapping[int, None] | None:
        says_so = _says_it_exists(error)
        if self._asked and not says_so and len(part) > 1:
            return None
        self._asked = True
        wait = says_so or error.maybe_applied or any(item.entry.deliveries > 1 for item, _ in part)
        there = self._there(self._project, [asset.id for _, asset in part], error, wait=wait)
        return {place: None for place, (_, asset) in enumerate(part) if asset.id in there} or None


def _says_it_exists(refusal: Exception) -> bool:
    return isinstance(refusal, RefusedItems) and refusal.already_exists


def _use(item: Item, asset: FoundAsset) -> None:
    item.asset_id, item.exists = asset.id, True
    item.found_metadata, item.found_priority = asset.metadata, asset.priority


def _ambiguous(item: Item, candidates: Sequence[FoundAsset]) -> Cause:
    """Which of them the humans look at, nobody here knows."""
    ids = ", ".join(asset.id for asset in candidates[:5])
    problem = f"{item.external_id!r} is the name of {len(candidates)} assets in the project: {ids}"
    fix = "delete or rename all but one of them in Kili, and replay"
    return Cause("asset_ambiguous", "asset", "external_id", problem, fix)
