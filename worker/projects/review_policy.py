"""Which review policy the settings put into force, and what it leaves open, in words for people."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from worker.review import (
    FixedPolicy,
    Policy,
    RankedPolicy,
    RedisState,
    ReviewPolicy,
    ThresholdPolicy,
    WatchedPolicy,
    built_in_policy,
    read_policy,
)
from worker.settings.groups import ReviewSettings
from worker.spool import Spool


def review_policy(review: ReviewSettings, spool: Spool | None = None) -> ReviewPolicy:
    """The policy in force; what it learns is kept in the spool's Redis, without one nowhere.

    Raises:
        PolicyError: the policy file is missing or wrong.
    """
    if review.in_force == "threshold":
        return ThresholdPolicy(review.confidence_threshold)
    source = WatchedPolicy(review.policy) if review.policy else FixedPolicy(_built_in(review))
    return RankedPolicy(source, RedisState(spool.redis, prefix=spool.prefix) if spool is not None else None)


def ranked_rules(review: ReviewSettings) -> Policy | None:
    """The rules of the policy in force, None for the threshold.

    Raises:
        PolicyError: the policy file is missing or wrong.
    """
    if review.in_force == "threshold":
        return None
    return read_policy(review.policy) if review.policy else _built_in(review)


def review_text(review: ReviewSettings) -> str:
    """What is in force, in a line."""
    if review.policy is not None:
        return f"the policy of {review.policy}"
    if review.in_force == "threshold":
        return f"a threshold: predictions with a confidence below {review.confidence_threshold:g} get a priority"
    capacity, audits = (f"{100 * share:g} %" for share in (review.capacity, review.audit_rate))
    return f"the built-in policy: {capacity} of the traffic gets a priority, {audits} as an audit sample among it"


def review_gaps(review: ReviewSettings) -> Iterator[tuple[str, str]]:
    """What the policy in force cannot give or what has no effect, with the fix.

    Raises:
        PolicyError: the policy file is missing or wrong.
    """
    rules = ranked_rules(review)
    if rules is None:
        fix = "set WORKER_REVIEW__RULE=ranked, or write a policy file"
        yield "it draws no audit sample, so the agreement of live traffic stays unknown", fix
    elif not any(rule.audit.rate for rule in rules.rules):
        fix = "set WORKER_REVIEW__AUDIT_RATE" if review.policy is None else "give a rule an audit.rate"
        yield "it draws no audit sample, so the agreement of live traffic stays unknown", fix
    if review.in_force == "ranked" and review.audit_rate > review.capacity:
        problem = "the audit sample is larger than the capacity, so more is reviewed and nothing for its score"
        yield problem, "raise WORKER_REVIEW__CAPACITY or lower WORKER_REVIEW__AUDIT_RATE"
    if review.threshold is not None and review.in_force != "threshold":
        yield (
            "WORKER_REVIEW__THRESHOLD has no effect",
            "unset it, or set WORKER_REVIEW__RULE=threshold without a policy",
        )


def scorer_missing(review: ReviewSettings) -> bool:
    """Whether the policy in force would use numpy, which is not installed."""
    return review.in_force != "threshold" and importlib.util.find_spec("numpy") is None


def _built_in(review: ReviewSettings) -> Policy:
    return built_in_policy(review.capacity, review.audit_rate)
