"""One batch of ranked predictions under one rule of one project: audit draws, bands, lanes, priorities, reasons.

The audit sample is what humans check whatever the score: honest statistics rest on it. Its draw is a hash, so it is the
same for the same prediction in every process, however often and in whichever order. The inclusion probability leans
towards predictions whose outcome is open:

    π = τ·a + (1 - τ)·a · g / mean(g),   g = √(P(1 - P)(1 - d)),   at least the floor, at most 1

with the audit rate a and d, how surely the prediction is reviewed without the draw: what an audit saves of the variance
of an estimate is P(1 - P)(1 - d) / π (J. Neyman's allocation, 1934). Of the predictions, those whose draw lies below
τ·a are a uniform sub-sample at any time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from worker.review.calibration import Features, probability
from worker.review.capacity import Counts, Kind, review_share
from worker.review.conditions import Case, describe
from worker.review.decision import SEPARATOR, ReviewDecision, ScoreSource, Subject
from worker.review.expected_errors import ErrorReading
from worker.review.histogram import Histogram, middles
from worker.review.policy_file import Policy, ReviewRule

_SCALE = 2.0**-64

DONE = 0.9
"""Share of the reviews asked for because of the score that are expected to get done: ``d`` of those asked for."""


def audit_draw(salt: str, *names: str) -> float:
    """A number in [0, 1) that looks random and depends on the arguments alone."""
    text = SEPARATOR.join((salt, *names))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) * _SCALE


def openness(error_probability: float, *, asked: bool = False) -> float:
    """How much of the outcome stays open without an audit: √(P(1 - P)(1 - d)), ``d`` being 0 unless ``asked`` for."""
    return math.sqrt(error_probability * (1 - error_probability) * (1 - DONE if asked else 1.0))


def inclusion_probability(
    error_probability: float,
    mean_openness: float | None,
    *,
    rate: float,
    uniform: float,
    floor: float,
    asked: bool = False,
) -> float:
    """Probability of being chosen for the audit sample.

    Args:
        error_probability: calibrated, before any verdict on this prediction.
        mean_openness: over the recent predictions, or None when there were none.
        rate: share of the traffic that is audited, 0 to 1.
        uniform: τ, the part of the rate that does not look at the score; 1 makes a flat sample.
        floor: least inclusion probability, unless the rate is 0.
        asked: whether a review is asked for because of the score, whatever the draw says.
    """
    if not rate:
        return 0.0
    relative = openness(error_probability, asked=asked) / mean_openness if mean_openness else 1.0
    return min(1.0, max(floor, rate * (uniform + (1 - uniform) * relative)))


OPENNESS_EVERY = 50
"""Predictions after which the mean openness is computed anew."""

_OPENNESS = [openness(probability(middle)) for middle in middles()]
_OPENNESS_ASKED = [openness(probability(middle), asked=True) for middle in middles()]


def rule_key(project: str, rule: str) -> str:
    """The name of a rule in a project."""
    return SEPARATOR.join((project, rule))


@dataclass(slots=True)
class RuleStatistics:
    """One rule in one project: the distribution of log odds of an error, and what passed."""

    log_odds: Histogram = field(default_factory=Histogram)
    counts: Counts = field(default_factory=Counts)
    reviewers: float | None = None
    _openness: float | None = None
    _open_at: int = -OPENNESS_EVERY

    def mean_openness(self, cut: float) -> float | None:
        """Mean openness of the recent predictions, a review being asked for above rank ``cut``; None without any."""
        if self.log_odds.seen - self._open_at >= OPENNESS_EVERY:
            self._open_at = self.log_odds.seen
            self._openness = self.log_odds.mean_of(_OPENNESS, _OPENNESS_ASKED, cut)
        return self._openness


MUST_REVIEW, AUDIT, SCORED, UNTOUCHED = 3, 2, 1, 0
"""Bands of Kili's priority."""

BAND_WIDTH = 10_000
LEVELS = 1000

MUST_BURST = 10
"""Must-reviews that may exceed their share of the traffic."""

TIE = 0.125
"""Width, in log odds, within which the draw decides who comes first: equal scores share the capacity."""


def priority_of(band: int, error_probability: float) -> int:
    """Kili's integer: band x 10,000 + ⌊1,000 x P(error)⌋, or 0 in band 0."""
    return band * BAND_WIDTH + min(LEVELS - 1, math.floor(LEVELS * error_probability)) if band else 0


class Ranked(msgspec.Struct, frozen=True, gc=False):
    """A reading with its place among the same model's scores and the log odds of an error."""

    features: Features
    log_odds: float


class Work(msgspec.Struct, gc=False):
    """One prediction on its way to a decision; ``rule_key`` is the name of its rule in its project."""

    subject: Subject
    reading: ErrorReading
    source: ScoreSource
    rule: ReviewRule
    rule_key: str
    ranked: Ranked | None = None
    decision: ReviewDecision | None = None


