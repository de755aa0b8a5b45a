"""One admission for all sources: every message ends in the spool or in the dead letters."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

import redis
from msgspec.structs import replace

from worker.intake.parsing import InboxEntry, MessageParser, ParsedPrediction, Rules
from worker.projects.configuration import Projects
from worker.projects.results import AWAITED
from worker.review import ReviewDecision, ReviewPolicy, Subject
from worker.spool import Admission, Arrival, Dead, Item, SampledOut, Spool, Waiting
from worker.spool.dead_letters import DeadLetter, with_trace
from worker.tracing import NO_TRACES, Tracer

logger = logging.getLogger(__name__)

AWAITED_LANE = 5
AWAITED_DECISION = ReviewDecision(AWAITED_LANE, 0, AWAITED, "none")
"""On predictions whose result is yet to be read: how doubtful they are is not known."""

DECIDED_ITEMS = 1_000
DECIDED_BYTES = 2_000_000
"""The policy is asked about so many at once; until then what they hold stays in memory."""

TRANSACTION_BYTES = 16_000_000
TRANSACTION_ITEMS = 1_000
"""One transaction ends with the entry that reaches these: while it runs, Redis does nothing else.

A burst of so many is admitted at once, so that batches are cut of all of it.
"""
BACKLOG_ITEMS = 250
"""Of a backlog, each runs while the next one's messages are parsed: several are quicker than a large one."""

Undecided = list[tuple[list[Item], ParsedPrediction | Dead, str]]
"""What messages hold, each with the items of its entry, which it will be one of, and the trace context of the entry."""


class Admitter:
    """Turns messages into spool items, and puts them there.

    Args:
        spool: where they go.
        policy: decides lane and priority.
        rules: limits and defaults.
        projects: the configuration of each project's outputs.
        tracer: told of what is admitted.
    """

    def __init__(
        self, spool: Spool, policy: ReviewPolicy, rules: Rules, projects: Projects, tracer: Tracer = NO_TRACES
    ) -> None:
        self._spool = spool
        self._policy = policy
        self._tracer = tracer
        self._parser = MessageParser(rules, projects)

    def admit_entries(
        self, entries: Sequence[InboxEntry], *, inbox: str, insist: bool = False, is_backlog: bool = False
    ) -> Admission:
        """Admit inbox entries, in one or more transactions; with ``inbox`` each leaves it in that which admits it.

        ``insist`` admits also while memory is full; of a backlog more waits in the inbox.

        Raises:
            redis.RedisError: what is not admitted stays in the inbox.
        """
        total, ending = Admission(0, 0, 0, 0), _nothing
        try:
            # The transaction before runs on the server meanwhile.
            for arrivals in self._transactions(entries, BACKLOG_ITEMS if is_backlog else TRANSACTION_ITEMS):
                before, ending = ending, _nothing
                total += before()
                ending = self._started(arrivals, inbox=inbox, insist=insist)
        finally:
            total += ending()
        return total

    def replay(self, letter: DeadLetter) -> Admission:
        """Admit a dead letter's original again; the letter goes in the same transaction, or nothing happens."""
        about = letter.about
        found = self._parser.of_original(
            about.get("form", "message"), letter.original, about.get("history", []), about.get("source", "")
        )
        items: list[Item] = []
        self._decide([(items, one, str(about.get("trace", ""))) for one in found])
        return self._started([Arrival("", items, replayed=letter.id)])()

    def keep(self) -> None:
        """Let the fleet know now what the policy has counted here.

        Raises:
            redis.RedisError: it is kept for the next time.
        """
        self._policy.keep()

    def _started(
        self, arrivals: Sequence[Arrival], *, inbox: str = "", insist: bool = False
    ) -> Callable[[], Admission]:
        ending = self._spool.start_admission(arrivals, inbox=inbox, insist=insist)

        def end() -> Admission:
            result = ending()
            self._tracer.admitted(arrivals, result)
            return result

        return end

    def _transactions(self, entries: Iterable[InboxEntry], most: int) -> Iterator[list[Arrival]]:
        """Whole entries, decided on, as many at once as a transaction may hold."""
        arrivals: list[Arrival] = []
        undecided: Undecided = []
        size = count = held = 0
        for entry in entries:
            items: list[Item] = []
            arrivals.append(Arrival(entry.entry_id, items, source=entry.source))
            carried = self._tracer.carried(entry.fields)
            for one in self._parser.of_entry(entry):
                undecided.append((items, one, carried))
                held += len(one.original if isinstance(one, Dead) else one.message)
                if len(undecided) >= DECIDED_ITEMS or held >= DECIDED_BYTES:
                    size, count = size + held, count + len(undecided)
                    self._decide(undecided)
                    undecided, held = [], 0
            if size + held >= TRANSACTION_BYTES or count + len(undecided) >= most:
                self._decide(undecided)
                yield arrivals
                arrivals, undecided, size, count, held = [], [], 0, 0, 0
        if arrivals:
            self._decide(undecided)
            yield arrivals

    def _decide(self, undecided: Undecided) -> None:
        """Add the items in the order of the messages; the policy is asked about all of them together."""
        asked = [one for _, one, _ in undecided if isinstance(one, ParsedPrediction) and one.subject is not None]
        decisions = iter(self._decisions(asked))
        for items, one, carried in undecided:
            if isinstance(one, Dead):
                items.append(_traced(one, self._tracer.received(one.original, carried)))
                continue
            trace = self._tracer.received(one.message, carried)
            decision = AWAITED_DECISION if one.subject is None else next(decisions)
            items.append(_traced(decision, trace) if isinstance(decision, Dead) else _item(one, decision, trace))

    def _decisions(self, asked: Sequence[ParsedPrediction]) -> Sequence[ReviewDecision | Dead]:
        """One for each; when the policy fails, one by one, so that none suffers from its neighbours."""
        try:
            return self._asked([one.subject for one in asked if one.subject])
        except redis.RedisError:
            raise  # the policy's memory is away: the entries stay in the inbox
        except Exception as error:  # noqa: BLE001 - whatever a message does to this code, intake goes on
            if len(asked) == 1:
                return [self._parser.refused(error, asked[0].message, asked[0].history, asked[0].source)]
            message, kind = "the policy failed on %d predictions and is asked one by one: %s", type(error).__name__
            logger.warning(message, len(asked), kind, extra={"action": "policy_failed", "error": kind})
            return [decision for one in asked for decision in self._decisions([one])]

    def _asked(self, subjects: Sequence[Subject]) -> Sequence[ReviewDecision]:
        decisions = self._policy.decide_all(subjects) if subjects else []
        if len(decisions) != len(subjects):
            raise ValueError(f"{len(decisions)} decisions on {len(subjects)} predictions")
        return decisions


def _nothing() -> Admission:
    return Admission(0, 0, 0, 0)


def _traced(dead: Dead, trace: str) -> Dead:
    return replace(dead, letter=with_trace(dead.letter, trace)) if trace else dead


def _item(one: ParsedPrediction, decision: ReviewDecision, trace: str) -> Waiting | SampledOut:
    if not decision.upload:
        return SampledOut(one.project)
    return Waiting(
        one.project,
        decision.lane,
        one.asset_id,
        one.model,
        one.stamp,
        hashlib.blake2b(one.message, digest_size=8).hexdigest(),
        one.message,
        decision.to_bytes(one.history, one.source, trace),
    )
