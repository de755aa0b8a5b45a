"""How often a model version agrees with the humans on live traffic, from answers that are anything but a random sample.

Doubtful predictions are answered because they are doubtful, so the answers as a whole say nothing of the others. The
audit sample does: a draw of known probability chose it, before anyone knew the answer. An audit answers for itself,
and for those without an answer that look like it. Intervals are score intervals, never Wald's.

Answers outside of the audit sample count for themselves; answered audits also stand for what nobody answered
(:func:`worker.statistics.samples.weigh`). Where P(error) was stored before the answers, only the difference between it
and the errors is taken from the audits, which needs far fewer of them for the same interval.

Two model versions are compared on the same assets, champion and challenger (:func:`compare`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import NormalDist

from worker.statistics.samples import Sample, weigh

LEVEL = 0.95

_FEW = {0: 0.0, 1: 0.0513, 2: 0.178, 3: 0.273}
"""Lower bounds of a Poisson mean as shares of 0 to 3 hits: half the 5 % quantile of chi squared over the hits."""


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of a share seen in ``n`` trials, which need not be a whole number.

    ``(p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)`` (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927).
    Without trials nothing is known: (0, 1).
    """
    if n <= 0:
        return 0.0, 1.0
    z = _quantile(level)
    middle = share + z * z / (2 * n)
    spread = z * sqrt(max(0.0, share * (1 - share)) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def wilson_of_rare(share: float, n: float, hits: int, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's interval with the lower bound of a Poisson mean for at most three hits.

    Source: L. D. Brown, T. T. Cai, A. DasGupta, Interval estimation for a binomial proportion (Stat. Sci. 16, 2001),
    the modified Wilson interval; ``hits`` is how many trials contributed to the share at all.
    """
    low, high = wilson(share, n, level)
    return (min(low, share * _FEW[hits]) if hits in _FEW else low), high


def tango(only_a: float, only_b: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of a difference of paired shares, ``(only_a - only_b) / n``.

    ``only_a`` of ``n`` pairs are hits for a alone, ``only_b`` for b alone (T. Tango, Stat. Med. 17, 1998). The bounds
    are the differences at which the score statistic equals the normal quantile.
    """
    if n <= 0:
        return -1.0, 1.0
    z = _quantile(level)
    estimate = (only_a - only_b) / n
    low = _root(lambda delta: _tango_score(only_a, only_b, n, delta) - z, -1.0, estimate)
    high = _root(lambda delta: _tango_score(only_a, only_b, n, delta) + z, estimate, 1.0)
    return low, high


def _tango_score(only_a: float, only_b: float, n: float, delta: float) -> float:
    """Standardised distance of the counts from a difference ``delta``; falls as ``delta`` grows."""
    gap = only_a - only_b - n * delta
    linear = -only_a - only_b + (2 * n - only_a + only_b) * delta
    constant = -only_b * delta * (1 - delta)
    share_b = (sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * share_b + delta * (1 - delta))
    if variance <= 0:
        return 0.0 if gap == 0 else float("inf") if gap > 0 else float("-inf")
    return gap / sqrt(variance)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0, or the end that is nearer to it."""
    if function(low) <= 0:
        return low
    if function(high) >= 0:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)


_CAUTION = 0.1
"""Share of the plain error rate mixed into P(error) when the variance is computed, in case P(error) is worth less."""

_PRIOR_HITS = 2.0
"""How many errors the variance that P(error) implies counts as."""

_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class Estimate:
    """Agreement of live traffic, 0-1, with what it rests on.

    Attributes:
        value: None when nothing speaks for the unanswered predictions.
        low, high: bounds of the interval at the given level; what no answer excludes when ``value`` is None.
        population: predictions the figure is about.
        verdicts: those with an answer; ``audits`` of them by the audit draw.
        missing_audits: audits without an answer.
        naive: plain mean over the answered ones, which says little of live traffic.
        effective_n: how many answers drawn at random from the unanswered rest would be as good.
        youngest: when the youngest answer came, seconds since the epoch; 0 without one.
    """

    value: float | None
    low: float
    high: float
    population: int
    verdicts: int
    audits: int
    missing_audits: int
    naive: float | None
    effective_n: float
    youngest: float

    @property
    def width(self) -> float:
        """Length of the interval."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class _Rest:
    """The error rate of the unanswered predictions, and what it rests on."""

    rate: float
    effective_n: float
    hits: int


def estimate_agreement(samples: Sequence[Sample], level: float = LEVEL) -> Estimate:
    """Estimate the agreement of a whole population of predictions; Wilson's interval on the effective n."""
    return estimate_of(samples, weigh(samples), level)


def estimate_of(samples: Sequence[Sample], weights: Sequence[float], level: float = LEVEL) -> Estimate:
    """Estimate the agreement of a part of a population that was weighed as a whole.

    ``errors = errors seen + M · (mean P over the M unanswered + Σ w (e - P) / Σ w over answered audits)``, the mean
    taken over ``samples``. With nothing unanswered the interval is that of a sample of as many answers.
    """
    errors = [sample.error for sample in samples if sample.error is not None]
    seen, unanswered = fsum(errors), fsum(sample.copies for sample in samples if sample.error is None)
    naive = 1 - seen / len(errors) if errors else None
    rest = _rest(samples, weights) if unanswered else None
    total = len(errors) + unanswered
    value, low, high = _bounds(seen, total, unanswered, rest, level)
    return Estimate(
        value=value,
        low=low,
        high=high,
        population=round(total),
        verdicts=len(errors),
        audits=sum(sample.audited and sample.answered for sample in samples),
        missing_audits=sum(sample.audited and not sample.answered for sample in samples),
        naive=naive,
        effective_n=rest.effective_n if rest else float(len(errors)),
        youngest=max((sample.answered_at for sample in samples), default=0.0),
    )


def _bounds(
    seen: float, total: float, unanswered: float, rest: _Rest | None, level: float
) -> tuple[float | None, float, float]:
    if not total:
        return None, 0.0, 1.0
    if not unanswered:
        low, high = wilson(seen / total, total, level)
        return 1 - seen / total, 1 - high, 1 - low
    if rest is None:
        return None, 1 - (seen + unanswered) / total, 1 - seen / total
    low, high = wilson_of_rare(rest.rate, rest.effective_n, rest.hits, level)
    errors = (seen + unanswered * rate for rate in (rest.rate, high, low))
    value, lower, upper = (1 - count / total for count in errors)
    return value, lower, upper


def _rest(samples: Sequence[Sample], weights: Sequence[float]) -> _Rest | None:
    """Infer the rest from the audits.

    Of ``n`` effective audits ``1 / (1/n + 1/M)`` count, since the ``M`` outcomes of the rest are uncertain, too.
    """
    audits = [(sample, weight) for sample, weight in zip(samples, weights, strict=True) if weight > _NOTHING]
    if not audits:
        return None
    predicted = all(sample.p_error is not None for sample in samples if not sample.answered)
    predicted = predicted and all(sample.p_error is not None for sample, _ in audits)
    prior = [sample.p_error or 0.0 if predicted else 0.0 for sample, _ in audits]
    outside = [
        (sample.copies, sample.p_error or 0.0 if predicted else 0.0) for sample in samples if not sample.answered
    ]
    size = fsum(copies for copies, _ in outside)
    shares = _shares([weight for _, weight in audits])
    errors = [sample.error or 0.0 for sample, _ in audits]
    shift = fsum(share * (error - p) for share, error, p in zip(shares, errors, prior, strict=True))
    rate = min(1.0, max(0.0, fsum(copies * p for copies, p in outside) / size + shift))
    n = _effective_n(shares, errors, prior, rate) if predicted else _kish(shares)
    return _Rest(rate, n * size / (n + size), round(_even_hits(shares, errors)))


def _even_hits(shares: Sequence[float], errors: Sequence[float]) -> float:
    """How many equal errors would weigh as evenly as these do: one that outweighs all others counts as one."""
    parts = [share * error for share, error in zip(shares, errors, strict=True)]
    squares = fsum(part * part for part in parts)
    return fsum(parts) ** 2 / squares if squares else 0.0


def _effective_n(shares: Sequence[float], errors: Sequence[float], prior: Sequence[float], rate: float) -> float:
    """``rate (1 - rate) / variance``: a mean of the variance of what was seen and of the one that P(error) implies.

    What was seen counts by the errors it consists of, so without any there is only what P(error), its odds scaled to
    the errors seen, implies: samples without errors do not give intervals without width.
    """
    n = _kish(shares)
    found = n * fsum(share * error for share, error in zip(shares, errors, strict=True))
    expected = n * fsum(share * p for share, p in zip(shares, prior, strict=True))
    odds = (found + 1) / (expected + 1)
    smooth = (rate * n + 0.5) / (n + 1)
    rates = [(1 - _CAUTION) * (p * odds / (1 - p + p * odds)) + _CAUTION * smooth for p in prior]
    residuals = _centred(shares, [error - p for error, p in zip(errors, prior, strict=True)])
    model = _centred(shares, [q - p for q, p in zip(rates, prior, strict=True)])
    expected_variance = fsum(s * s * (q * (1 - q) + m * m) for s, q, m in zip(shares, rates, model, strict=True))
    seen_variance = fsum(s * s * r * r for s, r in zip(shares, residuals, strict=True))
    seen_variance *= n / max(1.0, n - 1)
    evidence = _even_hits(shares, errors)
    variance = (evidence * seen_variance + _PRIOR_HITS * expected_variance) / (evidence + _PRIOR_HITS)
    return smooth * (1 - smooth) / variance


def _kish(shares: Sequence[float]) -> float:
    """``(Σ w)² / Σ w²`` of weights that sum up to 1 (L. Kish, Survey Sampling, 1965)."""
    return 1 / fsum(share * share for share in shares)


def _centred(shares: Sequence[float], values: Sequence[float]) -> list[float]:
    mean = fsum(share * value for share, value in zip(shares, values, strict=True))
    return [value - mean for value in values]


def _shares(weights: Sequence[float]) -> list[float]:
    total = fsum(weights)
    return [weight / total for weight in weights]


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
    rest = _mean_gap([first for first, _ in pairs], gaps, unanswered, level) if unanswered else (0.0, 0.0, 0.0)
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


def _mean_gap(
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