def scored_share(rule: ReviewRule, rule_statistics: RuleStatistics, now: float, arrivals: int) -> float:
    """Share of the predictions arriving now that may be reviewed for their score: what the others leave."""
    counts = rule_statistics.counts
    share = review_share(rule.capacity, counts, now, arrivals=arrivals, reviewers=rule_statistics.reviewers)
    must = counts.day(Kind.MUST, now) / max(1, counts.day(Kind.SEEN, now))
    return max(0.0, share - rule.audit.rate - must)


def triage(works: Sequence[Work], policy: Policy, rule_statistics: RuleStatistics, now: float) -> None:
    """Decide on predictions of one rule in one project; their ranks are known, all of them are counted."""
    throws = [audit_draw(policy.salt, one.subject.project, one.subject.external_id, one.subject.model) for one in works]
    ranked = [_ranked(work) for work in works]
    places = [_place(one, throw) for one, throw in zip(ranked, throws, strict=True)]
    rule_statistics.log_odds.observe(places)
    ranks = rule_statistics.log_odds.percentiles(places)
    table = _Table(policy, works[0].rule, rule_statistics, now, len(works))
    for work, one, throw, rank in zip(works, ranked, throws, ranks, strict=True):
        work.decision = table.decide(work, one, throw, rank)
    rule_statistics.counts.add(now, table.numbers())


def _ranked(work: Work) -> Ranked:
    if work.ranked is None:
        raise ValueError("only ranked work can be decided on")
    return work.ranked


def _place(ranked: Ranked, throw: float) -> float:
    """The log odds of an error, told apart by the draw where they are equal."""
    return ranked.log_odds + TIE * (throw * 2.0**20 % 1 - 0.5)


class _Table:
    """What one batch is decided by, and counts of what was decided."""

    def __init__(
        self, policy: Policy, rule: ReviewRule, rule_statistics: RuleStatistics, now: float, arrivals: int
    ) -> None:
        self.salt = policy.salt
        self.label = f"{policy.label}/{rule.name}"
        self.rule = rule
        self.audit = rule.audit
        self.uploaded = rule.rest.uploaded
        self.cut = 1 - scored_share(rule, rule_statistics, now, arrivals)
        self.mean_openness = rule_statistics.mean_openness(self.cut)
        seen = rule_statistics.counts.day(Kind.SEEN, now) + arrivals
        self.must_left = rule.must_review.max_share * seen + MUST_BURST - rule_statistics.counts.day(Kind.MUST, now)
        self.seen = arrivals
        self.reviews = self.musts = self.audits = self.left_out = 0

    def decide(self, work: Work, ranked: Ranked, throw: float, rank: float) -> ReviewDecision:
        """Band, lane, priority and reason."""
        subject, reading, audit = work.subject, work.reading, self.audit
        features, chance = ranked.features, probability(ranked.log_odds)
        inclusion = inclusion_probability(
            chance, self.mean_openness, rate=audit.rate, uniform=audit.uniform, floor=audit.floor, asked=rank > self.cut
        )
        audited = throw < inclusion
        band, reason = self._band(work, rank, audited)
        upload = band > UNTOUCHED or self._uploads(subject)
        self.reviews += band > UNTOUCHED
        self.musts += band == MUST_REVIEW
        self.audits += audited
        self.left_out += not upload
        lanes = self.rule.lanes
        return ReviewDecision(
            0 if band >= AUDIT else min(lanes - 1, int(lanes * (1 - rank))),
            priority_of(band, chance),
            reason if upload else "counted only",
            self.label,
            subject.confidence,
            round(inclusion, 6) if inclusion else None,
            upload,
            band,
            audited,
            None if band or self.uploaded >= 1 else self.uploaded,
            work.source.job,
            _short(reading.expected_errors),
            round(chance, 6),
            reading.evidence,
            _short(features.percentile),
            _short(features.deviation),
            features.predicted,
            features.runner_up,
        )

    def numbers(self) -> dict[Kind, int]:
        """What was counted."""
        return {
            Kind.SEEN: self.seen,
            Kind.REVIEWS: self.reviews,
            Kind.MUST: self.musts,
            Kind.AUDITS: self.audits,
            Kind.LEFT_OUT: self.left_out,
        }

    def _band(self, work: Work, rank: float, audited: bool) -> tuple[int, str]:
        if self.rule.must_review.conditions and self.must_left >= 1 and (must := self._must(work)):
            return MUST_REVIEW, must
        if audited:
            return AUDIT, "audit sample"
        return (SCORED, "likely wrong") if rank > self.cut else (UNTOUCHED, "below the cut")

    def _must(self, work: Work) -> str:
        subject = work.subject
        throw = audit_draw(self.salt, "condition", subject.project, subject.external_id, subject.model)
        case = Case(work.reading, subject.metadata, throw)
        found = next((one for one in self.rule.must_review.conditions if one.holds(case)), None)
        if found is None:
            return ""
        self.must_left -= 1
        return f"must review: {describe(found)}"

    def _uploads(self, subject: Subject) -> bool:
        share = self.uploaded
        return (
            share >= 1 or audit_draw(self.salt, "upload", subject.project, subject.external_id, subject.model) < share
        )


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
