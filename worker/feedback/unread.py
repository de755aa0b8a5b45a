"""Assets with labels whose files could not be read: come back to for some rounds, then counted as unreadable.

The key is ``{prefix}feedback:{project}:unread``, a hash from asset id to how often it was tried, how many labels it is
about, and why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from worker.environment.connections import insist

MOST_CYCLES = 5
"""So many rounds try a file; after that only a day that is verified does."""


@dataclass(frozen=True, slots=True)
class UnreadLabels:
    """Labels whose files could not be read: those that are tried again, those given up, and why the last one."""

    waiting: int = 0
    unreadable: int = 0
    problem: str = ""


class UnreadBook:
    """What could not be read of one project.

    Args:
        client: of the spool's Redis, with ``decode_responses`` off.
        prefix: of every key of the worker.
        project: id.
    """

    def __init__(self, client: redis.Redis, prefix: str, project: str) -> None:
        self._redis = client
        self._key = f"{prefix}feedback:{project}:unread"

    def note(self, unread: Mapping[str, tuple[int, str, bool]], read: Iterable[str]) -> list[str]:
        """Remember assets with (labels, problem, whether it was tried), and forget those that were read.

        Returns:
            Those that are given up from now on.
        """
        done = list(read)
        if done:
            self._redis.hdel(self._key, *done)
        known = self._known(unread)
        given_up = []
        for asset_id, (labels, problem, tried) in unread.items():
            tries = known.get(asset_id, 0) + tried
            insist(self._redis, "HSET", self._key, asset_id, json.dumps([tries, labels, problem]))
            if tries == MOST_CYCLES and tried:
                given_up.append(asset_id)
        return given_up

    def waiting(self, limit: int) -> list[str]:
        """Assets to be read again, those tried least often first."""
        rows = [(row[0], asset_id) for asset_id, row in self._rows().items() if row[0] < MOST_CYCLES]
        return [asset_id for _, asset_id in sorted(rows)[:limit]]

    def forget(self, asset_ids: Iterable[str]) -> None:
        """These are no longer in Kili."""
        gone = list(asset_ids)
        if gone:
            self._redis.hdel(self._key, *gone)

    def clear(self) -> None:
        """Forget all."""
        self._redis.delete(self._key)

    def summary(self) -> UnreadLabels:
        """How many labels there are."""
        rows = self._rows().values()
        return UnreadLabels(
            waiting=sum(labels for tries, labels, _ in rows if tries < MOST_CYCLES),
            unreadable=sum(labels for tries, labels, _ in rows if tries >= MOST_CYCLES),
            problem=next((problem for _, _, problem in rows), ""),
        )

    def _known(self, asset_ids: Iterable[str]) -> dict[str, int]:
        wanted = list(asset_ids)
        if not wanted:
            return {}
        found: Any = self._redis.hmget(self._key, wanted)
        return {one: json.loads(text)[0] for one, text in zip(wanted, found, strict=True) if text is not None}

    def _rows(self) -> dict[str, tuple[int, int, str]]:
        found: Any = self._redis.hgetall(self._key)
        return {asset_id.decode(): tuple(json.loads(text)) for asset_id, text in found.items()}
