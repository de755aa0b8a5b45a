"""What the worker knows of itself, gathered from Redis: its processes, what waits, what became of the rest.

Every process of the fleet says now and then that it is there, and what it is about.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import redis

from worker import __version__
from worker.delivery import CircuitBreaker, Documents, Pause
from worker.environment import clock
from worker.environment.connections import insist
from worker.environment.json_text import of_stored
from worker.feedback.drift import State
from worker.feedback.messages import detector_name, percent
from worker.feedback.service import summaries
from worker.intake import Inbox
from worker.kili.budget import CallCounter
from worker.projects.configuration import review_text
from worker.settings.tree import Settings
from worker.spool import Lane, Ledger, Spool, replacement_of
from worker.spool.dead_letters import DeadLetters
from worker.wiring import budget_of, inbox_of, spool_of

logger = logging.getLogger(__name__)


def status_lines(summaries: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One line per project and model version."""
    for project, summary in summaries.items():
        for model, found in summary["models"].items():
            yield f"agreement      {project} {model}: {_agreement(found)}{_raised(found)}"
        if summary["mark_conflicts"]:
            yield f"agreement      {project}: {summary['mark_conflicts']} marks of Kili say the opposite of ours"
        files = summary.get("label_files")
        if files and (files["waiting"] or files["unreadable"]):
            counts = f"{files['waiting']} label files are tried again, {files['unreadable']} are unreadable"
            yield f"labels         {project}: {counts}: {files['problem']}"


def _agreement(found: Mapping[str, Any]) -> str:
    counts = f"{found['verdicts']} verdicts, {found['audits']} audits"
    if found["value"] is None:
        return f"not known yet ({counts})"
    return f"{percent(found['value'])} ({percent(found['low'])} to {percent(found['high'])}; {counts})"


def _raised(found: Mapping[str, Any]) -> str:
    raised = [detector_name(name) for name, state in found["drift"].items() if state == State.RAISED]
    return f"; DRIFT: {', '.join(raised)}" if raised else ""


def collect(settings: Settings, spool: Spool | None = None, inbox: Inbox | None = None) -> dict[str, Any]:
    """Everything that ``status`` and the exporter show, as plain data.

    Args:
        settings: of the fleet.
        spool, inbox: to ask; connections are opened where they are not given.

    Raises:
        redis.RedisError: Redis is away.
    """
    spool, inbox = spool or spool_of(settings), inbox or inbox_of(settings)
    letters = DeadLetters(spool.redis, spool.prefix)
    pauses = CircuitBreaker(spool.redis, spool.prefix, first=0, cap=0).all()
    ledger = spool.ledger()
    rejection = Documents(spool.redis, spool.prefix, wanted=settings.delivery.one_document).rejection()
    replaced = replacement_of(spool.redis, spool.prefix)
    projects = spool.projects()
    expiry = letters.expiry()
    backlogs = inbox.backlogs()
    return {
        "in_the_inbox": sum(backlogs.values()),
        "at_the_doors": sum(backlogs.values()),
        "backlogs": backlogs,
        "inbox_oldest_seconds": _age(inbox.oldest_ms()),
        "intake_paused": ledger.waiting >= settings.intake.max_waiting,
        "doors_closed": ledger.waiting >= settings.intake.max_waiting,
        "sources": spool.sources(),
        "source_lags": spool.lags(),
        "pairs": inbox.pairs(),
        "ledger": _ledger(ledger),
        "projects": _projects(spool, projects),
        "review": review_text(settings.review),
        "feedback": summaries(spool.redis, spool.prefix, projects),
        "dead_letters": letters.causes(),
        "dead_letters_oldest_seconds": {cause: _age(at) for cause, at in letters.oldest().items()},
        "dead_letters_expired": letters.expired(),
        "dead_letters_notice": asdict(expiry) | {"words": str(expiry)} if expiry else None,
        "pauses": [_pause(pause) for pause in pauses],
        "calls": [asdict(count) for count in CallCounter(spool.redis, spool.prefix).counts()],
        "budget": budget_of(settings, spool).peek() if settings.kili_api_key else None,
        "memory": _memory(spool),
        "one_document_refused": asdict(rejection) if rejection else None,
        "replaced": asdict(replaced) | {"words": str(replaced)} if replaced else None,
    }


