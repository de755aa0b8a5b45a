"""The reviewers' budget is kept, whatever the traffic does."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from tests.unit.review.review_subjects import NOW, Clock, answers, policy
from worker.review.capacity import (
    BUCKET,
    DAY,
    Counts,
    Kind,
    granted_per_day,
    review_share,
    stale_fields,
    traffic,
)
from worker.review.decision import ReviewDecision
from worker.review.policy_file import Capacity

MIDNIGHT = NOW // DAY * DAY
STEP = 120.0

Traffic = Callable[[int, float], float]


def constant(_day: int, _hour: float) -> float:
    return 6000


def every_other_day_tenfold(day: int, _hour: float) -> float:
    return 1500 if day % 2 else 15_000


def office_hours_tenfold(_day: int, hour: float) -> float:
    return 12_000 if 8 <= hour < 18 else 1200


def one_hour_tenfold(_day: int, hour: float) -> float:
    return 30_000 if 12 <= hour < 13 else 3000


def reviews_per_day(
    capacity: Capacity, per_day: Traffic, days: int, reviewers: Callable[[int], float | None]
) -> list[float]:
    """Reviews as a share of each day's budget, when reviews are drawn at the share that is allowed."""
    source, counts, found = random.Random(4), Counts(), []
    for day in range(days):
        budget = spent = 0.0
        for step in range(int(DAY / STEP)):
            now = MIDNIGHT + day * DAY + step * STEP
            mean = per_day(day, step * STEP / 3600) * STEP / DAY
            arrivals = max(0, round(source.gauss(mean, math.sqrt(mean))))
            share = review_share(capacity, counts, now, arrivals=arrivals, reviewers=reviewers(day)) if arrivals else 0
            reviews = sum(source.random() < share for _ in range(arrivals))
            counts.add(now, {Kind.SEEN: arrivals, Kind.REVIEWS: reviews})
            spent += reviews
            granted = granted_per_day(capacity, reviewers(day))
            budget += granted * STEP / DAY if granted is not None else (capacity.traffic_share or 0) * arrivals
        found.append(spent / budget)
    return found


@pytest.mark.parametrize("per_day", [constant, every_other_day_tenfold, office_hours_tenfold, one_hour_tenfold])
@pytest.mark.parametrize("capacity", [Capacity(per_day=600), Capacity(share=0.2)])
def test_every_day_is_within_a_tenth_of_its_budget(capacity: Capacity, per_day: Traffic) -> None:
    found = reviews_per_day(capacity, per_day, 5, lambda _: None)

    assert all(one == pytest.approx(1, abs=0.1) for one in found)


@pytest.mark.parametrize("per_day", [constant, every_other_day_tenfold, office_hours_tenfold])
def test_reviewers_who_come_and_go_are_followed_from_the_day_on_which_they_do(per_day: Traffic) -> None:
    capacity = Capacity(per_day=600, follow_reviewers=True)
    present = [600.0, 600.0, 200.0, 200.0, 900.0, 900.0]

    found = reviews_per_day(capacity, per_day, 6, present.__getitem__)

    assert all(one == pytest.approx(1, abs=0.1) for one in found)


def test_the_first_batch_does_not_spend_the_budget_of_a_day() -> None:
    share = review_share(Capacity(per_day=240), Counts(), MIDNIGHT, arrivals=500)

    assert 0 < share * 500 <= 240 / 24


def test_an_overdrawn_budget_allows_nothing() -> None:
    counts = Counts()
    counts.add(MIDNIGHT, {Kind.SEEN: 1000, Kind.REVIEWS: 500})

    assert review_share(Capacity(per_day=240), counts, MIDNIGHT + 60, arrivals=10) == 0


def test_a_share_of_nothing_is_nothing() -> None:
    assert review_share(Capacity(share=0.0), Counts(), MIDNIGHT, arrivals=10) == 0
    assert review_share(Capacity(per_day=0.0), Counts(), MIDNIGHT, arrivals=10) == 0


def test_a_lull_is_believed_and_a_burst_is_left_to_the_balance() -> None:
    counts = Counts()
    for quarter in range(96):
        counts.add(MIDNIGHT + quarter * BUCKET, {Kind.SEEN: 900 if quarter < 80 else 90})
    later = MIDNIGHT + DAY - 1

    assert traffic(counts, later) == pytest.approx(0.1, rel=0.1)
    counts.add(later, {Kind.SEEN: 100_000})
    assert traffic(counts, later) < 3


def test_counts_of_two_processes_add_up() -> None:
    one, other, shared = Counts(), Counts(), dict[str, int]()
    for number, counts in enumerate((one, other)):
        counts.add(MIDNIGHT, {Kind.SEEN: 10 + number, Kind.MUST: 1})
        for name, count in counts.take_pending().items():
            shared[name] = shared.get(name, 0) + count

    together = Counts.from_counts(shared)

    assert (together.day(Kind.SEEN, MIDNIGHT), together.day(Kind.MUST, MIDNIGHT)) == (21, 2)


def test_yesterday_is_forgotten() -> None:
    counts = Counts()
    counts.add(MIDNIGHT, {Kind.SEEN: 5})
    counts.add(MIDNIGHT + DAY + 2 * BUCKET, {Kind.SEEN: 7})

    assert counts.day(Kind.SEEN, MIDNIGHT + DAY + 2 * BUCKET) == 7
    assert stale_fields([f"{int(MIDNIGHT // BUCKET)}:seen"], MIDNIGHT + DAY + 2 * BUCKET)


def test_the_policy_keeps_its_budget_and_never_starves_the_audits() -> None:
    """Through the whole policy: a tenfold change, a must-review condition that holds often, audits throughout."""
    clock = Clock()
    rule = {
        "capacity": {"per_day": 400},
        "audit": {"rate": 0.02},
        "must_review": {"max_share": 0.005, "any": [{"type": "confidence_lt", "value": 0.6}]},
    }
    ranked = policy(rule, clock=clock)
    start = 0
    for day, count in enumerate([1500, 15_000, 1500]):
        decided: list[ReviewDecision] = []
        for step in range(96):
            clock.now = MIDNIGHT + day * DAY + step * BUCKET
            decided += ranked.decide_all(answers(count // 96, start=start))
            start += count // 96
        chances = [one.inclusion_probability or 0.0 for one in decided]
        deviation = sum(p * (1 - p) for p in chances) ** 0.5
        assert sum(one.audit for one in decided) == pytest.approx(sum(chances), abs=4 * deviation)
        assert sum(one.band == 3 for one in decided) <= 0.005 * start + 10
        assert sum(one.band > 0 for one in decided) == pytest.approx(400, rel=0.1)
