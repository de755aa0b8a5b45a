"""One wave: read, check, send batch by batch, settle.

A batch begins when the calls for it are there, so that until then more doubtful entries may overtake it. While batches
are under way, further entries are leased and made ready beside them, so that Kili need not wait for us; entries about
an asset that is under way wait for it. An entry that was sent and not settled is simply sent again by the next wave.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter

import redis

from worker.delivery.failure_policy import INTERFACE_DOUBT_SECONDS, FailurePolicy
from worker.delivery.failures import FAULT, Action, Failure, Stage, Trouble
from worker.delivery.in_flight import Ahead, InFlightBatches, batches, grouped
from worker.delivery.item import DeadLetterWriter, Item, newest_of
from worker.delivery.leasing import EntryLeaser, Lease, WaveTools
from worker.delivery.prepare import Prepared, cause_of, prepare
from worker.delivery.steps import Steps
from worker.environment import clock
from worker.kili import KiliError
from worker.review import ReviewDecision
from worker.spool import Leased, LeaseLost, Outcome, Settlement
from worker.spool.dead_letters import Cause

logger = logging.getLogger(__name__)


READY_BATCHES = 2
"""So many batches wait for a slot while the next entries are leased and made ready."""

AHEAD_BATCHES = 5
"""While fewer batches are ready the next entries are leased and made ready, unless calls are scarce."""

MOST_NAMED = 20
"""So many assets a line of the log names."""


@dataclass(slots=True)
class WaveResult:
    """What a wave did: settled entries by outcome, whether Kili answered, and the error that ended it, if any."""

    project: str
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    answered: bool = False
    failure: Exception | None = None


class Wave:
    """Delivers leased entries of one project under its lease."""

    def __init__(self, tools: WaveTools, lease: Lease) -> None:
        self._tools = tools
        self._failures = tools.clients.failures
        self._lease = lease
        self._project = lease.project
        self._letter_writer = DeadLetterWriter(lease.project)
        self._open: dict[tuple[int, str], Leased] = {}
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._in_flight = InFlightBatches(tools.pool)
        self._ahead = Ahead(tools.ahead)
        self._queue: list[list[Item]] = []
        self._is_scarce = self._was_in_vain = False
        self._result = WaveResult(lease.project)
        self._steps = Steps(tools, lease, self._letter_writer, settle=self._settle, is_over=self._over.is_set)

    def run(self, entries: Sequence[Leased], leaser: EntryLeaser) -> WaveResult:
        """Send what can be sent; everything else is given back or dead-lettered.

        Args:
            entries: leased already.
            leaser: leases more.

        Raises:
            LeaseLost: the lock passed to another worker, which delivers what is not settled.
            redis.RedisError: what is not settled waits for the lock to end.
        """
        try:
            return self._run(entries, leaser)
        except LeaseLost:
            self._report_late()
            raise

    def _run(self, entries: Sequence[Leased], leaser: EntryLeaser) -> WaveResult:
        try:
            self._deliver(entries, leaser)
        except (LeaseLost, redis.RedisError):
            raise
        except Exception as error:
            if not isinstance(error, KiliError):
                logger.exception("wave failed", extra={"action": "wave_failed", "project": self._project})
            self._result.failure = error
        suspects = self._steps.suspects if self._result.answered else {}
        failure, writer = self._result.failure, self._letter_writer
        self._settle(
            [
                _settlement(entry, suspects.get(entry.key), failure, writer, self._failures)
                for entry in self._open.values()
            ]
        )
        return self._result

    def _report_late(self) -> None:
        """No call of this wave comes any more; say so to those who have the project now."""
        late = list(self._steps.late.values())
        overtaken = self._tools.spool.came_late(self._project, late)
        if overtaken:
            names = sorted({entry.asset_id for entry in late})[:MOST_NAMED]
            extra = {"action": "written_late", "project": self._project, "count": overtaken, "assets": names}
            logger.warning("%d predictions may have overwritten newer ones in Kili", overtaken, extra=extra)

    def _deliver(self, entries: Sequence[Leased], leaser: EntryLeaser) -> None:
        try:
            self._take_up(entries, partial(leaser.rest, len(entries)))
            while self._await_budget(leaser):
                came = self._look(leaser)
                if self._queue:
                    self._in_flight.start(self._guarded, self._queue.pop(0))
                elif not came and self._in_flight.is_empty:
                    break
                elif not came:
                    self._in_flight.await_one()
        except BaseException:
            self._over.set()
            self._ahead.end()
            self._in_flight.await_at_most(0)
            raise
        self._ahead.end()
        self._in_flight.land()
        self._steps.update(at_least=1)

    def _look(self, leaser: EntryLeaser) -> bool:
        """Lease what goes next; make it ready beside the sending, unless it is about assets that are still here.

        Returns whether there was anything.
        """
        newcomers: Sequence[Leased] = ()
        if self._ahead.is_empty:
            newcomers, may_wait = self._newcomers(leaser)
            if newcomers and may_wait and self._is_about_others(newcomers):
                self._begin(newcomers)
                self._ahead.begin(partial(self._ready, newcomers))
            elif newcomers:
                self._take_up(newcomers)
        self._enqueue(self._ahead.take(at_once=not self._queue))
        return bool(newcomers)

    def _newcomers(self, leaser: EntryLeaser) -> tuple[Sequence[Leased], bool]:
        """What is leased before the next batch begins, to fill it or those that follow, or to overtake it.

        And whether it may wait: what overtakes may not.
        """
        few = self._tools.batch_items
        fewest = few if self._is_scarce or self._was_in_vain else AHEAD_BATCHES * few
        if sum(map(len, self._queue)) < fewest:
            further = leaser.further()
            self._was_in_vain = not further
            if further or not self._queue:
                return further, True
        return leaser.overtaking(min(item.entry.lane for item in self._queue[0])), False

    def _is_about_others(self, entries: Sequence[Leased]) -> bool:
        """Whether none of their assets is under way or waits here: one that is may be there by the time they go."""
        wanted = {entry.asset_id for entry in entries}
        waiting = {item.entry.asset_id for batch in self._queue for item in batch}
        return wanted.isdisjoint(waiting) and not self._in_flight.touches(wanted)

    def _await_budget(self, leaser: EntryLeaser) -> bool:
        """Wait until one more batch has a slot and a call to be had, or none is under way; False when all is over."""
        self._is_scarce = False
        while not self._is_over():
            self._in_flight.await_at_most(self._tools.adaptive_limit.limit + READY_BATCHES)
            wait = leaser.wait_for_budget()
            if wait <= 0 or not self._in_flight.await_one(wait):
                return True
            self._is_scarce = True
        return False

    def _begin(self, entries: Sequence[Leased]) -> None:
        with self._guard:
            self._open |= {entry.key: entry for entry in entries}
        self._steps.begin()

    def _take_up(self, entries: Sequence[Leased], rest: Callable[[], Sequence[Leased]] = tuple) -> None:
        self._begin(entries)
        if self._in_flight.touches(entry.asset_id for entry in entries):
            self._in_flight.await_at_most(0)
        if self._is_over():
            return
        self._enqueue(self._ready(entries, rest))

    def _enqueue(self, ready: Sequence[Item]) -> None:
        """Put items that are ready among those that wait, in new batches."""
        if ready:
            queued = [item for batch in self._queue for item in batch]
            self._queue = self._batched(self._without_older([*queued, *ready]))

    def _without_older(self, items: Sequence[Item]) -> list[Item]:
        """Of each model's predictions on an asset the newest; an older one that has not begun is superseded.

        Not one that brings the asset which the newest has no content for: it stays until the asset is there.
        """
        newest = newest_of(items)
        if len(newest) == len(items):
            return list(items)
        older = [item for item in items if not item.outlasts(newest[item.answer])]
        self._settle([Settlement(item.entry, Outcome.SUPERSEDED) for item in older])
        gone = {item.entry.key for item in older}
        return [item for item in items if item.entry.key not in gone]

    def _ready(self, entries: Sequence[Leased], rest: Callable[[], Sequence[Leased]] = tuple) -> list[Item]:
        """The items that can be sent now, those of the rest among them; all others are settled."""
        prepared = self._prepared(self._completed(entries))
        if more := rest():
            self._begin(more)
            prepared += self._prepared(self._completed(more))
        self._settle([*prepared.settled, *prepared.unfit])
        self._lease.check()
        if not prepared.items:
            return []
        located = self._tools.assets.locate(self._project, prepared.items)
        self._result.answered = True
        self._settle(
            [
                *(
                    Settlement(item.entry, Outcome.LATER, decision.cause, delay_ms=decision.delay_ms)
                    for item, decision in located.later
                ),
                *(
                    self._letter_writer.of(item.entry, item.prediction, cause, "check")
                    for item, cause in located.missing
                ),
                *(
                    self._letter_writer.of(item.entry, item.prediction, cause_of(problem), "check")
                    for item, problem in located.refused
                ),
            ]
        )
        return located.ready

    def _completed(self, entries: Sequence[Leased]) -> Sequence[Leased]:
        completed = self._tools.awaited.complete(self._project, entries, self._tools.projects.of(self._project))
        self._settle(completed.settled)
        return completed.entries

    def _prepared(self, entries: Sequence[Leased]) -> Prepared:
        config = self._tools.projects.of(self._project)
        begun = clock.now()
        prepared = prepare(self._project, entries, self._tools.interfaces.get(self._project), config, self._failures)
        unfit = [one.entry for one in prepared.unfit]
        young = 0.0 if any(ReviewDecision.history_in(entry.decision) for entry in unfit) else INTERFACE_DOUBT_SECONDS
        if unfit and self._tools.interfaces.renew(self._project, since=begun - young):
            again = prepare(self._project, unfit, self._tools.interfaces.get(self._project), config, self._failures)
            prepared.items = sorted([*prepared.items, *again.items], key=lambda item: item.entry.lane)
            prepared.unfit = again.unfit
        return prepared

    def _batched(self, items: Sequence[Item]) -> list[list[Item]]:
        """Lowest lane first, but new assets apart from known ones, so that no more than one batch has both."""
        first = min(items, key=lambda item: item.entry.lane, default=None)
        if first is None:
            return []
        ordered = sorted(items, key=lambda item: (item.exists is not first.exists, item.entry.lane))
        groups = map(_led, grouped(ordered, key=attrgetter("asset_id")))
        count, max_bytes = self._tools.batch_items, self._tools.adaptive_limit.batch_bytes
        return list(batches(groups, count=count, max_bytes=max_bytes, size=attrgetter("size")))

    def _guarded(self, batch: list[Item]) -> None:
        with self._tools.adaptive_limit.slot(self._is_over) as free:
            if not free or self._is_over():
                return
            try:
                with self._tools.tracer.batch(self._project, (item.entry for item in batch), "deliver"):
                    self._steps.deliver(batch)
            except BaseException as error:
                if self._suspects(error):
                    self._steps.suspects |= {item.entry.key: item for item in batch}
                self._over.set()
                raise

    def _suspects(self, error: BaseException) -> bool:
        if not isinstance(error, Exception):
            return True
        return self._failures.decide(Failure(Stage.BATCH, error)).action is Action.SUSPECT

    def _is_over(self) -> bool:
        return self._over.is_set() or self._tools.clients.stop.is_set()

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        if not settlements:
            return
        settlements = self._lease.late.keep_back(settlements)
        self._tools.spool.settle(self._project, self._lease.token, settlements)
        self._tools.tracer.settled(self._project, settlements)
        with self._guard:
            for one in settlements:
                self._open.pop(one.entry.key, None)
                self._result.outcomes[one.outcome] = self._result.outcomes.get(one.outcome, 0) + 1


def _led(group: list[Item]) -> list[Item]:
    """The predictions of one asset, of which the newest sets its properties."""
    newest = max(group, key=lambda item: item.entry.stamp) if len(group) > 1 else group[0]
    for item in group:
        item.leads = item is newest
    return group


def _settlement(
    entry: Leased, item: Item | None, error: Exception | None, letter_writer: DeadLetterWriter, failures: FailurePolicy
) -> Settlement:
    """The outcome of an entry that a failed wave has left open: a suspect of ``error`` waits until its grace ends.

    The server may be at fault, so it waits; but not for ever: a prediction whose calls alone fail, day and night, while
    Kili answers everything else, would keep its project from being served. The time that counts begins with the first
    failure that it was suspected of, and passes only while there are waves.
    """
    what = Trouble.NOT_SUSPECTED if item is None or error is None else error
    waited = entry.tried_for_ms(FAULT)
    decision = failures.decide(Failure(Stage.OPEN, what, tried_for=waited / 1000))
    if decision.action is Action.DEAD_LETTER and item is not None and error is not None:
        return letter_writer.of(entry, item.prediction, _after(error, waited), "deliver")
    return Settlement(entry, Outcome.RETURNED, decision.cause, delay_ms=decision.delay_ms)


def _after(error: Exception, waited_ms: int) -> Cause:
    cause = cause_of(error)
    problem = f"{cause.problem}; so for {waited_ms / 3_600_000:.1f} h, while Kili answered other calls"
    return Cause(cause.slug, cause.kind, cause.field, problem, cause.fix, cause.server_message)
