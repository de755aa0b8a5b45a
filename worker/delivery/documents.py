"""Whether a batch's mutations go in one document, and what the fleet remembers when the server does not take that."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass

import redis

from worker.environment import clock
from worker.environment.connections import insist
from worker.environment.json_text import of_stored
from worker.kili import KiliError

logger = logging.getLogger(__name__)

APART_SECONDS = 600
"""After this time one document is tried again: the server may have been updated."""


@dataclass(frozen=True, slots=True)
class DocumentRejection:
    """The server took a batch's mutations apart, but not together; ``at`` is in seconds since the epoch."""

    at: float
    reason: str


class Documents:
    """The fleet's word on one-document batches.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
        wanted: whether the settings ask for them.
    """

    def __init__(self, client: redis.Redis, prefix: str, *, wanted: bool) -> None:
        self._redis = client
        self._key = f"{prefix}one-document-refused"
        self._wanted = wanted

    @property
    def are_taken(self) -> bool:
        """Whether to send a batch as one document."""
        return self._wanted and not self._redis.exists(self._key)

    def refused(self, error: KiliError) -> None:
        """Send separate calls for a while, and say so once."""
        rejection = DocumentRejection(clock.now(), str(error)[:300])
        if insist(self._redis, "SET", self._key, json.dumps(asdict(rejection)), "NX", "EX", APART_SECONDS):
            message = "one document a batch is refused, its calls go apart for %d s: %s"
            logger.warning(message, APART_SECONDS, rejection.reason, extra={"action": "one_document_refused"})

    def rejection(self) -> DocumentRejection | None:
        """The refusal that is in force."""
        raw = self._redis.get(self._key)
        return of_stored(DocumentRejection, raw) if isinstance(raw, bytes) else None
