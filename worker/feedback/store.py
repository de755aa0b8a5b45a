"""What the feedback keeps in Redis: one record per asset, and an index of the labels that are in the records.

Keys, below ``{prefix}feedback:{project}:``, days in UTC:

    records:{day}           asset id -> record, by the day on which the asset came to Kili
    index:{kind}:{day}      label id -> asset id, by the day of the label
    days                    the days that have records
    labeldays:{kind}        the days that have an index
    unread                  see worker/feedback/label_files.py
    unmarked                asset id by the time since when Kili's mark is awaited
    untaught                asset ids whose verdicts the review policy has not heard of
    differences:{kind}      day -> how Kili's count differed from ours, and whether the day was read anew
    verified                day -> when it was last read anew on purpose
    lock                    held by the one process that collects, or looks for drift
    next:{what}             there until it is due again, see ``IntervalLock``
    watches                 see worker/feedback/monitor.py
    alarms, numbers, acknowledged, told, posted     see worker/feedback/alarms.py

Everything can be rebuilt from Kili; an asset takes about half a kilobyte until it is older than the horizon.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import redis
from redis.exceptions import LockError
from redis.lock import Lock

from worker.feedback.reading import LabelKind
from worker.feedback.records import AssetRecord
from worker.spool import names

LOCK_SECONDS = 60.0
CHUNK = 500
OTHER_KEYS = ("days", "unmarked", "unread", "untaught", "verified")
BEYOND_KILI = ("summary", "acknowledged", "told", "posted", "alarms", "numbers", "watches")
"""What the feedback knows of a project and Kili does not."""


def versions_key(prefix: str) -> str:
    """Hash: project -> how many of its model versions are watched for drift."""
    return f"{prefix}feedback:versions"


class LockLost(Exception):
    """Another process collects this project now."""


@dataclass(frozen=True, slots=True)
class RecordDifference:
    """Labels that Kili counts on a day beyond ours; ``explained`` once the day was read anew and it remained."""

    size: int
    explained: bool


class FeedbackStore:
    """The records of one project.

    Args:
        client: of the spool's Redis, with ``decode_responses`` off.
        prefix: of every key of the worker.
        project: id.
    """

    def __init__(self, client: redis.Redis, prefix: str, project: str) -> None:
        self.project = project
        self._redis = client
        self._prefix = prefix
        self._base = f"{prefix}feedback:{project}:"
        self._lock = Lock(client, f"{self._base}lock", timeout=LOCK_SECONDS, blocking=False, thread_local=False)

    def acquire(self) -> bool:
        """Become the one that collects; also renews."""
        try:
            return self._lock.reacquire()
        except LockError:
            return bool(self._lock.acquire())

    def renew(self) -> bool:
        """Go on being the one that collects; False when another may have been it meanwhile."""
        try:
            return self._lock.reacquire()
        except LockError:
            return False

    def release(self) -> None:
        """Let others collect; harmless when another has the lock."""
        with contextlib.suppress(LockError):
            self._lock.release()

    def put(self, records: Iterable[AssetRecord]) -> set[str]:
        """Put records in the place of those of the same assets; which changed. One without labels is none.

        Raises:
            LockLost: nothing was changed.
        """
        new = {record.asset_id: record for record in records}
        known = self.records_at((record.created, record.asset_id) for record in new.values())
        wanted = {asset_id: record if record.labels else None for asset_id, record in new.items()}
        changed = {asset_id: record for asset_id, record in wanted.items() if known.get(asset_id) != record}
        if not self.acquire():
            raise LockLost(self.project)
        with self._redis.pipeline(transaction=True) as pipe:
            for asset_id in changed:
                self._forget(pipe, known.get(asset_id))
            self._remember(pipe, [record for record in changed.values() if record is not None])
            self._note_label_days(pipe, new.values())
            with_verdicts = [asset_id for asset_id, record in changed.items() if record is not None and record.verdicts]
            if with_verdicts:
                pipe.sadd(f"{self._base}untaught", *with_verdicts)
            pipe.execute()
        return set(changed)

    def records_of(self, asset_ids: Collection[str]) -> list[AssetRecord]:
        """The records of these assets, with their labels."""
        return [one for one in self.records(with_labels=True) if one.asset_id in asset_ids] if asset_ids else []

    def drop(self, found: Sequence[AssetRecord]) -> int:
        """Remove records, read with their labels; how many they are."""
        if not self.acquire():
            raise LockLost(self.project)
        with self._redis.pipeline(transaction=True) as pipe:
            for record in found:
                self._forget(pipe, record)
                pipe.srem(f"{self._base}untaught", record.asset_id)
            if found:
                pipe.execute()
        return len(found)

    def clear(self) -> None:
        """Forget everything that came from Kili."""
        keys = [f"{self._base}{name}" for name in OTHER_KEYS]
        keys += [f"{self._base}records:{day.isoformat()}" for day in self.days()]
        for kind in LabelKind:
            keys += [f"{self._base}differences:{kind.value}", self._label_days_key(kind)]
            keys += [f"{self._base}index:{kind.value}:{day.isoformat()}" for day in self._label_days(kind)]
        for start in range(0, len(keys), CHUNK):
            self._redis.delete(*keys[start : start + CHUNK])

    def forget(self) -> None:
        """Forget the project altogether."""
        self.clear()
        self._redis.delete(*(f"{self._base}{name}" for name in BEYOND_KILI))
        self._redis.hdel(versions_key(self._prefix), self.project)

    def records(self, *, with_labels: bool = False, before: date = date.max) -> Iterator[AssetRecord]:
        """Every record, of assets that came before a day; days in order. The keys of their labels only if asked for."""
        for day in self.days():
            if day >= before:
                break
            key = f"{self._base}records:{day.isoformat()}"
            for asset_id, text in self._redis.hscan_iter(key, count=CHUNK):
                yield AssetRecord.from_json(asset_id.decode(), text, with_labels=with_labels)

    def records_at(self, places: Iterable[tuple[date, str]]) -> dict[str, AssetRecord]:
        """Those of the assets, each given with its day, that have a record."""
        by_day: dict[date, list[str]] = {}
        for day, asset_id in places:
            by_day.setdefault(day, []).append(asset_id)
        found: dict[str, AssetRecord] = {}
        for day, ids in by_day.items():
            texts: Any = self._redis.hmget(f"{self._base}records:{day.isoformat()}", ids)
            pairs = zip(ids, texts, strict=True)
            found |= {asset_id: AssetRecord.from_json(asset_id, text) for asset_id, text in pairs if text is not None}
        return found

    def days(self) -> list[date]:
        """The days that have records, in order."""
        members: Any = self._redis.smembers(f"{self._base}days")
        return sorted(date.fromisoformat(day.decode()) for day in members)

    def known(self, kind: LabelKind, day: date, label_ids: Sequence[str]) -> set[str]:
        """Those of the labels of a day that are in a record."""
        if not label_ids:
            return set()
        found: Any = self._redis.hmget(f"{self._base}index:{kind.value}:{day.isoformat()}", list(label_ids))
        return {label_id for label_id, value in zip(label_ids, found, strict=True) if value is not None}

    def indexed(self, kind: LabelKind, day: date) -> dict[str, str]:
        """Label id -> asset id of every label of a day."""
        found: Any = self._redis.hgetall(f"{self._base}index:{kind.value}:{day.isoformat()}")
        return {label_id.decode(): asset_id.decode() for label_id, asset_id in found.items()}

    def counts(self, kind: LabelKind) -> dict[date, int]:
        """How many labels of each day are in the records."""
        days = self._label_days(kind)
        with self._redis.pipeline(transaction=False) as pipe:
            for day in days:
                pipe.hlen(f"{self._base}index:{kind.value}:{day.isoformat()}")
            sizes = pipe.execute()
        return {day: size for day, size in zip(days, sizes, strict=True) if size}

    def unindex(self, kind: LabelKind, day: date, label_ids: Sequence[str]) -> None:
        """Take labels out of the index of a day."""
        if label_ids:
            self._redis.hdel(f"{self._base}index:{kind.value}:{day.isoformat()}", *label_ids)

    def forget_labels_before(self, day: date) -> None:
        """Take index days out that no count covers any more."""
        for kind in LabelKind:
            for old in self._label_days(kind):
                if old < day:
                    self._redis.delete(f"{self._base}index:{kind.value}:{old.isoformat()}")
                    self._redis.srem(self._label_days_key(kind), old.isoformat())

    def forget_empty_days_before(self, day: date) -> None:
        """Take days out that have no records any more, and when they were verified."""
        for old in self.days():
            if old < day and not self._redis.hlen(f"{self._base}records:{old.isoformat()}"):
                self._redis.srem(f"{self._base}days", old.isoformat())
        verified = [old.isoformat() for old in self.verified() if old < day]
        if verified:
            self._redis.hdel(f"{self._base}verified", *verified)

    def await_mark(self, records: Iterable[AssetRecord], now: float) -> None:
        """Remember the assets whose mark Kili has yet to compute, and forget the others."""
        key, unmarked, others = f"{self._base}unmarked", {}, []
        for record in records:
            if record.unmarked:
                unmarked[record.asset_id] = now
            else:
                others.append(record.asset_id)
        if unmarked:
            self._redis.zadd(key, unmarked, nx=True)
        if others:
            self._redis.zrem(key, *others)

    def unmarked(self, since: float, limit: int) -> list[str]:
        """Assets whose mark is awaited since a time or later; those who wait longer are given up."""
        key = f"{self._base}unmarked"
        self._redis.zremrangebyscore(key, "-inf", f"({since}")
        members: Any = self._redis.zrange(key, 0, limit - 1)
        return [asset_id.decode() for asset_id in members]

    def untaught(self, limit: int) -> list[str]:
        """Some of the assets whose verdicts the review policy has not heard of."""
        members: Any = self._redis.srandmember(f"{self._base}untaught", limit)
        return [asset_id.decode() for asset_id in members]

    def note_taught(self, asset_ids: Iterable[str]) -> None:
        """Remember that the review policy has heard of assets, or need not."""
        taught = list(asset_ids)
        if taught:
            self._redis.srem(f"{self._base}untaught", *taught)

    def verified(self) -> dict[date, float]:
        """When each day was last verified, Unix seconds."""
        found: Any = self._redis.hgetall(f"{self._base}verified")
        return {date.fromisoformat(day.decode()): float(at) for day, at in found.items()}

    def note_verified(self, day: date, now: float) -> None:
        """Remember that a day was verified."""
        self._redis.hset(f"{self._base}verified", day.isoformat(), now)

    def differences(self, kind: LabelKind) -> dict[date, RecordDifference]:
        """Per day, how Kili's count differed from ours when it was last looked at."""
        found: Any = self._redis.hgetall(f"{self._base}differences:{kind.value}")
        return {date.fromisoformat(day.decode()): RecordDifference(*json.loads(value)) for day, value in found.items()}

    def keep_differences(self, kind: LabelKind, found: Mapping[date, RecordDifference]) -> None:
        """Remember differences in the place of all earlier ones."""
        key = f"{self._base}differences:{kind.value}"
        rows: Any = {day.isoformat(): json.dumps([one.size, one.explained]) for day, one in found.items()}
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(key)
            if rows:
                pipe.hset(key, mapping=rows)
            pipe.execute()

    def _remember(self, pipe: Any, records: Sequence[AssetRecord]) -> None:
        """One command for each hash that they are in."""
        hashes: dict[str, dict[str, str]] = {}
        for record in records:
            hashes.setdefault(f"records:{record.created.isoformat()}", {})[record.asset_id] = record.to_json()
            for key in record.labels:
                hashes.setdefault(f"index:{key.kind.value}:{key.day.isoformat()}", {})[key.id] = record.asset_id
        for name, mapping in hashes.items():
            pipe.hset(f"{self._base}{name}", mapping=mapping)
        if records:
            pipe.sadd(f"{self._base}days", *{record.created.isoformat() for record in records})

    def _note_label_days(self, pipe: Any, records: Iterable[AssetRecord]) -> None:
        """Of unchanged records too: they may come from a worker that kept no set of days."""
        days: dict[LabelKind, set[str]] = {}
        for record in records:
            for key in record.labels:
                days.setdefault(key.kind, set()).add(key.day.isoformat())
        for kind, found in days.items():
            pipe.sadd(self._label_days_key(kind), *found)

    def _label_days(self, kind: LabelKind) -> list[date]:
        names.fill_once(self._redis, self._prefix)
        members: Any = self._redis.smembers(self._label_days_key(kind))
        return sorted(date.fromisoformat(day.decode()) for day in members)

    def _label_days_key(self, kind: LabelKind) -> str:
        return names.label_days_key(self._prefix, self.project, kind.value)

    def _forget(self, pipe: Any, record: AssetRecord | None) -> None:
        if record is None:
            return
        pipe.hdel(f"{self._base}records:{record.created.isoformat()}", record.asset_id)
        for key in record.labels:
            pipe.hdel(f"{self._base}index:{key.kind.value}:{key.day.isoformat()}", key.id)


COLLECTION = "round"


class IntervalLock:
    """The turns of the fleet: what is done for a project is done once an interval, by whichever process comes first.

    Args:
        client: of the spool's Redis.
        prefix: of every key of the worker.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._prefix = prefix

    def take(self, project: str, seconds: float, what: str = COLLECTION) -> bool:
        """Whether it is due in the project; from now on it is not, for so many seconds."""
        return bool(self._redis.set(self._key(project, what), 1, nx=True, px=max(1, int(seconds * 1000))))

    def put(self, project: str, seconds: float = 0.0, what: str = COLLECTION) -> None:
        """Let the next turn come after so many seconds, whatever was said before."""
        if seconds > 0:
            self._redis.set(self._key(project, what), 1, px=max(1, int(seconds * 1000)))
        else:
            self._redis.delete(self._key(project, what))

    def _key(self, project: str, what: str) -> str:
        return f"{self._prefix}feedback:{project}:next:{what}"
