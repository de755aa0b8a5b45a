"""Scores of the whole fleet that were not yet compared with those before them.

Where few predictions come, no process ever sees enough at once to tell a shift from chance: each puts what it has seen
into a pool, and whoever reads the pool when it holds enough compares it. What was compared leaves the pool in one
script, so that it counts once, whatever the other processes do and whoever is restarted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from worker.connections import script_of
from worker.review.histogram import EPOCH, JUMP, TESTED, Histogram

TAKEN = b"taken"


class UntestedPool:
    """The pools in Redis, beside the hashes with all scores.

    Args:
        client: of the spool's Redis, with ``decode_responses`` off.
        kept_seconds: how long an untouched pool is kept.
    """

    def __init__(self, client: redis.Redis, kept_seconds: int) -> None:
        self._take = script_of(client, "worker.review", "untested.lua")
        self._kept_seconds = kept_seconds

    def compare(self, found: Mapping[bytes, bytes], histogram: Histogram, *, pool: str, scores: str) -> bool:
        """Compare a pool with what was before, when it holds enough; whether a shift was seen, and written down.

        ``found`` is what was read from the key ``pool``, ``histogram`` what was read from the key ``scores``.
        """
        counts = {name.decode(): int(count) for name, count in found.items() if name != TAKEN}
        if sum(counts.values()) < TESTED:
            return False
        shifted = histogram.has_shifted_with(counts)
        taken: Any = self._take(
            keys=[pool, scores],
            args=[
                found.get(TAKEN, b"0"),
                int(shifted),
                EPOCH,
                JUMP,
                self._kept_seconds,
                *(one for pair in counts.items() for one in pair),
            ],
        )
        return shifted and bool(taken)
