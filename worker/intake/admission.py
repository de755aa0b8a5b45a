"""One admission for both doors: every message ends in the spool or in the dead letters."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

import redis

from worker.intake.parsing import InboxEntry, Rules, Understanding, Understood
from worker.projects.configuration import Projects
from worker.projects.results import AWAITED
from worker.review import ReviewDecision, ReviewPolicy, Subject
from worker.spool import Admission, Arrival, Counted, Dead, Item, Spool, Waiting
from worker.spool.dead_letters import DeadLetter, with_trace
from worker.tracing import NO_TRACES, Tracer

logger = logging.getLogger(__name__)

AWAITED_LANE = 5
"""Of predictions whose result is yet to be read: how doubtful they are is not known."""

DECIDED_ITEMS = 1_000
DECIDED_BYTES = 2_000_000
"""The policy is asked about so many at once; until then what they hold stays in memory."""

TRANSACTION_BYTES = 16_000_000
TRANSACTION_ITEMS = 1_000
"""One transaction ends with the entry that reaches these: while it runs, Redis does nothing else."""

Found = tuple[str, Understood | Dead]
"""A message and the entry that it came in."""


class Admitter:
    """Turns messages into spool items, and puts them there.

    Args:
        spool: where they go.
        policy: decides lane and priority.
        rules: limits and defaults.
        projects: the operator's word on each project's outputs.
        tracer: told of what is admitted.
    """

    def __init__(
        self, spool: Spool, policy: ReviewPolicy, rules: Rules, projects: Projects, tracer: Tracer = NO_TRACES
    ) -> None:
        self._spool = spool
        self._policy = policy
        self._tracer = tracer
        self._understanding = Understanding(rules, projects)

    def admit_entries(self, entries: Sequence[InboxEntry], *, inbox: str, insist: bool = False) -> Admission:
        """Admit inbox entries, in one or more transactions; with ``inbox`` each leaves it in that which admits it.

        ``insist`` admits also while memory is full.

        Raises:
            redis.RedisError: what is not admitted stays in the inbox.
        """
        total = Admission(0, 0, 0, 0)
        found = ((entry.entry_id, one) for entry in entries for one in self._understanding.of_entry(entry))
        sources = {entry.entry_id: entry.source for entry in entries}
        carried = {entry.entry_id: self._tracer.carried(entry.fields) for entry in entries}
        for arrivals in _transactions(self._arrivals(found, sources, carried)):
            total += self._admitted(arrivals, inbox=inbox, insist=insist)
        return total

    def replay(self, letter: DeadLetter) -> Admission:
        """Admit a dead letter's original again; the letter goes in the same transaction, or nothing happens."""
        about = letter.about
        found = self._understanding.of_original(
            about.get("form", "message"), letter.original, about.get("history", []), about.get("source", "")
        )
        carried = {"": str(about.get("trace", ""))}
        items = [item for part in _parts(("", one) for one in found) for _, item in self._decided(part, carried)]
        return self._admitted([Arrival("", tuple(items), replayed=letter.id)])

    def keep(self) -> None:
        """Let the fleet know now what the policy has counted here.

        Raises:
            redis.RedisError: it is kept for the next time.
        """
        self._policy.keep()

    def _admitted(self, arrivals: Sequence[Arrival], *, inbox: str = "", insist: bool = False) -> Admission:
        result = self._spool.admit(arrivals, inbox=inbox, insist=insist)
        self._tracer.admitted(arrivals, result)
        return result

    def _arrivals(
        self, found: Iterable[Found], sources: Mapping[str, str], carried: Mapping[str, str]
    ) -> Iterator[Arrival]:
        decided = (one for part in _parts(found) for one in self._decided(part, carried))
        for entry_id, items in groupby(decided, key=itemgetter(0)):
            yield Arrival(entry_id, tuple(item for _, item in items), source=sources[entry_id])

    def _decided(self, part: Sequence[Found], carried: Mapping[str, str]) -> Iterator[tuple[str, Item]]:
        """Items in the order of the messages; the policy is asked about all of them together."""
        decisions = iter(self._decisions([one for _, one in part if isinstance(one, Understood) and one.subject]))
        for entry_id, one in part:
            if isinstance(one, Dead):
                yield entry_id, _traced(one, self._tracer.received(one.original, carried[entry_id]))
                continue
            trace = self._tracer.received(one.message, carried[entry_id])
            decision = next(decisions) if one.subject else ReviewDecision(AWAITED_LANE, 0, AWAITED, "none")
            yield entry_id, _traced(decision, trace) if isinstance(decision, Dead) else _item(one, decision, trace)

    def _decisions(self, asked: Sequence[Understood]) -> Sequence[ReviewDecision | Dead]:
        """One for each; when the policy fails, one by one, so that none suffers from its neighbours."""
        try:
            return self._asked([one.subject for one in asked if one.subject])
        except redis.RedisError:
            raise  # the policy's memory is away: the entries stay in the inbox
        except Exception as error:  # noqa: BLE001 - whatever a message does to this code, the doors stay open
            if len(asked) == 1:
                return [self._understanding.refused(error, asked[0].message, asked[0].history, asked[0].source)]
            words, kind = "the policy failed on %d predictions and is asked one by one: %s", type(error).__name__
            logger.warning(words, len(asked), kind, extra={"action": "policy_failed", "error": kind})
            return [decision for one in asked for decision in self._decisions([one])]

    def _asked(self, subjects: Sequence[Subject]) -> Sequence[ReviewDecision]:
        decisions = self._policy.decide_all(subjects) if subjects else []
        if len(decisions) != len(subjects):
            raise ValueError(f"{len(decisions)} decisions on {len(subjects)} predictions")
        return decisions


def _traced(dead: Dead, trace: str) -> Dead:
    return replace(dead, letter=with_trace(dead.letter, trace)) if trace else dead


def _item(one: Understood, decision: ReviewDecision, trace: str) -> Waiting | Counted:
    if not decision.upload:
        return Counted(one.project)
    return Waiting(
        project=one.project,
        lane=decision.lane,
        asset_id=one.asset_id,
        model=one.model,
        stamp=one.stamp,
        digest=hashlib.blake2b(one.message, digest_size=8).hexdigest(),
        payload=one.message,
        decision=decision.to_bytes(one.history, one.source, trace),
    )


def _parts(found: Iterable[Found]) -> Iterator[list[Found]]:
    part: list[Found] = []
    size = 0
    for one in found:
        part.append(one)
        size += len(one[1].message if isinstance(one[1], Understood) else one[1].original)
        if len(part) >= DECIDED_ITEMS or size >= DECIDED_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _transactions(arrivals: Iterable[Arrival]) -> Iterator[list[Arrival]]:
    held: list[Arrival] = []
    size = items = 0
    for arrival in arrivals:
        held.append(arrival)
        items += len(arrival.items)
        size += sum(map(_size, arrival.items))
        if size >= TRANSACTION_BYTES or items >= TRANSACTION_ITEMS:
            yield held
            held, size, items = [], 0, 0
    if held:
        yield held


def _size(item: Item) -> int:
    match item:
        case Waiting():
            return len(item.payload)
        case Dead():
            return len(item.original)
        case Counted():
            return 0
