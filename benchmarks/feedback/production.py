"""The feedback room as a worker runs it, in virtual time: collector, records, stored detectors, alarms, restarts.

Redis is fakeredis, Kili is :class:`benchmarks.feedback.simulated_kili.SimulatedKili`; everything else is the worker's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import fakeredis
import redis

from benchmarks.feedback.simulated_kili import INTERFACE, PROJECT, SimulatedKili
from worker.feedback.messages import AlarmNotification
from worker.feedback.service import Feedback, FeedbackRules, Observers
from worker.feedback.store import IntervalLock

DAY = 86_400.0
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
PRUNE_DAYS = 3.0
"""Days between two times at which records beyond the horizon are dropped; in production it is one."""

ENDPOINT = "https://kili.example/api/label/v2/graphql"


@dataclass(frozen=True, slots=True)
class Told:
    """An alarm that reached people, and when; days since the start."""

    id: str
    detector: str
    day: float


@dataclass(slots=True)
class Production:
    """Workers on one project; the clock stands still until it is set.

    Attributes:
        rules: of the feedback room.
        acknowledge_after: days after which a person acknowledges an alarm; None: never.
        client: of Redis.
        time: Unix seconds.
        kili: what the workers read.
        told: every alarm that was posted, in order.
        is_behind: whether a backlog waits for Kili.
    """

    rules: FeedbackRules
    acknowledge_after: float | None = None
    client: redis.Redis = field(default_factory=fakeredis.FakeRedis)
    time: float = START
    kili: SimulatedKili = field(init=False)
    told: list[Told] = field(default_factory=list)
    is_behind: bool = False
    room: Feedback = field(init=False)
    _waiting: list[tuple[float, str]] = field(default_factory=list)
    _pruned: float = 0.0

    def __post_init__(self) -> None:
        self.kili = SimulatedKili(lambda: self.time)
        self.restart()

    @property
    def day(self) -> float:
        """Days since the start."""
        return (self.time - START) / DAY

    def restart(self) -> None:
        """A worker ends and another one begins: nothing is left but Redis and Kili."""
        self.room = self.new_room()

    def new_room(self) -> Feedback:
        """The feedback room of one more worker."""
        observers = Observers(alarm=self._hear)
        options = {"endpoint": ENDPOINT, "now": lambda: self.time, "rules": self.rules, "observers": observers}
        options["is_behind"] = lambda: self.is_behind
        return Feedback(self.kili, self.client, "sim:", PROJECT, INTERFACE, **options)  # type: ignore[arg-type]

    def look(self, at: float) -> None:
        """Make a round at a time (Unix seconds), after people have acknowledged what they had to."""
        self.time = max(self.time, at)
        for due, alarm_id in self._waiting:
            if due <= self.time:
                self.room.acknowledge(alarm_id)
        self._waiting = [one for one in self._waiting if one[0] > self.time]
        turns = IntervalLock(self.client, "sim:")
        turns.put(PROJECT, 0.0, "figures")
        if self.day - self._pruned >= PRUNE_DAYS:
            self._pruned = self.day
            turns.put(PROJECT, 0.0, "prune")
            self.kili.forget_before(self.time - (self.rules.horizon_days + 2) * DAY)
        self.room.tick()

    def counts(self) -> Mapping[str, int]:
        """How many alarms each detector has told of."""
        return Counter(one.detector for one in self.told)

    def _hear(self, notice: AlarmNotification) -> bool:
        alarm_id = notice.alarm["id"]
        self.told.append(Told(alarm_id, notice.alarm["detector"], self.day))
        if self.acknowledge_after is not None:
            self._waiting.append((self.time + self.acknowledge_after * DAY, alarm_id))
        return True


def size_of(client: redis.Redis, keep: Callable[[str], bool] = lambda _: True) -> int:
    """Bytes of names and values in Redis, without what the server adds."""
    total = 0
    for key in client.scan_iter():
        if not keep(key.decode()):
            continue
        kind = client.type(key)
        if kind == b"hash":
            total += sum(len(name) + len(value) for name, value in client.hgetall(key).items())
        elif kind == b"string":
            total += len(client.get(key) or b"")
        elif kind == b"set":
            total += sum(map(len, client.smembers(key)))
        elif kind == b"zset":
            total += sum(len(name) + 8 for name in client.zrange(key, 0, -1))
        total += len(key)
    return total
