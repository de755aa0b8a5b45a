"""What humans should see first, and why."""

from worker.review.decision import METADATA_KEYS, ReviewDecision, ReviewPolicy, ScoreSource, Subject, own_confidence
from worker.review.policy import FixedPolicy, PolicySource, RankedPolicy, ThresholdPolicy, Verdict
from worker.review.policy_file import Policy, PolicyError, WatchedPolicy, built_in_policy, parse_policy, read_policy
from worker.review.redis_state import RedisState
from worker.review.state import MemoryState, ReviewState

__all__ = [
    "METADATA_KEYS",
    "FixedPolicy",
    "MemoryState",
    "Policy",
    "PolicyError",
    "PolicySource",
    "RankedPolicy",
    "RedisState",
    "ReviewDecision",
    "ReviewPolicy",
    "ReviewState",
    "ScoreSource",
    "Subject",
    "ThresholdPolicy",
    "Verdict",
    "WatchedPolicy",
    "built_in_policy",
    "own_confidence",
    "parse_policy",
    "read_policy",
]
