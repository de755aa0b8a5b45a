"""Circuits: a project or the whole endpoint that refuses is paused, said once, probed, and resumed by itself."""

from __future__ import annotations

import json
import logging
import random
import time
from dataclasses import asdict, dataclass

import redis

from worker.connections import insist
from worker.kili import (
    ConnectFailed,
    KiliError,
    RateLimited,
    RefusedKey,
    RefusedProject,
    Unauthorized,
)

logger = logging.getLogger(__name__)

ENDPOINT = "endpoint"
ENDPOINT_FROM_PROJECTS = 3
"""So many projects failing with no success between mean the endpoint is at fault."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a scope waits. ``since`` and ``until`` are milliseconds since the epoch; after ``until`` it is probed."""

    scope: str
    kind: str
    reason: str
    since: int
    until: int
    failures: int


class Pauses:
    """The circuits of one spool, shared by the fleet.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
        first: seconds of the first pause.
        cap: seconds of the longest.
    """

    def __init__(self, client: redis.Redis, prefix: str, *, first: float, cap: float) -> None:
        self._redis = client
        self._key = f"{prefix}pauses"
        self._streak = f"{prefix}failing"
        self._first = first
        self._cap = cap

    def all(self) -> list[Pause]:
        """Every pause there is, longest first."""
        found = self._redis.hgetall(self._key)
        pauses = [_read(scope, raw) for scope, raw in found.items()]  # type: ignore[union-attr]
        return sorted(pauses, key=lambda pause: pause.since)

    def of(self, project: str) -> list[Pause]:
        """The pauses that concern a project: its own and the endpoint's."""
        scopes = [f"project:{project}", ENDPOINT]
        found = self._redis.hmget(self._key, scopes)
        return [_read(scope.encode(), raw) for scope, raw in zip(scopes, found, strict=True) if raw]

    def failed(self, project: str, error: KiliError) -> None:
        """Pause what the error concerns."""
        kind = type(error).__name__
        if isinstance(error, ConnectFailed | RefusedKey | Unauthorized | RateLimited) or self._many_fail(
            project, error
        ):
            self._pause(ENDPOINT, kind, error)
        else:
            self._pause(f"project:{project}", kind, error)

    def succeeded(self, pauses: list[Pause]) -> None:
        """A wave went through: what paused it is over."""
        if not pauses:
            return
        self._redis.hdel(self._key, *(pause.scope for pause in pauses))
        self._redis.delete(self._streak)
        for pause in pauses:
            seconds = round(time.time() - pause.since / 1000, 1)
            logger.info(
                "%s goes on", pause.scope, extra={"action": "resumed", "scope": pause.scope, "seconds": seconds}
            )

    def _many_fail(self, project: str, error: KiliError) -> bool:
        if isinstance(error, RefusedProject):
            return False
        insist(self._redis, "SADD", self._streak, project)
        self._redis.expire(self._streak, max(1, int(4 * self._cap)))
        return int(self._redis.scard(self._streak)) >= ENDPOINT_FROM_PROJECTS

    def _pause(self, scope: str, kind: str, error: KiliError) -> None:
        raw = self._redis.hget(self._key, scope)
        earlier = _read(scope.encode(), raw) if isinstance(raw, bytes) else None
        now = int(time.time() * 1000)
        failures = earlier.failures + 1 if earlier else 1
        seconds = min(self._cap, self._first * 2 ** min(failures - 1, 20)) * random.uniform(0.75, 1)
        seconds = max(seconds, error.retry_after or 0)
        pause = Pause(
            scope, kind, str(error)[:300], earlier.since if earlier else now, now + int(seconds * 1000), failures
        )
        insist(self._redis, "HSET", self._key, scope, json.dumps(asdict(pause)))
        if earlier is None:
            extra = {"action": "paused", "scope": scope, "kind": kind, "words": error.words[:300]}
            logger.warning("%s is paused: %s", scope, error, extra=extra)


def _read(scope: bytes, raw: bytes) -> Pause:
    found = json.loads(raw)
    return Pause(**{**found, "scope": scope.decode()})
