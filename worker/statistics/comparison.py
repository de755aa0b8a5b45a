"""Champion and challenger: two model versions on the same assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from worker.statistics.estimator import LEVEL, tango
from worker.statistics.samples import Sample, weigh


@dataclass(frozen=True, slots=True)
class Difference:
    """Agreement of one model version minus that of another, over the assets both have predicted.

    Attributes:
        value: in [-1, 1], positive when the first is better; None when nothing speaks for the unanswered assets.
        low, high: bounds of the interval at the given level.
        population: assets that both predicted; ``verdicts`` of them with an answer, ``audits`` by the audit draw.
        only_first: answered assets on which the first was closer to the humans; ``only_second`` the second.
    """

    value: float | None
    low: float
    high: float
    population: int
    verdicts: int
    audits: int
    only_first: int
    only_second: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.value is not None and (self.low > 0 or self.high < 0)


def compare(pairs: Sequence[tuple[Sample, Sample]], level: float = LEVEL) -> Difference:
    """Estimate a paired difference; Tango's interval on the effective n.

    The review of an asset was decided once: the first unit of each pair must say how (``audited``, ``inclusion``,
    ``doubt``). Both units of a pair are answered, or neither.
    """
    gaps = [_gap(first, second) for first, second in pairs]
    seen = [gap for gap in gaps if gap is not None]
    unanswered = fsum(first.copies for first, _ in pairs if not first.answered)
    total = len(seen) + unanswered
    better, worse = fsum(max(0.0, gap) for gap in seen), fsum(max(0.0, -gap) for gap in seen)
    rest = _rest([first for first, _ in pairs], gaps, unanswered, level) if unanswered else (0.0, 0.0, 0.0)
    if not unanswered:
        value, low, high = ((better - worse) / max(1, len(pairs)), *tango(better, worse, len(pairs), level))
    else:
        value, low, high = ((better - worse + unanswered * part) / total for part in rest or (0.0, -1.0, 1.0))
    return Difference(
        value=value if pairs and rest else None,
        low=low,
        high=high,
        population=len(pairs),
        verdicts=len(seen),
        audits=sum(first.audited and first.answered for first, _ in pairs),
        only_first=sum(gap > 0 for gap in seen),
        only_second=sum(gap < 0 for gap in seen),
    )


def _gap(first: Sample, second: Sample) -> float | None:
    if first.error is None or second.error is None:
        return None
    return second.error - first.error


def _rest(
    samples: Sequence[Sample], gaps: Sequence[float | None], unanswered: float, level: float
) -> tuple[float, float, float] | None:
    """Mean gap among the unanswered assets with its bounds, from the audits; None without audits.

    Effective are ``1 / (1/n + 1/M)`` of ``n`` audits, since the ``M`` outcomes of the rest are uncertain, too.
    """
    weighed = [
        (weight, gap) for weight, gap in zip(weigh(samples), gaps, strict=True) if weight > 0 and gap is not None
    ]
    total = fsum(weight for weight, _ in weighed)
    if not total:
        return None
    n = total * total / fsum(weight * weight for weight, _ in weighed)
    n = n * unanswered / (n + unanswered)
    better = n * fsum(weight * max(0.0, gap) for weight, gap in weighed) / total
    worse = n * fsum(weight * max(0.0, -gap) for weight, gap in weighed) / total
    return ((better - worse) / n, *tango(better, worse, n, level))
