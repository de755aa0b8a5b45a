"""What decides where nobody has written a policy file."""

from __future__ import annotations

import sys

import pytest

from tests.unit.review.review_subjects import answers
from worker.projects.configuration import review_gaps, review_policy, scorer_missing
from worker.review import RankedPolicy, ThresholdPolicy
from worker.settings.groups import ReviewSettings


def shares(review: ReviewSettings) -> tuple[float, float]:
    """Shares of reviews and of audits that the policy in force asks for, of 4000 predictions."""
    policy = review_policy(review)
    stream = answers(4000)
    decided = [one for start in range(0, 4000, 100) for one in policy.decide_all(stream[start : start + 100])]
    return sum(one.priority > 0 for one in decided) / 4000, sum(one.audit for one in decided) / 4000


def test_the_built_in_policy_keeps_to_its_capacity_and_draws_audits() -> None:
    reviews, audits = shares(ReviewSettings())
    assert reviews == pytest.approx(0.1, abs=0.02)
    assert audits == pytest.approx(0.03, abs=0.012)


def test_capacity_and_audit_rate_are_settings() -> None:
    reviews, audits = shares(ReviewSettings(capacity=0.3, audit_rate=0.15))
    assert reviews == pytest.approx(0.3, abs=0.03)
    assert audits == pytest.approx(0.15, abs=0.03)


def test_no_audits_is_possible_and_said() -> None:
    review = ReviewSettings(audit_rate=0)
    assert shares(review)[1] == 0
    assert any("audit" in problem for problem, _ in review_gaps(review))


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.005, 0.5, 1.0])
@pytest.mark.parametrize("capacity", [0.0, 0.5, 1.0])
def test_every_setting_that_is_allowed_makes_a_policy(rate: float, capacity: float) -> None:
    assert isinstance(review_policy(ReviewSettings(audit_rate=rate, capacity=capacity)), RankedPolicy)


def test_the_threshold_is_an_option() -> None:
    policy = review_policy(ReviewSettings(rule="threshold"))
    assert isinstance(policy, ThresholdPolicy)
    assert policy.threshold == 0.8


def test_the_built_in_policy_works_without_numpy_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    monkeypatch.delitem(sys.modules, "worker.review.kernel", raising=False)
    reviews, audits = shares(ReviewSettings())
    assert reviews == pytest.approx(0.1, abs=0.02)
    assert audits > 0
    assert scorer_missing(ReviewSettings())
    assert not scorer_missing(ReviewSettings(rule="threshold"))
