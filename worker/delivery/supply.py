"""What a wave is given to send, and when: leased late, so that what is newest and most doubtful goes next."""

from __future__ import annotations

import threading
from typing import Protocol

from worker import clock
from worker.delivery.lease import Lease
from worker.delivery.rules import DeliveryRules
from worker.spool import LANES, Leased, LeaseLost, Spool

WAVE_SECONDS = 10.0
"""After this time a wave leases nothing more."""

LOOK_SECONDS = 1.0
"""So often a wave looks for what overtakes its own entries, since what it finds costs a call to look it up in Kili."""

UNCLAIMED_SECONDS = 0.01
"""A call that stays free for so long has nobody waiting for it: those who do wake up a little apart."""


class Budget(Protocol):
    """What delivery asks of the fleet's call budget."""

    def peek(self) -> dict[str, float]:
        """State of the budget: ``next_in`` seconds until a call is free, ``limit`` calls a minute."""


class Supply:
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
        budget: Budget,
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
        self._turn = float("-inf")
        self._may_overtake = rules.wave_items

    def first(self) -> list[Leased]:
        """What the wave begins with."""
        return self._leased(self._rules.batch_items if self._probing else self._rules.wave_items)

    def further(self) -> list[Leased]:
        """As many entries again, for a wave that has all of its own under way, unless other projects wait."""
        if self._probing or self._stop.is_set() or clock.monotonic() - self._begun > WAVE_SECONDS:
            return []
        project, items = self._lease.project, self._rules.wave_items
        if self._spool.ledger(project).waiting < items or self._spool.others_wait(project):
            return []
        self._may_overtake = items
        return self._leased(items)

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

    def take_turn(self) -> float:
        """0.0 when another batch may begin now, else the seconds until one may.

        Not before a call is free, nor sooner after the last turn than calls follow one another: a batch takes a call
        at least, and one that begins sooner than its calls come cannot be overtaken any more.
        """
        state, now = self._budget.peek(), clock.monotonic()
        if state["next_in"] > 0:
            return state["next_in"] + UNCLAIMED_SECONDS
        too_soon = self._turn + 60.0 / state["limit"] - now
        if too_soon > 0:
            return too_soon
        self._turn = now
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
