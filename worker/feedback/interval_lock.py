"""Whose turn it is: what is done for a project is done once per interval, by whichever process comes first."""

from __future__ import annotations

import redis

COLLECTION = "round"


class IntervalLock:
    """The turns of the fleet.

    Args:
        client: of the spool's Redis.
        prefix: of every key of the worker.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._prefix = prefix

    def take(self, project: str, seconds: float, what: str = COLLECTION) -> bool:
        """Whether it is due in the project; from now on it is not, for so many seconds."""
        return bool(self._redis.set(self._key(project, what), 1, nx=True, px=max(1, int(seconds * 1000))))

    def put(self, project: str, seconds: float = 0.0, what: str = COLLECTION) -> None:
        """Let the next turn come after so many seconds, whatever was said before."""
        if seconds > 0:
            self._redis.set(self._key(project, what), 1, px=max(1, int(seconds * 1000)))
        else:
            self._redis.delete(self._key(project, what))

    def _key(self, project: str, what: str) -> str:
        return f"{self._prefix}feedback:{project}:next:{what}"
