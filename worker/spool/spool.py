"""Where predictions wait, durable: Redis Streams per project and lane, leases, recovery, the conservation ledger.

Every change of state is one Lua script, so items and counters move together or not at all. Keys are derived inside
the scripts; Redis Cluster is therefore not supported. The scripts are ordered so that a full memory (``noeviction``)
refuses admissions before anything has moved, and never refuses what frees memory.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any

import redis

from worker.environment import clock
from worker.environment.connections import insist, script_of
from worker.spool import names
from worker.spool.entries import (
    LANES,
    WAITS_AGAIN,
    Admission,
    Arrival,
    Dead,
    Item,
    LateWrites,
    Leased,
    Ledger,
    Outcome,
    SampledOut,
    Settlement,
    SpoolObserver,
    Waiting,
    named,
)

INBOX_GROUP = "intake"
LAG_KEPT_SECONDS = 60.0
LAG_FORGOTTEN_SECONDS = 86_400.0


PROJECTS_AT_ONCE = 20
"""So many projects one script looks at: meanwhile Redis does nothing else."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What is in a lane of a project: entries, those leased among them, and when the oldest was admitted.

    ``oldest_ms`` is in milliseconds since the epoch; None when the lane is empty.
    """

    entries: int
    leased: int
    oldest_ms: int | None

    @property
    def waiting(self) -> int:
        """Entries that no wave has leased."""
        return max(0, self.entries - self.leased)


class LeaseLost(Exception):
    """The project's lock has passed to another worker; nothing was changed."""


