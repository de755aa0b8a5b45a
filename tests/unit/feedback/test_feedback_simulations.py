"""Short versions of the simulations in ``benchmarks/feedback``, on what real models said."""

from __future__ import annotations

import random
from dataclasses import asdict
from xml.etree import ElementTree

import pytest

from benchmarks.feedback import audit_drift, coverage, months, speed, stream_drift
from benchmarks.feedback.adwin import Adwin
from benchmarks.feedback.goals import Goal, Part
from benchmarks.feedback.pictures import RIVALS, picture
from benchmarks.feedback.queues import load_queues
from benchmarks.feedback.stream import Setting


@pytest.fixture(scope="module")
def qualities() -> list[coverage.Quality]:
    """The first days of every queue that no setting was chosen by."""
    return coverage.measure_all([queue.name for queue in load_queues()], coverage.Plan(1, 2, 4), Setting())


def test_the_estimate_is_unbiased_where_the_naive_average_is_far_off(qualities: list[coverage.Quality]) -> None:
    found = coverage.overall(qualities)

    assert abs(found.bias) < 1.2
    assert found.naive_bias < -20
    assert max(one.naive_bias for one in qualities) < -10
    assert found.coverage_of_naive < 0.5


def test_the_interval_covers_the_truth_and_is_narrower_than_that_of_the_audits(
    qualities: list[coverage.Quality],
) -> None:
    found = coverage.overall(qualities)

    assert found.coverage >= 0.92
    assert found.relative_width <= 0.75


def test_the_labels_are_those_that_were_asked_for(qualities: list[coverage.Quality]) -> None:
    found = coverage.overall(qualities)

    assert found.audits == pytest.approx(50, rel=0.1)
    assert found.labels == pytest.approx(150, rel=0.05)


def test_half_finished_reviews_do_no_harm() -> None:
    found = coverage.measure("mail", coverage.Plan(1, 5, 10), Setting(done=0.5, response=0.7))

    assert abs(found.bias) < 1.5
    assert found.coverage >= 0.9


def test_a_fall_from_95_to_85_percent_is_found_in_few_audits() -> None:
    found = audit_drift.shift(audit_drift.NAMED, 0.05, 0.15, 100)

    assert found.median <= 90
    assert found.missed == 0


def test_false_alarms_are_as_rare_as_the_knob_says() -> None:
    found = [audit_drift.false_alarms(audit_drift.NAMED, rate, 8) for rate in (0.02, 0.15)]

    assert sum(found) / 2 <= 1.0


def test_adwin_with_its_defaults_is_several_times_slower() -> None:
    ours = audit_drift.shift(audit_drift.NAMED, 0.05, 0.15, 20)
    theirs = audit_drift.shift("ADWIN, defaults (0.002, clock 32)", 0.05, 0.15, 20)

    assert theirs.median > 2 * ours.median


def test_adwin_keeps_the_mean_of_its_window_and_forgets_the_old_one() -> None:
    dice = random.Random(2)
    detector = Adwin(delta=0.05, clock=1)
    rises = [place for place in range(2000) if detector.update(float(dice.random() < (0.1 if place < 1000 else 0.6)))]

    assert rises
    assert 1000 <= rises[0] < 1060
    assert detector.total / detector.count == pytest.approx(0.6, abs=0.06)


def test_ten_points_lost_on_a_stream_are_found_within_days() -> None:
    scenario = stream_drift.SCENARIOS[0].name
    found = stream_drift.run("digits", 100, ["accuracy fell"], [scenario])[scenario]["accuracy fell"]

    assert not found.calm
    assert found.delay <= 5


def test_a_drift_in_production_is_told_once_with_late_answers_and_restarts() -> None:
    plan = months.Plan(days=18, daily=200, drifts=(9,))
    found = months.run(months.Case("digits", drifting=True, scope="detector"), plan)

    assert found.twice == 0
    assert found.predictions == 3600
    assert [day for day in found.days["accuracy_fell"] if day <= 9] == []
    assert months.summary([found], plan).goals[0].met


def test_the_cost_of_verdicts_is_measured_on_all_of_them_and_their_state_is_small() -> None:
    assert speed.measure(2000).memory < 1000


def test_a_goal_that_is_missed_says_so() -> None:
    goals = (Goal("width", 0.75, 0.76), Goal("coverage", 0.93, 0.95, most=False))

    assert [goal.met for goal in goals] == [False, True]
    assert "| width | ≤ 0.75 | 0.76 | **no** |" in Part("", {}, goals).text


def test_the_share_found_grows_day_by_day_and_never_counts_what_was_missed() -> None:
    runs = [stream_drift.Found(calm=False, delay=delay) for delay in (1, 3, stream_drift.NEVER)]

    found = stream_drift.summarise(runs).found

    assert found[:3] == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert found[-1] == pytest.approx(2 / 3)


def test_the_picture_shows_ours_beside_the_others(qualities: list[coverage.Quality]) -> None:
    summary = asdict(stream_drift.summarise([stream_drift.Found(calm=False, delay=2)]))
    row = dict.fromkeys((stream_drift.NAMED, *RIVALS), summary)
    streams = {"runs": 1, "scenarios": {one.name: row for one in stream_drift.SCENARIOS}}

    drawn = picture([asdict(one) for one in [*qualities, coverage.overall(qualities)]], streams)

    charts = list(ElementTree.fromstring(drawn))
    assert len(charts) == 2
    assert all(name in drawn for name in ("accuracy fell: concept shift", "ADWIN on audits, tuned", "plain average"))
