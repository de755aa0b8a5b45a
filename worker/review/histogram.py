"""Where a score lies among the scores of the same model, without a single label.

Where few predictions come, no process ever sees enough at once to tell a shift from chance: each puts what it has seen
into a pool, and whoever reads the pool when it holds enough compares it. What was compared leaves the pool in one
script, so that it counts once, whatever the other processes do and whoever is restarted.

256 bins over the logarithm of the score. Forgetting is exponential by epochs of ``EPOCH`` scores: an epoch weighs half
as much as the next one. Counts are kept per epoch and bin, so that histograms of several processes add up exactly.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import redis

from worker.environment.connections import script_of

TAKEN = b"taken"


class UntestedPool:
    """The pools in Redis, beside the hashes with all scores.

    Args:
        client: of the spool's Redis, with ``decode_responses`` off.
        kept_seconds: how long an untouched pool is kept.
    """

    def __init__(self, client: redis.Redis, kept_seconds: int) -> None:
        self._take = script_of(client, "worker.review", "untested.lua")
        self._kept_seconds = kept_seconds

    def compare(self, found: Mapping[bytes, bytes], histogram: Histogram, *, pool: str, scores: str) -> bool:
        """Compare a pool with what was before, when it holds enough; whether a shift was seen, and written down.

        ``found`` is what was read from the key ``pool``, ``histogram`` what was read from the key ``scores``.
        """
        counts = {name.decode(): int(count) for name, count in found.items() if name != TAKEN}
        if sum(counts.values()) < TESTED:
            return False
        shifted = histogram.has_shifted_with(counts)
        taken: Any = self._take(
            keys=[pool, scores],
            args=[
                found.get(TAKEN, b"0"),
                int(shifted),
                EPOCH,
                JUMP,
                self._kept_seconds,
                *(one for pair in counts.items() for one in pair),
            ],
        )
        return shifted and bool(taken)


BINS = 256
LOW, HIGH = -24.0, 8.0
"""Range of the logarithmic scores; what lies outside counts in the outermost bin."""

EPOCH = 1000
"""Scores after which everything before weighs half."""

KEPT_EPOCHS = 12

JUMP = 3
"""Epochs that pass at once when the scores have shifted: what was before weighs 1/8."""

TESTED = 50
"""Scores that are compared at once with what was before."""

SHIFT = 2.0
"""Kolmogorov-Smirnov: a shift is seen when sup |F_new - F_old| > SHIFT √(1/n + 1/m), 1 in 1,500 by chance."""

UNKNOWN_MEAN, UNKNOWN_SPREAD = -3.0, 2.0
"""What is assumed of the logarithmic scores before any is known."""

_WIDTH = (HIGH - LOW) / BINS
_LAST_PLACE = BINS - 1e-9
_MIDDLES = [LOW + (number + 0.5) * _WIDTH for number in range(BINS)]


class Histogram:
    """A distribution of logarithmic scores that forgets."""

    __slots__ = (
        "_sum",
        "_sum_of_squares",
        "_untested",
        "bins",
        "jumps",
        "pending",
        "seen",
        "untested",
        "weight",
    )

    def __init__(self) -> None:
        self.bins = [0.0] * BINS
        self.seen = 0
        self.jumps = 0
        self.pending: dict[str, int] = {}
        self._untested: list[float] = []
        self.untested: Counter[str] = Counter()
        self.weight = 0.0
        self._sum = self._sum_of_squares = 0.0

    @classmethod
    def from_counts(cls, counts: Mapping[str, int]) -> Histogram:
        """Rebuild from fields ``epoch:bin``, ``seen`` and ``jumps``, as ``take_pending`` gives them."""
        found = cls()
        found.seen, found.jumps = counts.get("seen", 0), counts.get("jumps", 0)
        for name, count in counts.items():
            epoch, _, number = name.partition(":")
            if number and (age := max(0, found.epoch - int(epoch))) <= KEPT_EPOCHS:
                found._add(int(number), count * 0.5**age)
        return found

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        return self.seen // EPOCH + JUMP * self.jumps

    @property
    def mean(self) -> float:
        """Mean of the logarithmic scores."""
        return self._sum / self.weight if self.weight else UNKNOWN_MEAN

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithmic scores, at least 0.5."""
        if not self.weight:
            return UNKNOWN_SPREAD
        return math.sqrt(max(0.0, self._sum_of_squares / self.weight - self.mean**2) + 0.25)

    def observe(self, positions: Sequence[float]) -> None:
        """Count logarithmic scores; a shift of the whole distribution ages what was there."""
        self._untested.extend(positions)
        enough = len(self._untested) >= TESTED
        if enough:
            if self._has_shifted():
                self._age(JUMP)
                self.jumps += 1
                self._count("jumps", 1)
            self._untested.clear()
            self.untested.clear()
        begun = 0
        while begun < len(positions):
            part = positions[begun : begun + EPOCH - self.seen % EPOCH]
            self._count_within_epoch([_bin_of(position) for position in part], tested=enough)
            begun += len(part)
            if self.seen % EPOCH == 0:
                self._age(1)
        self._count("seen", len(positions))

    def _count_within_epoch(self, numbers: Sequence[int], *, tested: bool) -> None:
        for number, count in Counter(numbers).items():
            field = f"{self.epoch}:{number}"
            self._count(field, count)
            if not tested:
                self.untested[field] += count
            self._add(number, float(count))
        self.seen += len(numbers)

    def percentile(self, position: float) -> float:
        """Share of the scores below this one, in (0, 1), linear within a bin; half a score is added at either end."""
        return self.percentiles([position])[0]

    def percentiles(self, positions: Sequence[float]) -> list[float]:
        """The same of several scores."""
        bins, all_weight, found = self.bins, self.weight + 1, []
        below = [0.0, *accumulate(bins)] if len(positions) > 1 else None
        for position in positions:
            place = (position - LOW) / _WIDTH
            place = 0.0 if place < 0 else min(place, _LAST_PLACE)
            number = int(place)
            lower = below[number] if below else sum(bins[:number])
            found.append((lower + (place - number) * bins[number] + 0.5) / all_weight)
        return found

    def quantile(self, share: float) -> float:
        """The logarithmic score below which ``share`` of the scores lie."""
        if not self.weight:
            return UNKNOWN_MEAN
        totals = [0.0, *accumulate(self.bins)]
        wanted = share * totals[-1]
        number = min(bisect_right(totals, wanted) - 1, BINS - 1)
        inside = (wanted - totals[number]) / self.bins[number] if self.bins[number] else 0.0
        return LOW + (number + inside) * _WIDTH

    def deviation(self, position: float) -> float:
        """How many standard deviations a score lies above the mean, within [-4, 4]."""
        return self.deviations([position])[0]

    def deviations(self, positions: Sequence[float]) -> list[float]:
        """The same of several scores."""
        mean, spread = self.mean, self.spread
        return [min(4.0, max(-4.0, (position - mean) / spread)) for position in positions]

    def mean_of(self, below: Sequence[float], above: Sequence[float], share: float) -> float | None:
        """Mean of a function of the score that is another one above the quantile of a share; None without scores.

        Both are given by their values at the middle of each bin.
        """
        if not self.weight:
            return None
        wanted, total = share * self.weight, 0.0
        for weight, low, high in zip(self.bins, below, above, strict=True):
            part = min(weight, max(0.0, wanted))
            total += part * low + (weight - part) * high
            wanted -= weight
        return total / self.weight

    def take_pending(self) -> dict[str, int]:
        """What was counted here since the last call."""
        taken, self.pending = self.pending, {}
        return taken

    def give_back(self, counts: Mapping[str, int]) -> None:
        """Take back what ``take_pending`` gave and nobody could keep."""
        for name, count in counts.items():
            self._count(name, count)

    def take_untested(self) -> dict[str, int]:
        """Fields and counts of what was counted here and not yet compared with what was before; it is not again."""
        taken, self.untested = self.untested, Counter()
        self._untested.clear()
        return taken

    def has_shifted_with(self, counts: Mapping[str, int]) -> bool:
        """Whether scores that are counted here, given by their fields, differ from all the others."""
        new, old = [0.0] * BINS, list(self.bins)
        for name, count in counts.items():
            epoch, _, number = name.partition(":")
            new[int(number)] += count
            old[int(number)] -= count * 0.5 ** max(0, self.epoch - int(epoch))
        below_new, below_old = [*accumulate(new)], [*accumulate(max(0.0, one) for one in old)]
        seen, weight = below_new[-1], below_old[-1]
        if weight < 4 * TESTED:
            return False
        gap = max(abs(a / seen - b / weight) for a, b in zip(below_new, below_old, strict=True))
        return gap > SHIFT * math.sqrt(1 / seen + 1 / weight)

    def _has_shifted(self) -> bool:
        count = len(self._untested)
        if self.weight < 4 * TESTED:
            return False
        ranks = sorted(self.percentiles(self._untested))
        gap = max(max((i + 1) / count - rank, rank - i / count) for i, rank in enumerate(ranks))
        return gap > SHIFT * math.sqrt(1 / count + 1 / self.weight)

    def _add(self, number: int, count: float) -> None:
        self.bins[number] += count
        self.weight += count
        self._sum += count * _MIDDLES[number]
        self._sum_of_squares += count * _MIDDLES[number] ** 2

    def _age(self, epochs: int) -> None:
        factor = 0.5**epochs
        self.bins = [weight * factor for weight in self.bins]
        self.weight *= factor
        self._sum *= factor
        self._sum_of_squares *= factor

    def _count(self, name: str, number: int) -> None:
        self.pending[name] = self.pending.get(name, 0) + number


def stale_fields(names: Iterable[str], epoch: int) -> list[str]:
    """Fields of epochs that count no more."""
    return [name for name in names if ":" in name and int(name.partition(":")[0]) < epoch - KEPT_EPOCHS]


def middles() -> list[float]:
    """The logarithmic score at the middle of each bin."""
    return list(_MIDDLES)


def _bin_of(position: float) -> int:
    number = int((position - LOW) / _WIDTH)
    return 0 if number < 0 else number if number < BINS else BINS - 1
