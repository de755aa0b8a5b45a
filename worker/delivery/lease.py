"""Keep the locks of running waves, and tell a wave when its lock is gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis

from worker import clock
from worker.spool import LeaseLost, Spool

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Lease:
    """A project's lock held by this process; ``deadline`` is on the monotonic clock."""

    project: str
    token: str
    deadline: float
    lost: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise LeaseLost unless the lock is certainly still ours."""
        if self.lost.is_set() or clock.monotonic() >= self.deadline:
            raise LeaseLost(self.project)


class LeaseKeeper:
    """Renews the locks of all running waves three times a lease.

    Args:
        spool: whose locks.
        has_thread: whether a thread does it while there are waves; otherwise whoever calls ``renew``.
    """

    def __init__(self, spool: Spool, *, has_thread: bool = True) -> None:
        self._spool = spool
        self._leases: dict[str, Lease] = {}
        self._guard = threading.Condition()
        self._seconds = spool.lease_ms / 1000
        self._has_thread = has_thread
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, project: str) -> Iterator[Lease | None]:
        """Acquire a project and keep it until the block ends; yields None when somebody else has it."""
        begun = clock.monotonic()
        token = self._spool.acquire(project)
        if token is None:
            yield None
            return
        lease = Lease(project, token, begun + self._seconds)
        with self._guard:
            self._leases[project] = lease
            self._ensure_thread()
        try:
            yield lease
        finally:
            try:
                self._spool.release(project, token)
            finally:
                with self._guard:
                    if self._leases.get(project) is lease:
                        del self._leases[project]
                    self._guard.notify_all()

    def held(self) -> list[str]:
        """Projects whose lock this process holds."""
        with self._guard:
            return list(self._leases)

    @property
    def every(self) -> float:
        """Seconds between two renewals."""
        return self._seconds / 3

    def renew(self) -> None:
        """Renew the locks of all waves that run now."""
        with self._guard:
            leases = list(self._leases.values())
        for lease in leases:
            self._renew(lease)

    def wait_released(self, limit: float) -> bool:
        """Wait until every wave of this process has ended, at most ``limit`` seconds; whether they have."""
        with self._guard:
            return self._guard.wait_for(lambda: not self._leases, limit)

    def _ensure_thread(self) -> None:
        if self._has_thread and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            clock.wait(threading.Event(), self.every)
            with self._guard:
                if not self._leases:
                    self._thread = None
                    return
            self.renew()

    def _renew(self, lease: Lease) -> None:
        begun = clock.monotonic()
        try:
            kept = self._spool.renew(lease.project, lease.token)
        except redis.RedisError as error:
            logger.warning(
                "lock not renewed: %s", error, extra={"action": "lease_not_renewed", "project": lease.project}
            )
            return
        if kept:
            lease.deadline = begun + self._seconds
        else:
            lease.lost.set()
