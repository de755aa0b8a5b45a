"""Bring the logged request and response of one inference together by their id."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from worker.environment import clock
from worker.formats.families.inference_logs import Event

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Joined:
    """A request and the response to it."""

    request: Event
    response: Event


@dataclass(frozen=True, slots=True)
class JoinStep:
    """What one event brought about: a pair, and the events that will wait no longer for their other half."""

    pair: Joined | None = None
    orphans: tuple[Event, ...] = ()


@dataclass(slots=True)
class JoinCounts:
    """Events since the start: pairs joined, orphans by side, repeats of a waiting event."""

    joined: int = 0
    orphan_requests: int = 0
    orphan_responses: int = 0
    repeated: int = 0


@dataclass(slots=True)
class EventJoin:
    """Joins request and response events that arrive in either order.

    An event waits at most ``limit_seconds``, and at most ``capacity`` events wait: the oldest goes first. What
    goes unjoined is an orphan, counted and handed back. Not safe for several threads; holds nothing on disk.
    """

    limit_seconds: float = 60.0
    capacity: int = 10_000
    clock: Callable[[], float] = clock.monotonic
    counts: JoinCounts = field(default_factory=JoinCounts)
    _waiting: OrderedDict[_Key, tuple[float, Event]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        if self.limit_seconds <= 0 or self.capacity < 1:
            raise ValueError("EventJoin needs limit_seconds above 0 and a capacity of at least 1")

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: Event) -> JoinStep:
        """Take one event; raises ValueError for one that is neither request nor response."""
        if event.side == "other":
            raise ValueError(f"{event.type} is neither an inference request nor a response")
        expired = self.expire()
        _, other = self._waiting.get(event.key, (0.0, None))
        if other is not None and other.side != event.side:
            del self._waiting[event.key]
            self.counts.joined += 1
            return JoinStep(_pair(event, other), expired)
        self.counts.repeated += other is not None
        if other is None:
            self._waiting[event.key] = (self.clock(), event)
        return JoinStep(None, (*expired, *self._drop(len(self._waiting) > self.capacity)))

    def expire(self) -> tuple[Event, ...]:
        """Hand back the events that have waited too long."""
        return tuple(self._late())

    def _late(self) -> Iterator[Event]:
        limit = self.clock() - self.limit_seconds
        while self._waiting and next(iter(self._waiting.values()))[0] <= limit:
            yield from self._drop(True)

    def _drop(self, oldest: bool) -> Iterator[Event]:
        if not oldest:
            return
        _, (_, event) = self._waiting.popitem(last=False)
        if event.side == "request":
            self.counts.orphan_requests += 1
        else:
            self.counts.orphan_responses += 1
        yield event


def _pair(event: Event, other: Event) -> Joined:
    return Joined(event, other) if event.side == "request" else Joined(other, event)
