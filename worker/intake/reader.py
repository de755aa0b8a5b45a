"""The thread that brings messages from the inbox into the spool."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import redis

from worker.environment import clock
from worker.intake.admission import Admitter
from worker.intake.inbox import Inbox
from worker.intake.parsing import InboxEntry
from worker.spool import Spool

logger = logging.getLogger(__name__)

IDLE_WAIT = 0.05
QUIET_LOOKS, QUIET_WAIT = 20, 0.1
"""After so many looks in vain the next ones come half as often: an idle worker spends most of its CPU on them."""
FULL_LOOK_SECONDS = 1.0
"""So long after a look in vain it is only asked whether anything waits."""

TROUBLE_WAIT = 1.0
READ_BYTES = 16_000_000
RECOVER_ITEMS = 16
REOPEN = 0.8
"""Share of the most that may wait at which paused intake resumes."""
NEARLY_EMPTY = 500
"""Predictions on their way below which admission insists although memory is full."""


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """How much is taken at once, when a dead reader's entries are taken over, when intake pauses."""

    batch: int
    recover_seconds: float
    max_waiting: int


class IntakeObserver(Protocol):
    """Notified of what intake does; must be quick and must not raise."""

    def took(self, source: str, messages: int) -> None:
        """Messages of a source were admitted or dead-lettered."""

    def stepped(self) -> None:
        """Intake has looked for messages, with or without success."""


class InboxReader:
    """Reads the inbox until stopped.

    Args:
        inbox: of all sources.
        admitter: decides each message's outcome.
        spool: asked for its size.
        limits: as configured.
        same_redis: whether inbox and spool share one Redis, so that an entry moves in one transaction.
        stop: set when the worker drains.
        admitted: called when something was admitted.
        observer: notified of what it does.
    """

    def __init__(
        self,
        inbox: Inbox,
        admitter: Admitter,
        spool: Spool,
        limits: ReaderLimits,
        *,
        same_redis: bool,
        stop: threading.Event,
        admitted: Callable[[], None] = lambda: None,
        observer: IntakeObserver | None = None,
    ) -> None:
        self._inbox = inbox
        self._admitter = admitter
        self._spool = spool
        self._limits = limits
        self._same_redis = same_redis
        self._stop = stop
        self._admitted = admitted
        self._observer = observer
        self._in_hand: list[InboxEntry] = []
        self._coming: Callable[[], list[InboxEntry]] | None = None
        self.trouble = ""
        """What keeps it from taking, empty when nothing does."""
        self._next_recovery = 0.0
        self._next_full_look = float("-inf")
        self.closed = False

    def run(self) -> None:
        """Take and admit until the worker stops; survives every failure of Redis."""
        self.open()
        in_vain = 0
        while not self._stop.is_set():
            in_vain = 0 if self.step() else in_vain + 1
            if in_vain:
                clock.wait(self._stop, self._pause(in_vain))
        self.leave()

    def _pause(self, in_vain: int) -> float:
        """Seconds to the next look, after so many in vain."""
        if self.trouble:
            return TROUBLE_WAIT
        return QUIET_WAIT if in_vain >= QUIET_LOOKS and not self.closed else IDLE_WAIT

    def open(self) -> None:
        """Begin to read."""
        self._guarded(self._inbox.open)

    def step(self) -> bool:
        """Take and admit once; whether there was anything."""
        found = self._guarded(self._step)
        if self._observer is not None:
            self._observer.stepped()
        return found

    def leave(self) -> None:
        """Read no more."""
        self._guarded(self._admit_coming)
        self._guarded(self._inbox.leave)

    def _step(self) -> bool:
        if clock.monotonic() < self._next_full_look and self._inbox.is_empty():
            return False
        self._next_full_look = float("-inf")
        ledger = self._spool.ledger()
        if self._is_paused(ledger.waiting):
            return False
        # With little left to deliver, delivery frees no more: a memory that the sources' messages fill would stay full.
        insist = ledger.waiting + ledger.leased < NEARLY_EMPTY
        self._in_hand = self._in_hand or self._recovered()
        self._in_hand = self._in_hand or self._taken(insist)
        if not self._in_hand:
            self._next_full_look = clock.monotonic() + FULL_LOOK_SECONDS
            return False
        self._admit(self._in_hand, insist)
        self._in_hand = []
        return True

    def _taken(self, insist: bool) -> list[InboxEntry]:
        """What comes next; while that is admitted, the server looks for what comes after it."""
        coming = self._coming or self._start_take(insist)
        self._coming = None
        entries = coming()
        if len(entries) >= self._limits.batch:
            self._coming = self._start_take(insist)
        return entries

    def _admit_coming(self) -> None:
        """What was taken ahead waits for nobody else."""
        coming, self._coming = self._coming, None
        if coming is not None and (entries := coming()):
            self._admit(entries, insist=False)

    def _start_take(self, insist: bool) -> Callable[[], list[InboxEntry]]:
        return self._inbox.start_take(items=self._limits.batch, max_bytes=READ_BYTES, insist=insist)

    def _admit(self, entries: list[InboxEntry], insist: bool) -> None:
        inbox = self._inbox.key if self._same_redis else ""
        result = self._admitter.admit_entries(entries, inbox=inbox, insist=insist, is_backlog=self._coming is not None)
        if not self._same_redis:
            ids = [entry.entry_id for entry in entries]
            self._inbox.remove(ids)
            self._spool.forget(ids)
        if self._observer is not None:
            enveloped = sum(b"envelope" in entry.fields for entry in entries)
            self._observer.took("celery", enveloped)
            self._observer.took("stream", len(entries) - enveloped)
        logger.debug(
            "admitted",
            extra={
                "action": "admitted",
                "admitted": result.admitted,
                "superseded": result.superseded,
                "dead": result.dead,
            },
        )
        if result.admitted:
            self._admitted()
        if result.dead:
            logger.warning(
                "%d messages became dead letters", result.dead, extra={"action": "dead_lettered", "dead": result.dead}
            )

    def _recovered(self) -> list[InboxEntry]:
        now = clock.monotonic()
        if now < self._next_recovery:
            return []
        entries = self._inbox.recover(idle_ms=int(self._limits.recover_seconds * 1000), items=RECOVER_ITEMS)
        if entries:
            logger.info(
                "took over entries of a dead reader", extra={"action": "inbox_recovered", "entries": len(entries)}
            )
        else:
            self._next_recovery = now + self._limits.recover_seconds / 4
        return entries

    def _is_paused(self, waiting: int) -> bool:
        closed = waiting >= self._limits.max_waiting * (REOPEN if self.closed else 1)
        if closed != self.closed:
            message = "intake paused: the spool is full" if closed else "intake resumed"
            logger.warning(message, extra={"action": "doors_closed" if closed else "doors_open", "waiting": waiting})
        self.closed = closed
        return closed

    def _guarded(self, step: Callable[[], bool | None]) -> bool:
        try:
            if "NOGROUP" in self.trouble:
                self._inbox.open()
            busy = bool(step())
        except redis.RedisError as error:
            self._log_once(error)
            return False
        if self.trouble:
            logger.info("intake goes on", extra={"action": "intake_resumed"})
            self.trouble = ""
        return busy

    def _log_once(self, error: redis.RedisError) -> None:
        kind = f"{type(error).__name__}: {error}"[:200]
        if kind != self.trouble:
            logger.warning("intake waits: %s", kind, extra={"action": "intake_waits"})
        self.trouble = kind
