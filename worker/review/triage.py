"""One batch of ranked predictions under one rule of one project: bands, lanes, priorities, reasons."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from worker.review.audit import coin, inclusion_probability
from worker.review.calibration import probability
from worker.review.capacity import Kind, review_share
from worker.review.conditions import Case, describe
from worker.review.decision import ReviewDecision, Source, Subject
from worker.review.expected_errors import Reading
from worker.review.policy_file import Policy, Rule
from worker.review.ranking import Ranked
from worker.review.state import Board, board_name

MUST_REVIEW, AUDIT, SCORED, UNTOUCHED = 3, 2, 1, 0
"""Bands of Kili's priority."""

BAND_WIDTH = 10_000
LEVELS = 1000

MUST_BURST = 10
"""Must-reviews that may exceed their share of the traffic."""

TIE = 0.125
"""Width, in log odds, within which the coin decides who comes first: equal scores share the capacity."""


def priority_of(band: int, error_probability: float) -> int:
    """Kili's integer: band x 10,000 + ⌊1,000 x P(error)⌋, or 0 in band 0."""
    return band * BAND_WIDTH + min(LEVELS - 1, math.floor(LEVELS * error_probability)) if band else 0


@dataclass(slots=True)
class Work:
    """One prediction on its way to a decision."""

    subject: Subject
    reading: Reading
    source: Source
    rule: Rule
    ranked: Ranked | None = None
    decision: ReviewDecision | None = None

    @property
    def board(self) -> str:
        """The name of its rule in its project."""
        return board_name(self.source.project, self.rule.name)


def scored_share(rule: Rule, board: Board, now: float, arriving: int) -> float:
    """Share of the predictions arriving now that may be reviewed for their score: what the others leave."""
    counts = board.counts
    share = review_share(rule.capacity, counts, now, arriving=arriving, reviewers=board.reviewers)
    must = counts.day(Kind.MUST, now) / max(1, counts.day(Kind.SEEN, now))
    return max(0.0, share - rule.audit.rate - must)


def triage(works: Sequence[Work], policy: Policy, board: Board, now: float) -> None:
    """Decide on predictions of one rule in one project; their ranks are known, all of them are counted."""
    rule = works[0].rule
    chosen = [_Draw.of(work, policy.salt) for work in works]
    board.log_odds.observe([draw.place for draw in chosen])
    table = _Table(policy, rule, board, now, len(works))
    for work, draw in zip(works, chosen, strict=True):
        work.decision = table.decide(work, draw)
    board.counts.add(now, table.numbers)


@dataclass(frozen=True, slots=True)
class _Draw:
    """A ranked prediction, the throw of its audit coin, and its place: log odds, told apart by the coin where equal."""

    ranked: Ranked
    throw: float
    place: float

    @classmethod
    def of(cls, work: Work, salt: str) -> _Draw:
        if work.ranked is None:
            raise ValueError("only ranked work can be decided on")
        throw = coin(salt, work.subject.project, work.subject.external_id, work.subject.model)
        return cls(work.ranked, throw, work.ranked.log_odds + TIE * (throw * 2.0**20 % 1 - 0.5))


class _Table:
    """What one batch is decided by; ``numbers`` counts what was decided."""

    def __init__(self, policy: Policy, rule: Rule, board: Board, now: float, arriving: int) -> None:
        self.salt = policy.salt
        self.label = f"{policy.label}/{rule.name}"
        self.rule = rule
        self.log_odds = board.log_odds
        self.cut = 1 - scored_share(rule, board, now, arriving)
        self.mean_openness = board.mean_openness(self.cut)
        seen = board.counts.day(Kind.SEEN, now) + arriving
        self.must_left = rule.must_review.max_share * seen + MUST_BURST - board.counts.day(Kind.MUST, now)
        self.numbers: Counter[Kind] = Counter({Kind.SEEN: arriving})

    def decide(self, work: Work, draw: _Draw) -> ReviewDecision:
        """Band, lane, priority and reason."""
        subject, features = work.subject, draw.ranked.features
        chance = probability(draw.ranked.log_odds)
        rank = self.log_odds.percentile(draw.place)
        inclusion = self._inclusion(chance, asked=rank > self.cut)
        audited = draw.throw < inclusion
        band, reason = self._band(work, rank, audited)
        upload = band > UNTOUCHED or self._uploads(subject)
        self._count(band, audited, upload)
        lanes = self.rule.lanes
        return ReviewDecision(
            lane=0 if band >= AUDIT else min(lanes - 1, int(lanes * (1 - rank))),
            priority=priority_of(band, chance),
            reason=reason if upload else "counted only",
            policy=self.label,
            confidence=subject.confidence,
            inclusion_probability=round(inclusion, 6) if inclusion else None,
            upload=upload,
            band=band,
            audit=audited,
            uploaded_share=None if band or self.rule.rest.uploaded >= 1 else self.rule.rest.uploaded,
            job=work.source.job,
            expected_errors=_short(work.reading.expected_errors),
            error_probability=round(chance, 6),
            evidence=work.reading.evidence,
            percentile=_short(features.percentile),
            deviation=_short(features.deviation),
            predicted=features.predicted,
            runner_up=features.runner_up,
        )

    def _inclusion(self, chance: float, *, asked: bool) -> float:
        audit = self.rule.audit
        return inclusion_probability(
            chance, self.mean_openness, rate=audit.rate, uniform=audit.uniform, floor=audit.floor, asked=asked
        )

    def _band(self, work: Work, rank: float, audited: bool) -> tuple[int, str]:
        if must := self._must(work):
            return MUST_REVIEW, must
        if audited:
            return AUDIT, "audit sample"
        return (SCORED, "likely wrong") if rank > self.cut else (UNTOUCHED, "below the cut")

    def _must(self, work: Work) -> str:
        conditions = self.rule.must_review.conditions
        if not conditions or self.must_left < 1:
            return ""
        subject = work.subject
        throw = coin(self.salt, "condition", subject.project, subject.external_id, subject.model)
        case = Case(work.reading, subject.metadata, throw)
        found = next((one for one in conditions if one.holds(case)), None)
        if found is None:
            return ""
        self.must_left -= 1
        return f"must review: {describe(found)}"

    def _uploads(self, subject: Subject) -> bool:
        share = self.rule.rest.uploaded
        return share >= 1 or coin(self.salt, "upload", subject.project, subject.external_id, subject.model) < share

    def _count(self, band: int, audited: bool, upload: bool) -> None:
        self.numbers[Kind.REVIEWS] += band > UNTOUCHED
        self.numbers[Kind.MUST] += band == MUST_REVIEW
        self.numbers[Kind.AUDITS] += audited
        self.numbers[Kind.LEFT_OUT] += not upload


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
