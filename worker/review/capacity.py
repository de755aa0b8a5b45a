"""How much of the traffic may be reviewed now, so that the reviewers' budget is kept.

Counts of 15 minutes are kept for a day. The budget that was granted and not used, or overdrawn, since then is the
balance; where reviewers have left since, it shrinks with them. What may be spent over the coming window is its own
grant, plus a part of a surplus (spread over three hours, so that a quiet night is not made up for within minutes) or
minus all of a deficit. Divided by the traffic expected in the window this is the share of predictions to review.
Expected is the traffic of the last day, or of the last four hours when these were calmer. A burst above it overdraws a
window's grant at most, because the deficit closes the cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

from worker.review.policy_file import Capacity

BUCKET = 900.0
"""Seconds that are counted together."""

DAY = 86_400.0
CARRY = 3 * 3600.0
"""Seconds over which a surplus is spent."""

LULL = 16
"""Quarters of an hour over which calmer traffic is believed to last."""

SETTLING = 500
"""Predictions over which a share of the traffic makes up for what was reviewed too much or too little; their share is
also the most that is made up for."""


class Kind(StrEnum):
    """What is counted; what was granted, in thousandths of a review."""

    SEEN = "seen"
    REVIEWS = "reviews"
    MUST = "must"
    AUDITS = "audits"
    LEFT_OUT = "left_out"
    GRANTED = "granted"


class Counts:
    """What passed under one rule in one project, by quarter of an hour, over the last day."""

    __slots__ = ("_grants", "_totals", "buckets", "pending", "pending_grants")

    def __init__(self) -> None:
        self.buckets: dict[int, Counter[Kind]] = {}
        self.pending: Counter[str] = Counter()
        self.pending_grants: dict[str, int] = {}
        self._totals: Counter[Kind] = Counter()
        self._grants = 0

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

    def grant(self, now: float, per_second: float) -> None:
        """Note what this quarter of an hour is granted, unless that was noted before."""
        number = int(now // BUCKET)
        if Kind.GRANTED not in self.buckets.get(number, ()):
            granted = round(1000 * per_second * BUCKET)
            self._count(number, Kind.GRANTED, granted)
            self.pending_grants[f"{number}:{Kind.GRANTED}"] = granted

    def granted(self, now: float, per_second: float) -> float:
        """Reviews granted in the last day; times of which nothing was noted are granted ``per_second``."""
        noted = self.day(Kind.GRANTED, now) / 1000
        return noted + per_second * (min(DAY, now - self.began(now)) - self._grants * BUCKET)

    def surplus(self, now: float, per_second: float) -> float:
        """Reviews granted in the last day and not used, or overdrawn when negative.

        What remains of times when more was granted than ``per_second`` counts in proportion: who is left makes up for
        their own part of it.
        """
        most = 1000 * per_second * BUCKET
        left = self.granted(now, per_second) - self.day(Kind.REVIEWS, now)
        for bucket in self.buckets.values():
            if (granted := bucket[Kind.GRANTED]) > most + 1:
                left -= (1 - most / granted) * (granted / 1000 - bucket[Kind.REVIEWS])
        return left

    def day(self, kind: Kind, now: float) -> int:
        """How many in the last day."""
        self._forget(now)
        return self._totals[kind]

    def lately(self, kind: Kind, now: float, quarters: int) -> int:
        """How many in so many quarters of an hour, the present one among them."""
        last = int(now // BUCKET)
        wanted = range(last - quarters + 1, last + 1)
        return sum(self.buckets[number][kind] for number in wanted if number in self.buckets)

    def began(self, now: float) -> float:
        """When the oldest kept quarter of an hour began; now, without any."""
        return min(self.buckets) * BUCKET if self.buckets else now

    def take_pending(self) -> dict[str, int]:
        """What was counted here since the last call."""
        taken, self.pending = self.pending, Counter()
        return taken

    def take_grants(self) -> dict[str, int]:
        """Fields to be set once, by whoever comes first."""
        taken, self.pending_grants = self.pending_grants, {}
        return taken

    def _count(self, number: int, kind: Kind, count: int) -> None:
        self.buckets.setdefault(number, Counter())[kind] += count
        self._totals[kind] += count
        self._grants += kind is Kind.GRANTED

    def _forget(self, now: float) -> None:
        if self.buckets and _too_old(next(iter(self.buckets)), now):
            for old in [number for number in self.buckets if _too_old(number, now)]:
                gone = self.buckets.pop(old)
                self._totals -= gone
                self._grants -= Kind.GRANTED in gone


def stale_fields(names: Iterable[str], now: float) -> list[str]:
    """Fields of buckets that count no more."""
    return [name for name in names if _too_old(int(name.partition(":")[0]), now)]


def granted_per_day(capacity: Capacity, reviewers: float | None) -> float | None:
    """Reviews a day, or None when the capacity is a share; ``reviewers`` is what they finish a day, when known."""
    return reviewers if capacity.follow_reviewers and reviewers is not None else capacity.per_day


def review_share(
    capacity: Capacity, counts: Counts, now: float, *, arrivals: int = 1, reviewers: float | None = None
) -> float:
    """Share, 0 to 1, of the predictions arriving now, not counted yet, that may be reviewed for any reason."""
    per_day = granted_per_day(capacity, reviewers)
    if per_day is None:
        return _share_of_traffic(capacity.traffic_share or 0.0, counts, now, arrivals)
    return _share_of_day(per_day / DAY, capacity.window, counts, now, arrivals)


def _share_of_traffic(share: float, counts: Counts, now: float, arrivals: int) -> float:
    limit = share * SETTLING
    surplus = share * counts.day(Kind.SEEN, now) - counts.day(Kind.REVIEWS, now)
    surplus = min(limit, max(-limit, surplus))
    return min(1.0, max(0.0, share + surplus / max(SETTLING, arrivals)))


def _share_of_day(per_second: float, window: float, counts: Counts, now: float, arrivals: int) -> float:
    counts.grant(now, per_second)
    surplus = counts.surplus(now, per_second)
    allowance = per_second * window + (surplus * min(1.0, window / CARRY) if surplus > 0 else surplus)
    expected = max(arrivals, traffic(counts, now, arrivals) * window)
    return min(1.0, max(0.0, allowance / expected))


def traffic(counts: Counts, now: float, arrivals: int = 0) -> float:
    """Predictions per second to expect: as in the last day, or as in its last hours when these were calmer."""
    known = max(BUCKET, now - counts.began(now))
    day = (counts.day(Kind.SEEN, now) + arrivals) / min(DAY, known)
    recent = (counts.lately(Kind.SEEN, now, LULL) + arrivals) / min(known, (LULL - 1) * BUCKET + now % BUCKET)
    return min(day, recent)


def _too_old(bucket: int, now: float) -> bool:
    return (bucket + 1) * BUCKET < now - DAY
