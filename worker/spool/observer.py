"""Who is notified of what happens in the spool: metrics and probes; a spool that nobody observes does the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import redis

from worker.spool.entries import Admission, Arrival, Leased, Settlement


class SpoolObserver(Protocol):
    """Called after the fact, in the thread that caused it; must be quick and must not raise."""

    def admitted(self, arrivals: Sequence[Arrival], result: Admission) -> None:
        """Items were admitted."""

    def looked(self) -> None:
        """Redis has told which projects are due."""

    def acquired(self, project: str) -> None:
        """This process holds a project's lock."""

    def released(self, project: str) -> None:
        """This process no longer works on the project, whether or not Redis knows already."""

    def leased(self, project: str, entries: Sequence[Leased], superseded: int) -> None:
        """Entries were leased; so many older ones were superseded meanwhile."""

    def settled(self, project: str, settlements: Sequence[Settlement]) -> None:
        """The outcomes of leased entries were recorded."""

    def failed(self, script: str, error: redis.RedisError) -> None:
        """Redis refused or did not answer."""