REMEDIES = {
    "RefusedProject": "give the key access to the project (then: prediction-worker waiting retry PROJECT); a wrong id: "
    "prediction-worker waiting dead-letter PROJECT, or drop",
    "RefusedKey": "renew KILI_API_KEY and restart the workers",
    "LocalFault": "look at this worker's machine: name service, certificates, open files, memory",
    "InterfaceError": "mend the project's interface in Kili",
}
"""What an operator can do about a pause, by the kind of its error; any other passes or does not without him."""


def _pause(pause: Pause) -> dict[str, Any]:
    project = pause.scope.removeprefix("project:")
    remedy = REMEDIES.get(pause.kind, "").replace("PROJECT", project)
    return asdict(pause) | {"seconds": round(clock.now() - pause.since / 1000, 1), "remedy": remedy}


def _ledger(ledger: Ledger) -> dict[str, int]:
    return asdict(ledger) | {"balance": ledger.conservation_error}


def _projects(spool: Spool, projects: Sequence[str]) -> dict[str, Any]:
    ledgers, backlog = spool.ledgers(projects), spool.backlog(projects)
    return {project: _ledger(ledgers[project]) | _backlog(backlog[project]) for project in projects}


def _backlog(lanes: Sequence[Lane]) -> dict[str, Any]:
    """Entries, leased ones and the oldest's age by lane; of all lanes the age alone."""
    ages = [_age(lane.oldest_ms) for lane in lanes]
    return {
        "lanes": [lane.entries for lane in lanes],
        "lanes_leased": [lane.leased for lane in lanes],
        "lanes_oldest_seconds": ages,
        "oldest_seconds": max(ages),
    }


def _age(moment_ms: int | None) -> float:
    """Seconds since a moment; 0.0 for none."""
    return round(max(0.0, clock.now() - moment_ms / 1000), 1) if moment_ms is not None else 0.0


def _memory(spool: Spool) -> dict[str, int]:
    """Bytes that Redis uses and may use, as far as it tells."""
    info: Any = spool.redis.info("memory")
    limit = int(info.get("maxmemory", 0)) or int(info.get("total_system_memory", 0))
    return {"used": int(info.get("used_memory", 0)), "limit": limit}


def text(found: dict[str, Any]) -> str:
    """The status for a terminal."""
    return "\n".join(_lines(found))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    ledger = found["ledger"]
    parts = ("delivered", "superseded", "sampled_out", "dead", "dropped", "waiting", "leased")
    paused = " (intake paused: the spool is full)" if found["intake_paused"] else ""
    yield f"in the inbox   {found['in_the_inbox']}{paused}"
    yield f"received       {ledger['received']} = " + " + ".join(f"{ledger[part]} {part}" for part in parts)
    yield from _source_lines(found)
    if found["replaced"]:
        yield f"REDIS REPLACED {clock.now() - found['replaced']['at']:.0f} s ago: {found['replaced']['words']}"
    yield "conservation   " + ("holds" if ledger["balance"] == 0 else f"OFF BY {ledger['balance']}")
    for name, one in found["projects"].items():
        lanes = " ".join(map(str, one["lanes"]))
        counts = ", ".join(f"{one[state]} {state}" for state in ("waiting", "leased", "delivered"))
        yield f"project {name}: {counts}; lanes {lanes}"
    for cause, count in found["dead_letters"].items():
        yield f"dead letters   {count} {cause}"
    if found["dead_letters_expired"]:
        yield f"dead letters   {found['dead_letters_expired']} were dropped for their age or number"
    if found["dead_letters_notice"]:
        yield f"LETTERS END    {found['dead_letters_notice']['words']}"
    for pause in found["pauses"]:
        failures = f"{pause['failures']} failures"
        yield f"PAUSED         {pause['scope']} for {pause['seconds']} s, {failures}: {pause['reason']}"
        yield from _waiting_for(found, pause)
    yield f"review         {found['review']}"
    yield from status_lines(found["feedback"])
    if found["budget"]:
        budget = found["budget"]
        yield f"call budget    {budget['used']:g} of {budget['limit']:g} in the last minute"
    if found["one_document_refused"]:
        yield f"one document   is refused, calls go apart: {found['one_document_refused']['reason']}"
    failed = [count for count in found["calls"] if count["outcome"] != "ok"]
    calls, repeats = sum(c["calls"] for c in found["calls"]), sum(c["repeats"] for c in found["calls"])
    yield f"calls          {calls}, {sum(count['calls'] for count in failed)} failed, {repeats} repeated"
    for count in failed:
        yield f"  {count['operation']}: {count['calls']} {count['outcome']}"


