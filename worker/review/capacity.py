"""How much of the traffic may be reviewed now, so that the reviewers' budget is kept.

Counts of 15 minutes are kept for a day. The budget that was granted and not used, or overdrawn, since then is the
balance. What may be spent over the coming window is its own grant, plus a part of a surplus (spread over three hours,
so that a quiet night is not made up for within minutes) or minus all of a deficit. Divided by the traffic expected in
the window this is the share of predictions to review. The expectation is the greater of the last hour's traffic and
the present one's: a burst is believed at once, a lull only when it lasts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

from worker.review.policy_file import Capacity

BUCKET = 900.0
"""Seconds that are counted together."""

DAY = 86_400.0
HOUR = 3600.0

CARRY = 3 * HOUR
"""Time over which a surplus is spent."""

SETTLING = 500
"""Predictions over which a share of the traffic makes up for what was reviewed too much or too little; their share is
also the most that is made up for."""

_SHORTEST = 60.0


class Kind(StrEnum):
    """What is counted."""

    SEEN = "seen"
    REVIEWS = "reviews"
    MUST = "must"
    AUDITS = "audits"
    LEFT_OUT = "left_out"


class Counts:
    """What passed under one rule in one project, by quarter of an hour, over the last day."""

    __slots__ = ("_totals", "buckets", "pending")

    def __init__(self) -> None:
        self.buckets: dict[int, Counter[Kind]] = {}
        self.pending: Counter[str] = Counter()
        self._totals: Counter[Kind] = Counter()

    @classmethod
    def from_counts(cls, counts: Mapping[str, int]) -> Counts:
        """Rebuild from fields ``bucket:kind``, as ``take_pending`` gives them."""
        found = cls()
        for name, count in sorted(counts.items()):
            bucket, _, kind = name.partition(":")
            found._count(int(bucket), Kind(kind), count)
        return found

    def add(self, now: float, numbers: Mapping[Kind, int]) -> None:
        """Count at a time, in seconds since the epoch."""
        number = int(now // BUCKET)
        for kind, count in numbers.items():
            if count:
                self._count(number, kind, count)
                self.pending[f"{number}:{kind}"] += count

    def day(self, kind: Kind, now: float) -> int:
        """How many in the last day."""
        self._forget(now)
        return self._totals[kind]

    def hour(self, kind: Kind, now: float) -> int:
        """How many in this quarter of an hour and the three before it."""
        last = int(now // BUCKET)
        return sum(self.buckets[number][kind] for number in range(last - 3, last + 1) if number in self.buckets)

    def present(self, kind: Kind, now: float) -> int:
        """How many in this quarter of an hour."""
        bucket = self.buckets.get(int(now // BUCKET))
        return bucket[kind] if bucket else 0

    def began(self, now: float) -> float:
        """When the oldest kept quarter of an hour began; now, without any."""
        return min(self.buckets) * BUCKET if self.buckets else now

    def take_pending(self) -> dict[str, int]:
        """What was counted here since the last call."""
        taken, self.pending = self.pending, Counter()
        return taken

    def _count(self, number: int, kind: Kind, count: int) -> None:
        self.buckets.setdefault(number, Counter())[kind] += count
        self._totals[kind] += count

    def _forget(self, now: float) -> None:
        if self.buckets and _too_old(next(iter(self.buckets)), now):
            for old in [number for number in self.buckets if _too_old(number, now)]:
                self._totals -= self.buckets.pop(old)


def stale_fields(names: Iterable[str], now: float) -> list[str]:
    """Fields of buckets that count no more."""
    return [name for name in names if _too_old(int(name.partition(":")[0]), now)]


def granted_per_day(capacity: Capacity, reviewers: float | None) -> float | None:
    """Reviews a day, or None when the capacity is a share; ``reviewers`` is what they finish a day, when known."""
    return reviewers if capacity.follow_reviewers and reviewers is not None else capacity.per_day


def review_share(
    capacity: Capacity, counts: Counts, now: float, *, arriving: int = 1, reviewers: float | None = None
) -> float:
    """Share, 0 to 1, of the predictions arriving now, not counted yet, that may be reviewed for any reason."""
    per_day = granted_per_day(capacity, reviewers)
    if per_day is None:
        return _share_of_traffic(capacity.traffic_share or 0.0, counts, now, arriving)
    return _share_of_day(per_day / DAY, capacity.window, counts, now, arriving)


def _share_of_traffic(share: float, counts: Counts, now: float, arriving: int) -> float:
    limit = share * SETTLING
    balance = share * counts.day(Kind.SEEN, now) - counts.day(Kind.REVIEWS, now)
    balance = min(limit, max(-limit, balance))
    return min(1.0, max(0.0, share + balance / max(SETTLING, arriving)))


def _share_of_day(per_second: float, window: float, counts: Counts, now: float, arriving: int) -> float:
    balance = per_second * min(DAY, now - counts.began(now)) - counts.day(Kind.REVIEWS, now)
    allowance = per_second * window + (balance * min(1.0, window / CARRY) if balance > 0 else balance)
    expected = max(arriving, traffic(counts, now, arriving) * window)
    return min(1.0, max(0.0, allowance / expected))


def traffic(counts: Counts, now: float, arriving: int = 0) -> float:
    """Predictions per second to expect; of the present quarter of an hour only what is no accident counts."""
    span = max(_SHORTEST, min(now - counts.began(now), HOUR - BUCKET + now % BUCKET))
    lately = counts.hour(Kind.SEEN, now) + arriving
    present = counts.present(Kind.SEEN, now) + arriving
    sure = max(0.0, present - 2 * math.sqrt(present))
    return max(lately / span, sure / max(_SHORTEST, now % BUCKET))


def _too_old(bucket: int, now: float) -> bool:
    return (bucket + 1) * BUCKET < now - DAY
