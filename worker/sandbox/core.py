"""One sandbox: its state, its switches, its faults, and what it counts of the calls."""

from __future__ import annotations

import math
import time
from bisect import insort
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.sandbox.execution import Documents, make_schema, read_sdl, version_of
from worker.sandbox.faults import Script
from worker.sandbox.process import ConfigError, SandboxConfig
from worker.sandbox.records import ApiKey, User
from worker.sandbox.resolvers.projects import create_project
from worker.sandbox.store import MILLISECONDS, Buckets, Clock, Store, iso

MINUTE = 60.0


class SlidingMinute:
    """Lets each key make so many calls in any 60 seconds; refused calls do not count."""

    def __init__(self, clock: Clock) -> None:
        """Take seconds from `clock`."""
        self._clock = clock
        self._taken: dict[str, deque[float]] = {}

    def take(self, key: str, limit: int) -> int | None:
        """Count a call and return None, or return after how many whole seconds to come back."""
        if not limit:
            return None
        now = self._clock()
        taken = self._taken.setdefault(key, deque())
        while taken and taken[0] <= now - MINUTE:
            taken.popleft()
        if len(taken) >= limit:
            return max(1, math.ceil(taken[-limit] + MINUTE - now))
        taken.append(now)
        return None


class Peak:
    """The largest number of events in any minute."""

    def __init__(self) -> None:
        """Start with none."""
        self.highest = 0
        self._times: deque[float] = deque()

    def add(self, time: float) -> None:
        """Count an event; events may come a little out of order."""
        insort(self._times, time)
        while self._times[0] <= self._times[-1] - MINUTE:
            self._times.popleft()
        self.highest = max(self.highest, len(self._times))


#: How many single calls are kept.
LAST = 500


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call; `ending` is ok, errors (GraphQL), refused (by status), aborted."""

    time: float
    operation: str
    status: int
    ending: str
    items: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the record with its time as text."""
        return {
            "time": iso(self.time),
            "operation": self.operation,
            "status": self.status,
            "ending": self.ending,
            "items": self.items,
            "seconds": round(self.seconds, 6),
        }


@dataclass(slots=True)
class OperationCount:
    """The calls of one operation."""

    count: int = 0
    items: int = 0
    errors: int = 0
    first: float = 0.0
    last: float = 0.0
    peak: Peak = field(default_factory=Peak)

    def add(self, record: CallRecord) -> None:
        """Count a call."""
        self.first = min(self.first, record.time) if self.count else record.time
        self.last = max(self.last, record.time)
        self.count += 1
        self.items += record.items
        self.errors += record.ending != "ok"
        self.peak.add(record.time)

    def to_json(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "count": self.count,
            "items": self.items,
            "errors": self.errors,
            "first": iso(self.first),
            "last": iso(self.last),
            "peak_per_minute": self.peak.highest,
        }


class CallLog:
    """Counts calls and TCP connections."""

    def __init__(self, clock: Clock) -> None:
        """Take Unix seconds from `clock`."""
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all calls and connections."""
        self.connections = 0
        self.refused_429 = 0
        self._operations: dict[str, OperationCount] = {}
        self._peak = Peak()
        self._last: deque[CallRecord] = deque(maxlen=LAST)

    def connected(self) -> None:
        """Count a TCP connection that carries calls."""
        self.connections += 1

    def add(self, operation: str, *, started: float, status: int, ending: str, items: int) -> None:
        """Count a call that began at `started` and ends now; a 429 counts apart."""
        now = self._clock()
        record = CallRecord(started, operation, status, ending, items, now - started)
        self._last.append(record)
        if status == 429:
            self.refused_429 += 1
            return
        self._operations.setdefault(operation, OperationCount()).add(record)
        self._peak.add(started)

    def to_json(self) -> dict[str, Any]:
        """Return everything that was counted."""
        return {
            "total": sum(count.count for count in self._operations.values()),
            "peak_per_minute": self._peak.highest,
            "refused_429": self.refused_429,
            "connections": self.connections,
            "operations": {name: count.to_json() for name, count in sorted(self._operations.items())},
            "last": [record.to_json() for record in self._last],
        }


def count_items(variables: Mapping[str, Any]) -> int:
    """Return the length of the longest list among an operation's variables that is not inside another list."""
    longest = 0
    waiting: list[Any] = [variables]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list):
            longest = max(longest, len(value))
    return longest


FAR_AWAY = "2099-01-01T00:00:00.000Z"


class Sandbox:
    """Everything behind the HTTP surface."""

    def __init__(self, config: SandboxConfig, clock: Clock = time.time) -> None:
        """Start an empty Kili with one user per API key; `clock` tells Unix seconds."""
        sdl = read_sdl()
        self.config = config
        self.clock = clock
        self.version = version_of(sdl)
        self.schema = make_schema(sdl)
        self.documents = Documents(self.schema)
        self.store = Store(seed=config.seed, clock=clock)
        self.buckets = Buckets(self.store.new_id, config.seed)
        self.script = Script(config.faults, seed=config.seed)
        self.limiter = SlidingMinute(clock)
        self.calls = CallLog(clock)
        for key in config.api_keys:
            self.set_api_key(key, FAR_AWAY)
        self.store.set_read_lag(config.read_lag)

    def switch(self, changes: Mapping[str, Any]) -> None:
        """Change switches while running; raises ConfigError."""
        self.config = self.config.switched(changes)
        self.store.set_read_lag(self.config.read_lag)

    def set_api_key(self, key: str, expiry: str | float) -> ApiKey:
        """Create a key with its own user, or give a known one another expiry.

        `expiry` is ISO 8601 with milliseconds and Z, or seconds from now (negative: expired already).
        """
        if not isinstance(expiry, str):
            expiry = iso(self.clock() + expiry)
        if not key or not MILLISECONDS.match(expiry):
            raise ConfigError("expiry: give seconds from now, or a time such as 2030-01-01T00:00:00.000Z")
        known = self._api_key(key)
        record = ApiKey(
            id=known.id if known else self.store.new_id(),
            key=key,
            user_id=known.user_id if known else self._new_user().id,
            created_at=known.created_at if known else iso(self.clock()),
            expiry_date=expiry,
        )
        self.store.put(record)
        return record

    def user_of(self, key: str) -> User | None:
        """Return the user of a key that is known and has not expired; nobody when the user is suspended."""
        record = self._api_key(key)
        if record is None or record.revoked or record.expiry_date <= iso(self.clock()):
            return None
        user = self.store.tables.users[record.user_id]
        return user if user.activated else None

    def add_project(self, project_id: str, data: Mapping[str, Any]) -> None:
        """Create a project of the first key's user from a CreateProjectData; raises KiliError."""
        author = self.user_of(self.config.api_keys[0])
        if author is not None:
            create_project(self.store, author, data, project_id)

    def _api_key(self, key: str) -> ApiKey | None:
        return next((known for known in self.store.tables.api_keys.values() if known.key == key), None)

    def _new_user(self) -> User:
        number = len(self.store.tables.users) + 1
        user = User(
            id=self.store.new_id(),
            email=f"bot-{number}@sandbox.example",
            firstname="Bot",
            lastname=str(number),
        )
        self.store.put(user)
        return user
