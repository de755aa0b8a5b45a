"""What goes into the spool and what comes out of it: how long it was tried in vain, and whether a call may come late.

A grace begins with the first attempt that failed, whatever the entry waited before in the queue; and only time in which
attempts were made counts: between two of them no more than twice the delay that was asked for. So neither a backlog
nor an outage of something else uses it up.

A worker may stand still (it was paused, its machine slept) after it has looked at its lock and before Kili has its
call. Its lock ends, another worker takes the project, and the call comes after those of the other. Kili cannot refuse
it. So whoever takes a lock that was not given back is told which assets the former holder may still write to
(``acquire.lua``). A prediction that is newer than what may come late is delivered at once, and once more when nothing
can come late any more, or when the former holder has said that its calls have ended (``came_late.lua``). Until then it
is not settled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import redis
from msgspec import Struct

from worker.environment import clock


class SpoolObserver(Protocol):
    """Called after the fact, in the thread that caused it; must be quick and must not raise."""

    def admitted(self, arrivals: Sequence[Arrival], result: Admission) -> None:
        """Items were admitted."""

    def looked(self) -> None:
        """Redis has told which projects are due."""

    def acquired(self, project: str) -> None:
        """This process holds a project's lock."""

    def released(self, project: str) -> None:
        """This process no longer works on the project, whether or not Redis knows already."""

    def leased(self, project: str, entries: Sequence[Leased], superseded: int) -> None:
        """Entries were leased; so many older ones were superseded meanwhile."""

    def settled(self, project: str, settlements: Sequence[Settlement]) -> None:
        """The outcomes of leased entries were recorded."""

    def failed(self, script: str, error: redis.RedisError) -> None:
        """Redis refused or did not answer."""


MOST_DELAYS = 2
"""Of the time between two attempts so many times the delay count at most."""


def tried_for(known: bytes, cause: str, now_ms: int) -> int:
    """Milliseconds since the first attempt that failed for this cause; 0 when there was none.

    Args:
        known: what ``tried_again`` made, or nothing.
        cause: what is in the way.
        now_ms: on the clock of Redis, milliseconds since the epoch.
    """
    row = _rows(known).get(cause)
    return row["for"] + max(0, min(now_ms - row["last"], MOST_DELAYS * row["delay"])) if row else 0


def tried_since(known: bytes, cause: str) -> int | None:
    """When the first attempt failed for this cause, in milliseconds since the epoch on the clock of Redis."""
    row = _rows(known).get(cause)
    return int(row["first"]) if row else None


def tried_again(known: bytes, cause: str, now_ms: int, delay_ms: int) -> bytes:
    """What is known after one more attempt that failed, of which the next follows after ``delay_ms``."""
    rows = _rows(known)
    first = rows[cause]["first"] if cause in rows else now_ms
    rows[cause] = {"first": first, "for": tried_for(known, cause, now_ms), "last": now_ms, "delay": delay_ms}
    return json.dumps(rows, separators=(",", ":")).encode()


def _rows(known: bytes) -> dict[str, Any]:
    rows: dict[str, Any] = json.loads(known) if known else {}
    return rows


LANES = 10
"""Lanes of a project; lane 0 goes first."""


class Waiting(Struct, gc=False):
    """A prediction to be put into a lane.

    ``stamp`` (microseconds since the epoch) and ``digest`` (lower-case hex) order the predictions of one model on
    one asset: the greatest pair wins. ``payload`` and ``decision`` are kept as they are.
    """

    project: str
    lane: int
    asset_id: str
    model: str
    stamp: int
    digest: str
    payload: bytes
    decision: bytes


class Dead(Struct, frozen=True, gc=False):
    """A message that cannot be admitted; ``letter`` is JSON, ``original`` is what arrived."""

    project: str
    cause: str
    letter: bytes
    original: bytes


class SampledOut(Struct, frozen=True, gc=False):
    """A prediction that the review policy only counts: it ends as ``sampled_out``."""

    project: str


Item = Waiting | Dead | SampledOut