class Spool:
    """Access to the spool in one Redis.

    Args:
        client: of the spool's Redis, with ``decode_responses`` off.
        prefix: of every key.
        lease_ms: after this time without renewal a wave's lock falls to others.
        remember_ms: how long the newest prediction of a settled asset is remembered.
        late_ms: so long after a lock has ended its holder's calls may still reach Kili; 0: they are not reckoned with.
        observer: notified of what happens here.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str,
        lease_ms: int,
        remember_ms: int,
        late_ms: int = 0,
        observer: SpoolObserver | None = None,
    ) -> None:
        self.redis = client
        self._observer = observer
        self.prefix = prefix
        self.lease_ms = lease_ms
        self._remember_ms = remember_ms
        self._late_ms = late_ms
        self._scripts = {
            name: script_of(client, "worker.spool", f"scripts/{name}.lua")
            for name in (
                "admit",
                "acquire",
                "came_late",
                "lease",
                "settle",
                "due",
                "renew",
                "release",
                "drop",
                "forget",
                "oldest",
                "hasten",
                "lanes",
            )
        }

    def admit(self, arrivals: Sequence[Arrival], *, inbox: str = "", insist: bool = False) -> Admission:
        """Put items into their lanes or the dead letters, and delete their entries of ``inbox`` with them.

        ``inbox`` is given only when it lives in the same Redis: an entry that is no longer there was admitted by
        another worker, and its items are skipped. So are those of a replayed letter that is gone; its arrival comes
        alone. The ids of entries of an inbox in another Redis are remembered for a day, or until ``forget``, to the
        same end. Arrivals come in the order of their entries' ids.

        Raises:
            redis.OutOfMemoryError: memory is full and ``insist`` is not set; nothing has moved.
        """
        return self.start_admission(arrivals, inbox=inbox, insist=insist)()

    def start_admission(
        self, arrivals: Sequence[Arrival], *, inbox: str = "", insist: bool = False
    ) -> Callable[[], Admission]:
        """Begin to admit; the call of the result ends it, and must be made."""
        heads: dict[tuple[str, str, str, str], int] = {}
        rows: list[Any] = []
        for arrival in arrivals:
            rows += (arrival.entry_id, len(arrival.items))
            for item in arrival.items:
                head, fields = _row_of(item, arrival.source)
                rows += (heads.setdefault(head, len(heads) + 1), *fields)
        replayed = "".join([arrival.replayed for arrival in arrivals])
        if replayed and len(arrivals) > 1:
            raise ValueError("the arrival of a letter that is replayed comes alone")
        args = [self.prefix, inbox, INBOX_GROUP, "1" if insist else "", replayed, len(heads), len(arrivals)]
        with self._notified_of_failure("admit"):
            answer = self._scripts["admit"].start(args=chain(args, *heads, rows))

        def result() -> Admission:
            with self._notified_of_failure("admit"):
                found = Admission(*map(int, answer()))
            if self._observer is not None:
                self._observer.admitted(arrivals, found)
            return found

        return result

    def sources(self) -> dict[str, int]:
        """Messages received from each source, since sources have been counted."""
        found: Any = self.redis.hgetall(f"{self.prefix}sources")
        return {name.decode(): int(count) for name, count in sorted(found.items())}

    def note_lag(self, source: str, worker: str, lag: int) -> None:
        """Remember how many messages a source's server still holds for one worker."""
        row = json.dumps({"lag": lag, "at": clock.now()})
        insist(self.redis, "HSET", f"{self.prefix}sources:lag", f"{source}\n{worker}", row)

    def lags(self) -> dict[str, int]:
        """Messages that the servers of sources still hold; what nobody has told of for a minute is left out."""
        found: Any = self.redis.hgetall(f"{self.prefix}sources:lag")
        lags: dict[str, int] = {}
        for name, row in found.items():
            report, source = json.loads(row), name.decode().partition("\n")[0]
            if clock.now() - report["at"] < LAG_KEPT_SECONDS:
                lags[source] = lags.get(source, 0) + report["lag"]
            elif clock.now() - report["at"] > LAG_FORGOTTEN_SECONDS:
                self.redis.hdel(f"{self.prefix}sources:lag", name)
        return lags

    def forget(self, entry_ids: Sequence[str]) -> None:
        """Entries of an inbox in another Redis have left it."""
        self.redis.zrem(f"{self.prefix}admitted", *entry_ids)

    def acquire(self, project: str) -> str | None:
        """Take a project for one wave: a token, or None when another wave has it."""
        token, _ = self.take(project)
        return token

    def take(self, project: str) -> tuple[str | None, LateWrites]:
        """Take a project for one wave: as ``acquire``, with what former holders may still send to Kili."""
        token = secrets.token_hex(8)
        taken, _, late = self._run("acquire", [self.prefix, project, token, self.lease_ms, LANES, self._late_ms])
        if taken and self._observer is not None:
            self._observer.acquired(project)
        return (token if taken else None), LateWrites.of(late)

    def came_late(self, project: str, entries: Sequence[Leased]) -> int:
        """The calls of a wave that has lost its lock have ended: what was put off for them is sent again at once.

        Returns how many of ``entries``, which were in its calls, others may have overtaken without knowing of them.
        """
        return int(self._run("came_late", [self.prefix, project, *named(entries)]))

    def renew(self, project: str, token: str) -> bool:
        """Keep the lock for another lease; False when it is lost."""
        return bool(self._run("renew", [self.prefix, project, token, self.lease_ms]))

    def release(self, project: str, token: str) -> None:
        """Give the project back; leased entries that were not settled wait again.

        So it is also when the lock has ended and nobody has taken it since; else the taker has seen to it.
        """
        try:
            self._run("acquire", [self.prefix, project, token, self.lease_ms, LANES, self._late_ms])
            self._run("release", [self.prefix, project, token])
        finally:
            if self._observer is not None:
                self._observer.released(project)

    def lease(
        self, project: str, token: str, *, items: int, max_bytes: int, aging_ms: int, lanes: int = LANES
    ) -> list[Leased]:
        """Lease up to ``items`` entries of the first ``lanes`` lanes, most doubtful lanes first.

        Raises:
            LeaseLost: the lock is no longer ours.
        """
        reply = self._run("lease", [self.prefix, project, token, lanes, items, max_bytes, aging_ms, LANES])
        if reply is None:
            raise LeaseLost(project)
        rows, now = iter(reply[1]), int(reply[2])
        entries = sorted(map(partial(_leased, now), *[rows] * LEASED_FIELDS), key=attrgetter("lane"))
        if self._observer is not None:
            self._observer.leased(project, entries, int(reply[0]))
        return entries

    def settle(self, project: str, token: str, settlements: Sequence[Settlement]) -> None:
        """Record the outcome of leased entries.

        Raises:
            LeaseLost: the lock is no longer ours.
        """
        args: list[Any] = [self.prefix, project, token, self._remember_ms]
        for one in settlements:
            entry, outcome = one.entry, one.outcome
            rank = f"{entry.stamp}:{entry.digest}"
            args += (entry.lane, entry.entry_id, outcome.value, entry.asset_id, entry.model, rank)
            if outcome is Outcome.DEAD:
                args += (one.cause, one.letter, (entry.original or entry.payload) if one.letter else b"")
            elif outcome in WAITS_AGAIN:
                args += (one.delay_ms, one.tries)
        if self._run("settle", args) == -1:
            raise LeaseLost(project)
        if self._observer is not None:
            self._observer.settled(project, settlements)

    def drop(self, letter_id: str) -> bool:
        """Drop a dead letter for good; False when it is not there."""
        return bool(self._run("drop", [self.prefix, letter_id]))

    def hasten(self, project: str, token: str) -> None:
        """What was put off may be leased at once.

        Raises:
            LeaseLost: the lock is no longer ours.
        """
        if self._run("hasten", [self.prefix, project, token]) == -1:
            raise LeaseLost(project)

    def oldest_ms(self, project: str) -> int | None:
        """When the oldest prediction of a project that is still here was admitted, in ms since the epoch."""
        found = self._run("oldest", [self.prefix, project, LANES])
        return int(found) if found else None

    def due(self, *, full: int, linger_ms: int, silence_ms: int, most: int = 0) -> list[str]:
        """Projects that a wave should be run for now, at most ``most`` (0: all), each in its turn.

        They are not offered again before their wave has ended, or for ``silence_ms`` when none begins.
        """
        found = self._run("due", [self.prefix, full, linger_ms, silence_ms, most])
        if self._observer is not None:
            self._observer.looked()
        return [name.decode() for name in found]

    def ledger(self, project: str | None = None) -> Ledger:
        """The counters of one project, or of all together."""
        key = f"{self.prefix}ledger" + (f":{project}" if project is not None else "")
        return _ledger(self.redis.hgetall(key))

    def others_wait(self, project: str) -> bool:
        """Whether another project has predictions waiting."""
        key = f"{self.prefix}work"
        own = self.redis.zscore(key, project) is not None
        return int(self.redis.zcard(key)) > int(own)

    def projects(self) -> list[str]:
        """Every project that had a message here and was not forgotten since, sorted."""
        names.fill_once(self.redis, self.prefix)
        found: Any = self.redis.zrange(names.projects_key(self.prefix), 0, -1)
        return sorted(name.decode() for name in found)

    def silent_projects(self, before_ms: int, limit: int) -> list[str]:
        """Some of the projects that nothing has come for since a moment (milliseconds since the epoch)."""
        names.fill_once(self.redis, self.prefix)
        key = names.projects_key(self.prefix)
        found: Any = self.redis.zrangebyscore(key, "-inf", f"({before_ms}", start=0, num=limit)
        return [name.decode() for name in found]

    def forget_project(self, project: str, before_ms: int) -> bool:
        """Forget a project of which nothing is left, unless something came for it since a moment; whether it was."""
        return bool(self._run("forget", [self.prefix, project, before_ms, LANES]))

    def lanes(self, project: str) -> list[int]:
        """Entries in each lane of a project, waiting and leased together."""
        with self.redis.pipeline(transaction=False) as pipe:
            for lane in range(LANES):
                pipe.xlen(f"{self.prefix}lane:{lane}:{project}")
            return [int(length) for length in pipe.execute()]

    def backlog(self, wanted: Sequence[str]) -> dict[str, list[Lane]]:
        """What is in each lane of some projects."""
        found: dict[str, list[Lane]] = {}
        for start in range(0, len(wanted), PROJECTS_AT_ONCE):
            part = wanted[start : start + PROJECTS_AT_ONCE]
            flat = [int(number) for number in self._run("lanes", [self.prefix, LANES, *part])]
            lanes = [Lane(flat[n], flat[n + 1], flat[n + 2] or None) for n in range(0, len(flat), 3)]
            found |= {project: lanes[place * LANES : (place + 1) * LANES] for place, project in enumerate(part)}
        return found

    def ledgers(self, wanted: Sequence[str]) -> dict[str, Ledger]:
        """The counters of some projects."""
        with self.redis.pipeline(transaction=False) as pipe:
            for project in wanted:
                pipe.hgetall(f"{self.prefix}ledger:{project}")
            return dict(zip(wanted, map(_ledger, pipe.execute()), strict=True))

    def measured(self) -> tuple[int, int]:
        """(entries in the lanes, dead letters) counted from the streams themselves: a check on the ledger."""
        in_lanes = sum(sum(self.lanes(project)) for project in self.projects())
        return in_lanes, int(self.redis.xlen(f"{self.prefix}dead"))

    def _run(self, script: str, args: Iterable[Any]) -> Any:
        with self._notified_of_failure(script):
            return self._scripts[script](keys=[], args=list(args))

    @contextmanager
    def _notified_of_failure(self, script: str) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            if self._observer is not None:
                self._observer.failed(script, error)
            raise


_COUNTERS = frozenset(field.name for field in fields(Ledger))


def _ledger(counts: Any) -> Ledger:
    return Ledger(**{k.decode(): int(v) for k, v in counts.items() if k.decode() in _COUNTERS})


def _row_of(item: Item, source: str) -> tuple[tuple[str, str, str, str], tuple[Any, ...]]:
    """What an item has in common with others, and its own six fields."""
    match item:
        case Waiting():
            own = (item.lane, item.asset_id, item.stamp, item.digest, item.payload, item.decision)
            return ("waiting", item.project, item.model, source), own
        case Dead():
            return ("dead", item.project, item.cause, source), (item.letter, item.original, "", "", "", "")
        case SampledOut():
            return ("counted", item.project, "", source), ("", "", "", "", "", "")


LEASED_FIELDS = 10


def _leased(leased_ms: int, *row: Any) -> Leased:
    lane, entry_id, deliveries, tries, asset, model, stamp, digest, payload, decision = row
    known = asset.decode(), model.decode(), int(stamp), digest.decode()
    return Leased(lane, entry_id.decode(), deliveries, *known, payload, decision, b"", tries, leased_ms)
