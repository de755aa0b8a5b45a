"""How often a model version agrees with the humans on live traffic, from answers that are anything but a random sample.

Doubtful predictions are answered because they are doubtful, so the answers as a whole say nothing of the others. The
audit sample does: a draw of known probability chose it, before anyone knew the answer. An audit answers for itself,
and for those without an answer that look like it.

Answers outside of the audit sample count for themselves; answered audits also stand for what nobody answered
(:func:`weigh` below). Where P(error) was stored before the answers, only the difference between it and the
errors is taken from the audits, which needs far fewer of them for the same interval.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import fsum

from worker.statistics.intervals import LEVEL, wilson, wilson_of_rare
from worker.statistics.samples import Sample

NEIGHBOURS = 9
"""Predictions outside of the audit sample, next in doubt, by which it is judged whether an audit would have been
answered without its draw."""

BLOCK_SAMPLES = 1000
BLOCK_AUDITS = 30
"""A block of time is closed when it holds so many predictions and so many answered audits."""

RESPONSE_AUDITS = 10
"""Answered audits that a class of doubt needs for its own rate of response."""


def weigh(samples: Sequence[Sample]) -> list[float]:
    """Return for each unit how many unanswered ones it stands for: 0 but for answered audits.

    Within a block of time, weight ~ ``(1 - d) · (1 - pi) / (pi · r) + (1 / r - 1)``: ``pi`` is the draw's probability,
    ``d`` the share answered among the nearest in doubt outside of the sample (an audit that would have been answered
    anyway stands for none of them) and ``r`` the share of audits of like doubt that were answered. The weights of a
    block sum up to its unanswered units, copies included (J. Hájek's ratio form of the Horvitz-Thompson estimator).
    """
    weights = [0.0] * len(samples)
    order = sorted(range(len(samples)), key=lambda index: (samples[index].at, samples[index].asset_id))
    for block in _blocks(samples, order):
        chosen = [samples[index] for index in block]
        for index, weight in zip(block, _scaled(chosen, base_weights(chosen)), strict=True):
            weights[index] = weight
    return weights


def base_weights(samples: Sequence[Sample]) -> list[float]:
    """Return the weights of one block before they are scaled to its unanswered units: unbiased, but noisier."""
    audits = [index for index, sample in enumerate(samples) if sample.audited and sample.answered]
    weights = [0.0] * len(samples)
    shares = _answered_anyway(samples, [samples[index].doubt for index in audits])
    rates = _responses([sample for sample in samples if sample.audited], [samples[index].doubt for index in audits])
    for index, share, rate in zip(audits, shares, rates, strict=True):
        pi = samples[index].inclusion
        weights[index] = (1 - share) * (1 - pi) / (pi * rate) + (1 / rate - 1)
    return weights


def _blocks(samples: Sequence[Sample], order: Sequence[int]) -> Iterator[list[int]]:
    """Cut time into blocks; what is left at the end joins the last one."""
    blocks: list[list[int]] = [[]]
    audits = 0
    for index in order:
        if len(blocks[-1]) >= BLOCK_SAMPLES and audits >= BLOCK_AUDITS:
            blocks.append([])
            audits = 0
        blocks[-1].append(index)
        audits += samples[index].audited and samples[index].answered
    if len(blocks) > 1 and (audits < BLOCK_AUDITS or len(blocks[-1]) < BLOCK_SAMPLES):
        last = blocks.pop()
        blocks[-1] += last
    yield from blocks


def _scaled(samples: Sequence[Sample], weights: list[float]) -> list[float]:
    total = sum(weights)
    unanswered = sum(sample.copies for sample in samples if not sample.answered)
    return [weight * unanswered / total for weight in weights] if total else weights


def _answered_anyway(samples: Sequence[Sample], doubts: Sequence[float]) -> list[float]:
    """For each doubt, the share answered among its neighbours outside of the audit sample."""
    others = sorted((sample.doubt, sample.answered) for sample in samples if not sample.audited)
    if not others:
        return [0.0] * len(doubts)
    places = [doubt for doubt, _ in others]
    answered = list(accumulate((int(done) for _, done in others), initial=0))
    width = min(NEIGHBOURS, len(others))
    shares = []
    for doubt in doubts:
        middle = (bisect_left(places, doubt) + bisect_right(places, doubt)) // 2
        start = min(max(0, middle - width // 2), len(others) - width)
        shares.append((answered[start + width] - answered[start]) / width)
    return shares


def _responses(audits: Sequence[Sample], doubts: Sequence[float]) -> list[float]:
    """For each doubt, the share answered among the audits of its class of doubt."""
    classes = _response_classes(audits)
    edges = [edge for edge, _ in classes[:-1]]
    return [classes[bisect_left(edges, doubt)][1] for doubt in doubts]


def _response_classes(audits: Sequence[Sample]) -> list[tuple[float, float]]:
    """(greatest doubt, share answered) of up to three classes with enough answers, from the least doubt on."""
    ordered = sorted(audits, key=lambda sample: sample.doubt)
    count = max(1, min(3, sum(sample.answered for sample in audits) // RESPONSE_AUDITS))
    classes = []
    for number in range(count):
        part = ordered[len(ordered) * number // count : len(ordered) * (number + 1) // count]
        answered = sum(sample.answered for sample in part)
        classes.append((part[-1].doubt if part else 1.0, answered / len(part) if answered else 1.0))
    return classes


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