class Arrival(Struct, gc=False):
    """The items of one inbox entry (its id, or empty when they came another way), or of a letter that is replayed.

    They are counted as received from ``source``, unless it is empty.
    """

    entry_id: str
    items: Sequence[Item]
    replayed: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of the items of one call of ``admit``."""

    admitted: int
    superseded: int
    dead: int
    skipped: int
    sampled_out: int = 0

    def __add__(self, other: Admission) -> Admission:
        """Both together."""
        return Admission(
            self.admitted + other.admitted,
            self.superseded + other.superseded,
            self.dead + other.dead,
            self.skipped + other.skipped,
            self.sampled_out + other.sampled_out,
        )

    def text(self) -> str:
        """What became of letters that were replayed, as every command and page says it."""
        message = f"{self.admitted} admitted, {self.superseded} superseded, {self.dead} dead, {self.skipped} gone"
        return f"{message}, {self.sampled_out} sampled out" if self.sampled_out else message


class Leased(Struct, gc=False):
    """A prediction that a wave has taken; ``deliveries`` counts the waves that took it, this one included.

    ``original`` is what arrived, where the wave has put something more complete into ``payload``. ``tries`` is what is
    known of attempts that failed for the entry's own sake, ``leased_ms`` when it was leased (Redis' clock).
    """

    lane: int
    entry_id: str
    deliveries: int
    asset_id: str
    model: str
    stamp: int
    digest: str
    payload: bytes
    decision: bytes
    original: bytes = b""
    tries: bytes = b""
    leased_ms: int = 0

    @property
    def key(self) -> tuple[int, str]:
        """What tells it apart from the others of its project: two lanes may share ids."""
        return self.lane, self.entry_id

    @property
    def rank(self) -> tuple[int, str]:
        """The greatest of one model's predictions on an asset wins."""
        return self.stamp, self.digest

    def tried_for_ms(self, cause: str) -> int:
        """Milliseconds since the first attempt that failed for this cause; time without attempts does not count."""
        return tried_for(self.tries, cause, self.leased_ms)


class Outcome(StrEnum):
    """How a wave leaves an entry."""

    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    SAMPLED_OUT = "sampled_out"
    DEAD = "dead"
    DROPPED = "dropped"
    RETURNED = "returned"
    LATER = "later"


WAITS_AGAIN = (Outcome.LATER, Outcome.RETURNED)
"""Outcomes of entries that a later wave takes."""


class Settlement(Struct, gc=False):
    """One leased entry and its outcome; a dead one carries its letter, a later one its delay.

    One that waits again after an attempt that failed for its own sake carries the ``cause`` and the time to the next.
    """

    entry: Leased
    outcome: Outcome
    cause: str = ""
    letter: bytes = b""
    delay_ms: int = 0

    @property
    def tries(self) -> bytes:
        """What is to be kept of this attempt and those before; nothing where it changes nothing."""
        if self.outcome not in WAITS_AGAIN or not self.cause:
            return b""
        return tried_again(self.entry.tries, self.cause, self.entry.leased_ms, self.delay_ms)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The conservation sum: ``received`` equals the sum of all the others, at every moment."""

    received: int = 0
    delivered: int = 0
    superseded: int = 0
    sampled_out: int = 0
    dead: int = 0
    dropped: int = 0
    waiting: int = 0
    leased: int = 0

    @property
    def conservation_error(self) -> int:
        """``received`` minus everything accounted for: 0 unless something was lost or doubled."""
        rest = self.delivered + self.superseded + self.sampled_out + self.dead + self.dropped
        return self.received - rest - self.waiting - self.leased


LATE_WRITE = "late_write"
"""What is in the way of a prediction that is delivered once more."""


@dataclass(frozen=True, slots=True)
class LateWrites:
    """What may come late in a project, as the holder of its lock knows it.

    ``ends`` is by asset id when nothing comes any more, on the monotonic clock; ``only`` the one entry (lane/id) that
    may come, where it is one: the same entry does not overwrite anything newer.
    """

    ends: dict[str, float] = field(default_factory=dict)
    only: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, flat: Sequence[Any]) -> LateWrites:
        """Read what ``acquire.lua`` tells: asset id, milliseconds, entry or '*', and so on."""
        now, assets = clock.monotonic(), [asset.decode() for asset in flat[::3]]
        ends = {asset: now + int(ms) / 1000 for asset, ms in zip(assets, flat[1::3], strict=True)}
        return cls(ends, {asset: name.decode() for asset, name in zip(assets, flat[2::3], strict=True)})

    def keep_back(self, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
        """The settlements, where what was delivered and may be overwritten late is put off until nothing comes."""
        return [self._kept_back(one) for one in settlements] if self.ends else settlements

    def _kept_back(self, one: Settlement) -> Settlement:
        entry = one.entry
        if one.outcome is not Outcome.DELIVERED or entry.asset_id not in self.ends:
            return one
        seconds = self.ends[entry.asset_id] - clock.monotonic()
        if seconds <= 0 or self.only[entry.asset_id] == f"{entry.lane}/{entry.entry_id}":
            return one
        return Settlement(entry, Outcome.LATER, LATE_WRITE, delay_ms=int(seconds * 1000) + 1)


def is_sent_again(entry: Leased) -> bool:
    """Whether a prediction was delivered before and something may have come late: Kili may hold anything."""
    return bool(entry.tries) and tried_since(entry.tries, LATE_WRITE) is not None


def named(entries: Iterable[Leased]) -> Iterator[str | int]:
    """The arguments of ``came_late.lua`` for entries."""
    for entry in entries:
        yield from (entry.lane, entry.entry_id, entry.asset_id)
