"""What a wave is given: its tools, its project's lock, and its entries; leased late, so the newest go next."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import redis

from worker.delivery.assets import AssetKeeper
from worker.delivery.bisect import DeliveryClients
from worker.delivery.circuit_breaker import Documents
from worker.delivery.content import ContentSource, Imports
from worker.delivery.failures import Graces
from worker.delivery.in_flight import AdaptiveLimit
from worker.delivery.prepare import AwaitedResults
from worker.environment import clock
from worker.kili.interfaces import InterfaceCache
from worker.projects.configuration import Projects
from worker.spool import LANES, LateWrites, Leased, LeaseLost, Spool
from worker.tracing import NO_TRACES, Tracer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """Limits and times (in seconds)."""

    wave_items: int = 1000
    wave_bytes: int = 64_000_000
    batch_items: int = 100
    aging: float = 60.0
    graces: Graces = field(default_factory=Graces)
    interface_age: float = 600.0
    probe: float = 2.0
    probe_cap: float = 5.0
    retry_after_cap: float = 60.0
    path_roots: tuple[Path, ...] = ()
    one_document: bool = False


@dataclass(frozen=True, slots=True)
class WaveTools:
    """Shared by the waves, and by the batches of a wave."""

    clients: DeliveryClients
    spool: Spool
    interfaces: InterfaceCache
    projects: Projects
    awaited: AwaitedResults
    assets: AssetKeeper
    content: ContentSource
    imports: Imports
    documents: Documents
    pool: Executor
    ahead: Executor
    adaptive_limit: AdaptiveLimit
    batch_items: int
    tracer: Tracer = NO_TRACES


@dataclass(slots=True)
class Lease:
    """A project's lock held by this process; ``deadline`` is on the monotonic clock.

    ``late`` is what those who held it before may still send to Kili.
    """

    project: str
    token: str
    deadline: float
    lost: threading.Event = field(default_factory=threading.Event)
    late: LateWrites = field(default_factory=LateWrites)

    @property
    def has_ended(self) -> bool:
        """Whether the lock may be another's by now."""
        return self.lost.is_set() or clock.monotonic() >= self.deadline

    def check(self) -> None:
        """Raise LeaseLost unless the lock is certainly still ours."""
        if self.has_ended:
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
        token, late = self._spool.take(project)
        if token is None:
            yield None
            return
        lease = Lease(project, token, begun + self._seconds, late=late)
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


WAVE_SECONDS = 60.0
"""After this time a wave leases nothing more."""

LOOK_SECONDS = 0.8
"""So often a wave looks for what overtakes its own entries, since what it finds costs a call to look it up in Kili."""

UNCLAIMED_SECONDS = 0.01
"""A call that stays free for so long has nobody waiting for it: those who do wake up a little apart."""


class LeaseBudget(Protocol):
    """What delivery asks of the fleet's call budget."""

    def peek(self) -> dict[str, float]:
        """State of the budget: ``next_in`` seconds until a call is free, ``limit`` calls a minute."""


class EntryLeaser:
    """Leases the entries of one wave.

    Args:
        spool: where they wait.
        lease: of the project.
        budget: of calls.
        rules: limits and times.
        stop: set when the worker drains.
        probing: no more than a batch, to see whether Kili is back.
    """

    def __init__(
        self,
        spool: Spool,
        lease: Lease,
        budget: LeaseBudget,
        rules: DeliveryRules,
        *,
        stop: threading.Event,
        probing: bool = False,
    ) -> None:
        self._spool = spool
        self._lease = lease
        self._budget = budget
        self._rules = rules
        self._stop = stop
        self._probing = probing
        self._begun = self._looked = clock.monotonic()
        self._next_batch_at = float("-inf")
        self._may_overtake = rules.wave_items

    def first(self) -> list[Leased]:
        """What the wave begins with."""
        return self._leased(self._rules.batch_items if self._probing else self._rules.wave_items)

    def rest(self, begun_with: int) -> list[Leased]:
        """A batch or more of a burst that was still being admitted when the wave began, which is looked up with it."""
        missing, few = self._rules.wave_items - begun_with, self._rules.batch_items
        return self._leased(missing) if begun_with >= few and missing >= few and self._may_go_on() else []

    def further(self) -> list[Leased]:
        """A batch or more, for a wave that has all of its own under way, unless other projects wait."""
        if not self._may_go_on():
            return []
        self._may_overtake = self._rules.wave_items
        return self._leased(self._rules.wave_items)

    def _may_go_on(self) -> bool:
        """Whether the wave may lease more in its turn, and there is a batch of it."""
        if self._probing or self._stop.is_set() or clock.monotonic() - self._begun > WAVE_SECONDS:
            return False
        project = self._lease.project
        return self._spool.ledger(project).waiting >= self._rules.batch_items and not self._spool.others_wait(project)

    def overtaking(self, lane: int) -> list[Leased]:
        """At most a batch of entries of lower lanes than this one, once in a while.

        No more may overtake than the wave has leased in its turn, so that what had waited long enough is sent too.
        """
        items = min(self._rules.batch_items, self._may_overtake)
        too_soon = clock.monotonic() - self._looked < LOOK_SECONDS
        if lane == 0 or items == 0 or too_soon or self._probing or self._stop.is_set():
            return []
        found = self._leased(items, lanes=lane)
        self._may_overtake -= len(found)
        return found

    def wait_for_budget(self) -> float:
        """0.0 when another batch may begin now, else the seconds until one may.

        Not before a call is free, nor sooner after the last turn than calls follow one another: a batch takes a call
        at least, and one that begins sooner than its calls come cannot be overtaken any more.
        """
        state, now = self._budget.peek(), clock.monotonic()
        if state["next_in"] > 0:
            return state["next_in"] + UNCLAIMED_SECONDS
        too_soon = self._next_batch_at + 60.0 / state["limit"] - now
        if too_soon > 0:
            return too_soon
        self._next_batch_at = now
        return 0.0

    def _leased(self, items: int, lanes: int = LANES) -> list[Leased]:
        max_bytes, aging_ms = self._rules.wave_bytes, int(self._rules.aging * 1000)
        token = self._lease.token
        self._looked = clock.monotonic()
        try:
            return self._spool.lease(
                self._lease.project, token, items=items, max_bytes=max_bytes, aging_ms=aging_ms, lanes=lanes
            )
        except LeaseLost:
            return []
