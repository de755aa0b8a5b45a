"""Predictions of model versions as the statistics see them, and how many unanswered ones each audit stands for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Sample:
    """One prediction of one model version.

    Attributes:
        asset_id: of the asset, in Kili.
        at: when it was predicted, seconds since the epoch.
        audited: whether the audit draw chose it, before any human had answered.
        inclusion: the draw's probability, in (0, 1]; meaningless for others.
        doubt: what ranks it among the others, 0-1: P(error), else 1 - confidence.
        p_error: P(error) as stored with the decision of this very model version, else None.
        error: 1 - agreement with the humans, 0-1; None while no human has answered.
        copies: how many predictions of the traffic it stands for because the others like it were not uploaded; 1 if all
            were.
        answered_at: when the youngest answer came, seconds since the epoch; 0 without one.
        uploaded_at: when Kili took it, seconds since the epoch; 0 where that is not known. It never changes, and what
            comes later has a later one.
        asked: whether a review was asked for without the audit draw.
    """

    asset_id: str
    at: float
    audited: bool = False
    inclusion: float = 1.0
    doubt: float = 0.5
    p_error: float | None = None
    error: float | None = None
    copies: float = 1.0
    answered_at: float = 0.0
    uploaded_at: float = 0.0
    asked: bool = False

    @property
    def answered(self) -> bool:
        """Whether a human has answered."""
        return self.error is not None

    @property
    def place(self) -> tuple[float, str]:
        """Its place among the others: by when Kili took it, then by asset; of one that is not known, by its time."""
        return self.uploaded_at or self.at, self.asset_id


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
