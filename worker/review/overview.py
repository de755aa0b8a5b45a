"""The policy as it works now: thresholds, budget, what it has learned."""

from __future__ import annotations

from typing import Any

from worker.review.calibration import probability
from worker.review.capacity import Kind, granted_per_day
from worker.review.decision import SEPARATOR, ScoreSource
from worker.review.policy_file import Policy, ReviewRule
from worker.review.redis_state import RedisState
from worker.review.state import RuleStatistics
from worker.review.triage import scored_share


def overview(policy: Policy, state: RedisState, now: float) -> dict[str, Any]:
    """Rules as written, then every rule in every project and every model version that has been seen.

    Raises:
        redis.RedisError: what has been seen cannot be read; ``as_written`` needs no Redis.
    """
    sources, keys = state.sources(), state.rule_keys()
    state.refresh(sources, keys)
    rules = {rule.name: rule for rule in policy.rules}
    return as_written(policy) | {
        "projects": [
            _rule_row(name, state.rule_statistics(name), rules[name.partition(SEPARATOR)[2]], now)
            for name in keys
            if name.partition(SEPARATOR)[2] in rules
        ],
        "models": [_source(source, state) for source in sources],
    }


def as_written(policy: Policy) -> dict[str, Any]:
    """What the policy says, whatever has come of it."""
    return {
        "policy": policy.label,
        "scorer": policy.scorer,
        "rules": [rule.model_dump(mode="json", by_alias=True, exclude_defaults=True) for rule in policy.rules],
    }


def _rule_row(name: str, rule_statistics: RuleStatistics, rule: ReviewRule, now: float) -> dict[str, Any]:
    counts = rule_statistics.counts
    seen = counts.day(Kind.SEEN, now)
    per_day = granted_per_day(rule.capacity, rule_statistics.reviewers)
    share = scored_share(rule, rule_statistics, now, arrivals=1)
    return {
        "project": name.partition(SEPARATOR)[0],
        "rule": rule.name,
        "predictions_24h": seen,
        "reviews_24h": counts.day(Kind.REVIEWS, now),
        "budget_24h": round(per_day if per_day is not None else seen * (rule.capacity.traffic_share or 0.0), 1),
        "must_review_24h": counts.day(Kind.MUST, now),
        "audits_24h": counts.day(Kind.AUDITS, now),
        "counted_only_24h": counts.day(Kind.LEFT_OUT, now),
        "reviewers_per_day": rule_statistics.reviewers,
        "share_for_doubtful": round(share, 4),
        "doubtful_above": round(probability(rule_statistics.log_odds.quantile(1 - share)), 4) if share else None,
    }


def _source(source: ScoreSource, state: RedisState) -> dict[str, Any]:
    calibration = state.calibration(source)
    return {
        "project": source.project,
        "job": source.job,
        "model": source.model,
        "predictions": state.histogram(source).seen,
        "verdicts": calibration.examples,
        "stronger_scorer_learned": state.vectors.fit(source) is not None,
        "percentile_slope": round(calibration.numbers[1], 3),
        "error_probability_at_median": round(probability(calibration.numbers[0]), 4),
    }
