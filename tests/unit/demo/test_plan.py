"""Who predicts what when, and where it begins to drift."""

from __future__ import annotations

from collections import Counter

import pytest

from worker.demo.plan import (
    FIRST,
    LEAST_PREDICTIONS,
    LOGISTIC,
    MISTAKES,
    MOST_PREDICTIONS,
    SECOND,
    Digits,
    Plan,
    SimulatedLabelers,
    load_digits,
    make_plan,
)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


@pytest.fixture(scope="module")
def plan(digits: Digits) -> Plan:
    return make_plan(digits)


@pytest.mark.parametrize("count", [LEAST_PREDICTIONS, 300, 1001, MOST_PREDICTIONS])
def test_there_are_as_many_as_asked_for_each_under_its_own_name(digits: Digits, count: int) -> None:
    plan = make_plan(digits, count)

    assert len(plan.predictions) == len({one.external_id for one in plan.predictions}) == count
    assert {one.model for one in plan.predictions} == {LOGISTIC, FIRST, SECOND}
    assert 0 < plan.drift_from < len(plan.phases)


def test_the_new_version_takes_over_and_the_other_model_answers_throughout(plan: Plan) -> None:
    models = [{one.model for one in part} for part in plan.phases]

    assert models == [{LOGISTIC, FIRST}] * 3 + [{LOGISTIC, SECOND}] * 9


def test_no_model_version_answers_a_picture_twice(plan: Plan) -> None:
    seen = Counter((one.model, one.image) for one in plan.predictions)

    assert max(seen.values()) == 1


def test_the_drift_comes_with_its_round_and_is_a_fifth_of_what_the_version_then_sees(plan: Plan) -> None:
    later = [one for part in plan.phases[plan.drift_from :] for one in part if one.model == SECOND]

    assert not any(one.drifted for part in plan.phases[: plan.drift_from] for one in part)
    assert sum(one.drifted for one in later) == pytest.approx(0.22 * len(later), abs=1)
    assert all(one.truth == "ZERO" and one.is_wrong for one in later if one.drifted)
    assert (plan.drifted_model, plan.drifted_class) == (SECOND, "FIVE")


def test_another_seed_is_another_order(digits: Digits, plan: Plan) -> None:
    assert make_plan(digits).predictions == plan.predictions
    assert make_plan(digits, seed=1).predictions != plan.predictions


def test_people_say_the_truth_but_for_a_few_mistakes_and_always_the_same(plan: Plan) -> None:
    people, again = SimulatedLabelers(plan), SimulatedLabelers(plan)
    wrong = sum(people.answers[one.external_id] != one.truth for one in plan.predictions)

    assert people.answers == again.answers
    assert wrong / len(plan.predictions) == pytest.approx(MISTAKES, abs=0.01)
    assert people("digit-0000.png") == again("digit-0000.png")
    assert people("bad-1.png") is None
