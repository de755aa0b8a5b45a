"""Calls that come to Kili late: what a worker that stood still sends when it goes on overwrites what is newer.

A worker stands still (it was paused, its machine slept) after it has looked at its lock and before Kili has its call.
Its lock ends, another worker takes the project, and the call comes after those of the other. Kili cannot refuse it. So
whoever takes a lock that was not given back is told which assets the former holder may still write to
(``acquire.lua``). A prediction that is newer than what may come late is delivered at once, and once more when nothing
can come late any more, or when the former holder has said that its calls have ended (``came_late.lua``). Until then it
is not settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.environment import clock
from worker.spool.entries import Leased, Outcome, Settlement, tried_since

CAUSE = "late_write"
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
        return Settlement(entry, Outcome.LATER, CAUSE, delay_ms=int(seconds * 1000) + 1)


def is_sent_again(entry: Leased) -> bool:
    """Whether a prediction was delivered before and something may have come late: Kili may hold anything."""
    return bool(entry.tries) and tried_since(entry.tries, CAUSE) is not None


def named(entries: Iterable[Leased]) -> Iterator[str | int]:
    """The arguments of ``came_late.lua`` for entries."""
    for entry in entries:
        yield from (entry.lane, entry.entry_id, entry.asset_id)
