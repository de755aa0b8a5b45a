"""Who belongs to the fleet: every process says now and then that it is there, and what it is about."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import Any, Literal

import redis

from worker import __version__
from worker.environment import clock
from worker.environment.connections import insist
from worker.environment.json_text import of_stored

logger = logging.getLogger(__name__)

NOTE_SECONDS = 15.0
SILENT_SECONDS = 60.0
"""A process that has said nothing for so long is told apart from the others."""

FORGOTTEN_SECONDS = 86_400.0

Kind = Literal["worker", "serve"]


@dataclass(frozen=True, slots=True)
class Member:
    """A process of the fleet; times in seconds since the epoch.

    ``held`` counts the projects with a wave in it, ``trouble`` says what keeps it from working (empty: nothing).
    """

    name: str
    kind: Kind
    version: str
    started: float
    at: float
    held: int = 0
    trouble: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether it has not been heard of for a while."""
        return clock.now() - self.at > SILENT_SECONDS


class Roster:
    """The processes of the fleet, in the hash ``workers``.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}workers"

    def members(self) -> list[Member]:
        """Every process that was heard of within a day, by name."""
        found: Any = self._redis.hgetall(self._key)
        members = [of_stored(Member, row) for row in found.values()]
        return sorted(
            (one for one in members if clock.now() - one.at < FORGOTTEN_SECONDS), key=lambda one: (one.kind, one.name)
        )

    def note(self, member: Member) -> None:
        """It is there."""
        insist(self._redis, "HSET", self._key, member.name, json.dumps(asdict(member)))

    def forget(self, name: str) -> None:
        """It has ended."""
        self._redis.hdel(self._key, name)

    def forget_gone(self) -> None:
        """Those that ended without a word a day ago."""
        found: Any = self._redis.hgetall(self._key)
        for name, row in found.items():
            if clock.now() - json.loads(row)["at"] > FORGOTTEN_SECONDS:
                self._redis.hdel(self._key, name)


class Presence:
    """Tells the fleet of one process.

    Args:
        roster: where it is told.
        name: of the process.
        kind: what it does.
    """

    def __init__(self, roster: Roster, name: str, kind: Kind) -> None:
        self._roster = roster
        self._name = name
        self._kind: Kind = kind
        self._started = clock.now()
        self._next = float("-inf")

    def tick(self, *, held: int = 0, trouble: str = "") -> None:
        """Say now and then that it is there; survives every failure of Redis."""
        if clock.monotonic() < self._next:
            return
        is_first, self._next = self._next == float("-inf"), clock.monotonic() + NOTE_SECONDS
        member = Member(self._name, self._kind, __version__, self._started, clock.now(), held, trouble[:300])
        try:
            self._roster.note(member)
            if is_first:
                self._roster.forget_gone()
        except redis.RedisError as error:
            logger.debug("presence not written: %s", error, extra={"action": "presence_waits"})

    def end(self) -> None:
        """It ends; survives every failure of Redis."""
        try:
            self._roster.forget(self._name)
        except redis.RedisError as error:
            logger.debug("presence not ended: %s", error, extra={"action": "presence_left"})
