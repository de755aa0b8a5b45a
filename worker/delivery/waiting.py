"""What waits for Kili, by project; and how an operator ends the wait of a project that will not be served.

A prediction whose project Kili refuses waits for ever, since nobody but the operator can know that its id is wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from worker.contract import MessageError, Prediction, read_stored
from worker.delivery import CircuitBreaker, DeadLetterWriter, LeaseKeeper, Pause
from worker.environment import clock
from worker.spool import Leased, Outcome, Settlement, Spool
from worker.spool.dead_letters import Cause
from worker.tracing import NO_TRACES, Tracer

BLOCK_ITEMS = 500
BLOCK_BYTES = 32_000_000
NO_AGING_MS = 10**12

BACKLOG = 250
BACKLOG_SECONDS = 600.0
"""So many predictions on their way, the oldest for so long, are a backlog: urgent ones overtake the others in it."""

SLUG = "moved_by_operator"

Settle = Callable[[Leased], Settlement]


class ProjectBusy(Exception):
    """A wave has the project and did not give it back in time."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What of a project is on its way: counts, when the oldest came (ms since the epoch), why it waits if known."""

    project: str
    waiting: int
    leased: int
    oldest_ms: int | None
    pause: Pause | None

    @property
    def seconds(self) -> float:
        """How long the oldest has waited."""
        return max(0.0, clock.now() - self.oldest_ms / 1000) if self.oldest_ms is not None else 0.0

    @property
    def is_backlog(self) -> bool:
        """Whether Kili has urgent predictions before others that were made earlier."""
        return self.waiting + self.leased > BACKLOG and self.seconds > BACKLOG_SECONDS


def waits(spool: Spool, breaker: CircuitBreaker) -> list[Wait]:
    """Every project with predictions on their way, the longest wait first."""
    paused = {pause.scope: pause for pause in breaker.all()}
    found = [wait_of(spool, project, paused.get(f"project:{project}")) for project in spool.projects()]
    return sorted((one for one in found if one.waiting + one.leased > 0), key=lambda one: -one.seconds)


def wait_of(spool: Spool, project: str, pause: Pause | None) -> Wait:
    """What of one project is on its way."""
    ledger = spool.ledger(project)
    oldest = spool.oldest_ms(project) if ledger.waiting + ledger.leased > 0 else None
    return Wait(project, ledger.waiting, ledger.leased, oldest, pause)


def dead_letter(
    spool: Spool,
    wait: Wait,
    *,
    patience: float = 30.0,
    keeper: LeaseKeeper | None = None,
    tracer: Tracer = NO_TRACES,
) -> int:
    """Move what waits for a project to the dead letters, from where it can be replayed; how many.

    ``keeper`` holds the project's lock meanwhile, by default one of this call's own. ``tracer`` is notified of what
    was moved.

    Raises:
        ProjectBusy: a wave has the project for longer than ``patience`` seconds.
        LeaseLost: another took the project meanwhile; what was moved until then is moved.
    """
    letter_writer, cause = DeadLetterWriter(wait.project), _cause_of(wait)

    def settle(entry: Leased) -> Settlement:
        return letter_writer.of(entry, _read(entry), cause, "operator")

    return _settle_all(spool, wait.project, settle, patience, keeper, tracer)


def drop(
    spool: Spool,
    wait: Wait,
    *,
    patience: float = 30.0,
    keeper: LeaseKeeper | None = None,
    tracer: Tracer = NO_TRACES,
) -> int:
    """Drop what waits for a project for good; how many. Arguments and errors are those of ``dead_letter``."""
    return _settle_all(spool, wait.project, lambda one: Settlement(one, Outcome.DROPPED), patience, keeper, tracer)


def _settle_all(
    spool: Spool, project: str, settle: Settle, patience: float, keeper: LeaseKeeper | None, tracer: Tracer
) -> int:
    """Settle what waits now, block by block under the project's lock; what comes meanwhile stays."""
    keeper, end = keeper or LeaseKeeper(spool), clock.monotonic() + patience
    while True:
        with keeper.hold(project) as lease:
            if lease is not None:
                spool.hasten(project, lease.token)
                return _settle_blocks(spool, project, lease.token, settle, tracer)
        if clock.monotonic() > end:
            raise ProjectBusy(project)
        clock.wait(threading.Event(), 0.1)


def _settle_blocks(spool: Spool, project: str, token: str, settle: Settle, tracer: Tracer) -> int:
    left, done = spool.ledger(project).waiting, 0
    while left > 0:
        items = min(left, BLOCK_ITEMS)
        entries = spool.lease(project, token, items=items, max_bytes=BLOCK_BYTES, aging_ms=NO_AGING_MS)
        settlements = [settle(entry) for entry in entries]
        spool.settle(project, token, settlements)
        tracer.settled(project, settlements)
        done += len(entries)
        still = spool.ledger(project).waiting
        if not entries and still >= left:
            break
        left = min(left - len(entries), still)
    return done


def _cause_of(wait: Wait) -> Cause:
    why = f", which is refused: {wait.pause.reason}" if wait.pause else ""
    problem = f"waited {wait.seconds:.0f} s for project {wait.project}{why}; an operator ended the wait"
    fix = "replay when the project is served; where the id was wrong, publish the original with the right one"
    return Cause(SLUG, "refused", "project_id", problem, fix)


def _read(entry: Leased) -> Prediction | None:
    try:
        return read_stored(entry.payload)
    except MessageError:
        return None
