"""For how many unanswered predictions each answered audit stands.

Doubtful predictions are answered because they are doubtful, so the answers as a whole say nothing of the others. The
audit sample does: a coin of known probability chose it, before anyone knew the answer. An audit answers for itself,
and for those without an answer that look like it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from worker.feedback.units import Unit

NEIGHBOURS = 9
"""Predictions outside of the audit sample, next in doubt, by which it is judged whether an audit would have been
answered without its coin."""

BLOCK_UNITS = 1000
BLOCK_AUDITS = 30
"""A block of time is closed when it holds so many predictions and so many answered audits."""

RESPONSE_AUDITS = 10
"""Answered audits that a class of doubt needs for its own rate of response."""


def weigh(units: Sequence[Unit]) -> list[float]:
    """Return for each unit how many unanswered ones it stands for: 0 but for answered audits.

    Within a block of time, weight ~ ``(1 - d) · (1 - pi) / (pi · r) + (1 / r - 1)``: ``pi`` is the coin's probability,
    ``d`` the share answered among the nearest in doubt outside of the sample (an audit that would have been answered
    anyway stands for none of them) and ``r`` the share of audits of like doubt that were answered. The weights of a
    block sum up to its unanswered units, copies included (J. Hájek's ratio form of the Horvitz-Thompson estimator).
    """
    weights = [0.0] * len(units)
    order = sorted(range(len(units)), key=lambda index: (units[index].at, units[index].asset_id))
    for block in _blocks(units, order):
        chosen = [units[index] for index in block]
        for index, weight in zip(block, _scaled(chosen, base_weights(chosen)), strict=True):
            weights[index] = weight
    return weights


def base_weights(units: Sequence[Unit]) -> list[float]:
    """Return the weights of one block before they are scaled to its unanswered units: unbiased, but noisier."""
    audits = [index for index, unit in enumerate(units) if unit.audited and unit.answered]
    weights = [0.0] * len(units)
    shares = _answered_anyway(units, [units[index].doubt for index in audits])
    rates = _responses([unit for unit in units if unit.audited], [units[index].doubt for index in audits])
    for index, share, rate in zip(audits, shares, rates, strict=True):
        pi = units[index].inclusion
        weights[index] = (1 - share) * (1 - pi) / (pi * rate) + (1 / rate - 1)
    return weights


def _blocks(units: Sequence[Unit], order: Sequence[int]) -> Iterator[list[int]]:
    """Cut time into blocks; what is left at the end joins the last one."""
    blocks: list[list[int]] = [[]]
    audits = 0
    for index in order:
        if len(blocks[-1]) >= BLOCK_UNITS and audits >= BLOCK_AUDITS:
            blocks.append([])
            audits = 0
        blocks[-1].append(index)
        audits += units[index].audited and units[index].answered
    if len(blocks) > 1 and (audits < BLOCK_AUDITS or len(blocks[-1]) < BLOCK_UNITS):
        last = blocks.pop()
        blocks[-1] += last
    yield from blocks


def _scaled(units: Sequence[Unit], weights: list[float]) -> list[float]:
    total = sum(weights)
    unanswered = sum(unit.copies for unit in units if not unit.answered)
    return [weight * unanswered / total for weight in weights] if total else weights


def _answered_anyway(units: Sequence[Unit], doubts: Sequence[float]) -> list[float]:
    """For each doubt, the share answered among its neighbours outside of the audit sample."""
    others = sorted((unit.doubt, unit.answered) for unit in units if not unit.audited)
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


def _responses(audits: Sequence[Unit], doubts: Sequence[float]) -> list[float]:
    """For each doubt, the share answered among the audits of its class of doubt."""
    classes = _response_classes(audits)
    edges = [edge for edge, _ in classes[:-1]]
    return [classes[bisect_left(edges, doubt)][1] for doubt in doubts]


def _response_classes(audits: Sequence[Unit]) -> list[tuple[float, float]]:
    """(greatest doubt, share answered) of up to three classes with enough answers, from the least doubt on."""
    ordered = sorted(audits, key=lambda unit: unit.doubt)
    count = max(1, min(3, sum(unit.answered for unit in audits) // RESPONSE_AUDITS))
    classes = []
    for number in range(count):
        part = ordered[len(ordered) * number // count : len(ordered) * (number + 1) // count]
        answered = sum(unit.answered for unit in part)
        classes.append((part[-1].doubt if part else 1.0, answered / len(part) if answered else 1.0))
    return classes
