"""What is kept for ever unless somebody puts an end to it: dead letters, and projects that are gone.

One process of the fleet looks once a minute. Letters beyond the limits of age and number are announced first; they are
dropped, oldest first, when the notice is over and they are still there. A project that nothing has come for in a long
time, and of which nothing waits and no letter is left, is forgotten; the totals keep its counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import redis

from worker.environment import clock
from worker.environment.connections import insist
from worker.feedback.store import FeedbackStore
from worker.spool import Spool
from worker.spool.dead_letters import DeadLetters, ExpiryNotification

logger = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
MORE_SECONDS = 1.0
AT_ONCE = 100
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class HousekeepingLimits:
    """What bounds what is kept; times in milliseconds.

    Attributes:
        letters: most dead letters.
        letter_age: greatest age of a dead letter.
        notice: how long letters are announced before they go.
        project_silence: how long a project is remembered for which nothing comes.
    """

    letters: int
    letter_age: int
    expiry: int
    project_silence: int


class Housekeeping:
    """Looks after one spool.

    Args:
        spool: whose letters and projects.
        limits: of what is kept.
        now: milliseconds since the epoch.
    """

    def __init__(
        self, spool: Spool, limits: HousekeepingLimits, now: Callable[[], int] = lambda: int(clock.now() * 1000)
    ) -> None:
        self._spool = spool
        self._redis = spool.redis
        self._letters = DeadLetters(spool.redis, spool.prefix)
        self._limits = limits
        self._now = now
        self._next = 0.0

    def tick(self) -> None:
        """Look when it is time, if no other process of the fleet does; survives every failure of Redis."""
        if clock.monotonic() < self._next:
            return
        self._next = clock.monotonic() + MORE_SECONDS
        try:
            if insist(self._redis, "SET", self._lock_key, b"1", "NX", "PX", int(LOOK_SECONDS * 1000)) and self.look():
                self._redis.delete(self._lock_key)
        except redis.RedisError as error:
            logger.debug("no housekeeping: %s", error, extra={"action": "housekeeping_waits"})

    def look(self) -> bool:
        """Announce and drop letters, forget projects; whether there is more to do at once."""
        dropped = self._drop_letters()
        self._announce()
        self._forget_projects()
        return dropped == AT_ONCE

    def _drop_letters(self) -> int:
        """Drop the oldest letters that were announced long enough ago, and end the notice when none is left."""
        expiry = self._letters.expiry()
        if expiry is None or self._now() - expiry.at < self._limits.expiry:
            return 0
        ids = [one for one in self._letters.ids(limit=AT_ONCE) if moment(one) <= expiry.at]
        beyond = self._letters.count() - self._limits.letters
        oldest = self._now() - self._limits.letter_age
        ended = [one for place, one in enumerate(ids) if place < beyond or moment(one) < oldest]
        dropped = sum(self._spool.drop(one) for one in ended)
        if dropped:
            self._letters.note_expired(dropped)
            extra = {"action": "dead_letters_expired", "letters": dropped}
            logger.warning("%d dead letters were dropped: their announced time is over", dropped, extra=extra)
        if len(ended) < AT_ONCE:
            self._letters.end_notification()
        return dropped

    def _announce(self) -> None:
        count, soon = self._letters.count(), self._now() + self._limits.expiry - self._limits.letter_age
        beyond = max(0, count - self._limits.letters)
        if self._letters.expiry() is not None or not (beyond or any(moment(one) < soon for one in self._oldest())):
            return
        expiry = ExpiryNotification(self._now(), self._now() + self._limits.expiry, count, beyond)
        self._letters.announce(expiry)
        extra = {
            "action": "dead_letters_expiring",
            "letters": count,
            "beyond": beyond,
            "ends_at": expiry.ends_at,
        }
        logger.warning("%s", expiry, extra=extra)

    def _oldest(self) -> list[str]:
        return self._letters.ids(limit=1)

    def _forget_projects(self) -> None:
        before = self._now() - self._limits.project_silence
        for project in self._spool.silent_projects(before, AT_ONCE):
            ledger = self._spool.ledger(project)
            if ledger.waiting or ledger.leased or ledger.dead:
                continue
            FeedbackStore(self._redis, self._spool.prefix, project).forget()
            if self._spool.forget_project(project, before):
                extra = {"action": "project_forgotten", "project": project}
                logger.info("project %s is forgotten: nothing came for it", project, extra=extra)

    @property
    def _lock_key(self) -> str:
        return f"{self._spool.prefix}housekeeping"


def moment(letter_id: str) -> int:
    """When a letter was written, in milliseconds since the epoch."""
    return int(letter_id.partition("-")[0])