def _source_lines(found: dict[str, Any]) -> Iterator[str]:
    if found["sources"]:
        yield "sources        " + ", ".join(f"{count} {name}" for name, count in found["sources"].items())
    if found["source_lags"]:
        yield "source lag     " + ", ".join(f"{count} {name}" for name, count in found["source_lags"].items())
    if any(found["pairs"].values()):
        yield "logged pairs   " + ", ".join(f"{count} {state}" for state, count in found["pairs"].items())


def _waiting_for(found: dict[str, Any], pause: dict[str, Any]) -> Iterator[str]:
    one = found["projects"].get(pause["scope"].removeprefix("project:"))
    if one is not None:
        count = one["waiting"] + one["leased"]
        yield f"               {count} predictions wait, the oldest for {one['oldest_seconds']:.0f} s; nothing is lost"
    if pause["remedy"]:
        yield f"               {pause['remedy']}"


NOTE_SECONDS = 15.0
SILENT_SECONDS = 60.0
"""A process that has said nothing for so long is told apart from the others."""

FORGOTTEN_SECONDS = 86_400.0

Kind = Literal["worker", "serve"]


@dataclass(frozen=True, slots=True)
class Member:
    """A process of the fleet; times in seconds since the epoch.

    ``held`` counts the projects with a wave in it, ``trouble`` says what keeps it from working (empty: nothing).
    """

    name: str
    kind: Kind
    version: str
    started: float
    at: float
    held: int = 0
    trouble: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether it has not been heard of for a while."""
        return clock.now() - self.at > SILENT_SECONDS


class Roster:
    """The processes of the fleet, in the hash ``workers``.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}workers"

    def members(self) -> list[Member]:
        """Every process that was heard of within a day, by name."""
        found: Any = self._redis.hgetall(self._key)
        members = [of_stored(Member, row) for row in found.values()]
        return sorted(
            (one for one in members if clock.now() - one.at < FORGOTTEN_SECONDS), key=lambda one: (one.kind, one.name)
        )

    def note(self, member: Member) -> None:
        """It is there."""
        insist(self._redis, "HSET", self._key, member.name, json.dumps(asdict(member)))

    def forget(self, name: str) -> None:
        """It has ended."""
        self._redis.hdel(self._key, name)

    def forget_gone(self) -> None:
        """Those that ended without a word a day ago."""
        found: Any = self._redis.hgetall(self._key)
        for name, row in found.items():
            if clock.now() - json.loads(row)["at"] > FORGOTTEN_SECONDS:
                self._redis.hdel(self._key, name)


class Presence:
    """Tells the fleet of one process.

    Args:
        roster: where it is told.
        name: of the process.
        kind: what it does.
    """

    def __init__(self, roster: Roster, name: str, kind: Kind) -> None:
        self._roster = roster
        self._name = name
        self._kind: Kind = kind
        self._started = clock.now()
        self._next = float("-inf")

    def tick(self, *, held: int = 0, trouble: str = "") -> None:
        """Say now and then that it is there; survives every failure of Redis."""
        if clock.monotonic() < self._next:
            return
        is_first, self._next = self._next == float("-inf"), clock.monotonic() + NOTE_SECONDS
        member = Member(self._name, self._kind, __version__, self._started, clock.now(), held, trouble[:300])
        try:
            self._roster.note(member)
            if is_first:
                self._roster.forget_gone()
        except redis.RedisError as error:
            logger.debug("presence not written: %s", error, extra={"action": "presence_waits"})

    def end(self) -> None:
        """It ends; survives every failure of Redis."""
        try:
            self._roster.forget(self._name)
        except redis.RedisError as error:
            logger.debug("presence not ended: %s", error, extra={"action": "presence_left"})
