"""Decisions: bands, lanes, priorities, and what they learn."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.unit.review.review_subjects import answers, choice, policy, subject
from worker.contract.output import Classification, ClassScore, Detection, ModelOutput
from worker.review import FixedPolicy, RankedPolicy, ReviewDecision, Subject, Verdict
from worker.review.triage import priority_of

RULE = {"capacity": {"share": 0.15}, "audit": {"rate": 0.05}}


def verdicts(subjects: Sequence[Subject], decisions: Sequence[ReviewDecision], wrong: Sequence[float]) -> list[Verdict]:
    return [
        Verdict(one.project, one.model, decision, value, one.external_id)
        for one, decision, value in zip(subjects, decisions, wrong, strict=True)
    ]


def test_the_most_doubtful_come_first() -> None:
    decided = policy(RULE).decide_all([subject(str(i), choice(1 - i / 1000, i / 1000)) for i in range(1, 500)])

    chances = [one.error_probability for one in decided]
    assert chances == sorted(chances, key=lambda one: one or 0.0)
    untouched = [one for one in decided if one.band == 0]
    scored = [one for one in decided if one.band == 1]
    assert (
        min(one.error_probability or 0 for one in scored) >= max(one.error_probability or 0 for one in untouched) - 0.02
    )
    assert len(scored) == pytest.approx(50, abs=15)


def test_ten_lanes_are_tenths_of_the_expected_errors() -> None:
    decided = policy({"capacity": {"share": 0.0}, "audit": {"rate": 0.0, "floor": 0.0}}).decide_all(answers(1000))

    sizes = [sum(one.lane == lane for one in decided) for lane in range(10)]
    assert all(70 <= size <= 130 for size in sizes)
    ordered = sorted(decided, key=lambda one: -(one.error_probability or 0.0))
    assert all(one.lane <= 1 for one in ordered[:100])


def test_fewer_lanes_can_be_asked_for() -> None:
    decided = policy({"lanes": 3}).decide_all(answers(300))

    assert {one.lane for one in decided} == {0, 1, 2}


def test_audits_and_must_reviews_take_the_first_lane() -> None:
    decided = policy(RULE).decide_all(answers(500))

    assert {one.lane for one in decided if one.band >= 2} == {0}


def test_the_integer_is_the_band_then_the_probability() -> None:
    for one in policy(RULE).decide_all(answers(500)):
        expected = one.band * 10_000 + int(1000 * (one.error_probability or 0.0)) if one.band else 0
        assert one.priority == pytest.approx(expected, abs=1)


def test_the_integer_grows_with_the_probability_and_never_into_the_next_band() -> None:
    chances = [0.0, 0.0004, 0.1, 0.5, 0.9994, 1.0]

    for band in (1, 2, 3):
        found = [priority_of(band, chance) for chance in chances]
        assert found == sorted(found)
        assert found[0] == band * 10_000
        assert found[-1] < (band + 1) * 10_000
    assert {priority_of(0, chance) for chance in chances} == {0}


def test_models_of_different_calibration_share_the_reviews() -> None:
    """One model's confidences are the other's, pushed towards 1: by raw confidence it would never be reviewed."""
    shy = answers(500, model="shy:1")
    bold = [
        subject(one.external_id + "b", choice(1 - doubt**3, doubt**3), model="bold:1")
        for one in shy
        if isinstance(one.output.answer, Classification)
        for doubt in [min(score.score or 0.0 for score in one.output.answer.scores)]
    ]

    decided = policy(RULE).decide_all(shy + bold)

    reviewed = [one.band == 1 for one in decided]
    assert sum(reviewed[500:]) == pytest.approx(sum(reviewed[:500]), rel=0.4)


def test_verdicts_move_reviews_to_the_model_that_is_wrong() -> None:
    ranked = policy(RULE)
    source = random.Random(3)
    rates = {"good:1": 0.02, "bad:1": 0.4}
    shares = []
    for batch in range(8):
        subjects = [one for model in rates for one in answers(100, model=model, start=100 * batch)]
        decided = ranked.decide_all(subjects)
        reviewed = [(one, decision) for one, decision in zip(subjects, decided, strict=True) if decision.band]
        scored = [one.model for one, decision in reviewed if decision.band == 1]
        shares.append(scored.count("bad:1") / len(scored))
        wrong = [float(source.random() < rates[one.model]) for one, _ in reviewed]
        ranked.learn(verdicts([one for one, _ in reviewed], [decision for _, decision in reviewed], wrong))

    assert shares[0] == pytest.approx(0.5, abs=0.25)
    assert shares[-1] > 0.9


def test_a_new_version_inherits_what_was_learned_about_the_last() -> None:
    ranked = policy(RULE)
    known = answers(200, model="m:1")
    ranked.learn(verdicts(known, ranked.decide_all(known), [1.0] * 200))

    first = ranked.decide_all(answers(100, model="m:2"))
    stranger = ranked.decide_all(answers(100, model="other:1"))

    assert min(one.error_probability or 0 for one in first) > max(one.error_probability or 0 for one in stranger)


def test_a_second_verdict_replaces_the_first() -> None:
    single_attempt, twice = policy(RULE), policy(RULE)
    subjects = answers(50)
    decided = single_attempt.decide_all(subjects)
    twice.decide_all(subjects)

    single_attempt.learn(verdicts(subjects, decided, [1.0] * 50))
    twice.learn(verdicts(subjects, decided, [0.0] * 50))
    twice.learn(verdicts(subjects, decided, [1.0] * 50))

    after = [one.decide(subject("x", choice(0.6, 0.4))).error_probability for one in (single_attempt, twice)]
    assert after[0] == pytest.approx(after[1], abs=0.01)


def test_empty_predictions_are_ranked_by_their_own_rate() -> None:
    ranked = policy({"capacity": {"share": 0.3}, "audit": {"rate": 0.1}})
    empty = [subject(f"e{i}", ModelOutput(Detection(()))) for i in range(40)]
    before = ranked.decide_all(empty + answers(200))
    ranked.learn(verdicts(empty, before[:40], [1.0] * 40))

    after = ranked.decide_all([subject("new", ModelOutput(Detection(()))), subject("sure", choice(0.999, 0.001))])

    assert (after[0].error_probability or 0) > 0.7
    assert (after[1].error_probability or 0) < 0.3


def test_equal_scores_share_the_capacity() -> None:
    same = [subject(str(i), ModelOutput(Classification((ClassScore("A"),), True))) for i in range(4000)]
    ranked = policy({"capacity": {"share": 0.2}, "audit": {"rate": 0.05}})

    decided = [one for start in range(0, 4000, 200) for one in ranked.decide_all(same[start : start + 200])]

    assert sum(one.band > 0 for one in decided) == pytest.approx(800, rel=0.15)


@pytest.mark.parametrize(
    ("rest", "share"), [({"action": "count_only"}, 0.0), ({"action": "upload_share", "share": 0.3}, 0.3)]
)
def test_the_rest_may_be_left_out(rest: dict[str, object], share: float) -> None:
    decided = policy({**RULE, "rest": rest}).decide_all(answers(1000))

    untouched = [one for one in decided if one.band == 0]
    assert sum(one.upload for one in untouched) / len(untouched) == pytest.approx(share, abs=0.05)
    assert all(one.upload for one in decided if one.band)
    assert {one.reason for one in untouched if not one.upload} == {"counted only"}


def test_what_is_left_out_does_not_depend_on_order() -> None:
    rule = {
        "capacity": {"share": 0.0},
        "audit": {"rate": 0.0, "floor": 0.0},
        "rest": {"action": "upload_share", "share": 0.5},
    }
    stream = answers(200)

    forth = {one.external_id: found.upload for one, found in zip(stream, policy(rule).decide_all(stream), strict=True)}
    back = {one.external_id: policy(rule).decide(one).upload for one in reversed(stream)}

    assert forth == back


def test_a_decision_survives_the_spool_and_kili() -> None:
    decision = policy(RULE).decide(answers(1)[0])

    assert ReviewDecision.from_bytes(decision.to_bytes()) == decision
    back = ReviewDecision.from_metadata({"other": 1, **decision.metadata()})
    assert back is not None
    assert (back.percentile, back.deviation, back.predicted) == (
        decision.percentile,
        decision.deviation,
        decision.predicted,
    )
    assert back.inclusion_probability == decision.inclusion_probability
    assert ReviewDecision.from_metadata({"other": 1}) is None


def test_verdicts_learned_from_metadata_count_the_same() -> None:
    direct, by_kili = policy(RULE), policy(RULE)
    subjects = answers(60)
    decided = direct.decide_all(subjects)
    by_kili.decide_all(subjects)
    returned = [ReviewDecision.from_metadata(one.metadata()) for one in decided]

    direct.learn(verdicts(subjects, decided, [1.0] * 60))
    by_kili.learn(verdicts(subjects, [one for one in returned if one], [1.0] * 60))

    probe = subject("probe", choice(0.8, 0.2))
    assert direct.decide(probe).error_probability == by_kili.decide(probe).error_probability


def test_decisions_of_other_policies_teach_nothing() -> None:
    ranked = policy(RULE)
    plain = ReviewDecision(9, 0, "confident", "threshold/0.8", 0.9)

    ranked.learn([Verdict("p", "m:1", plain, 1.0)])

    assert (ranked.decide(subject("x", choice(0.9, 0.1))).error_probability or 1) < 0.2


def test_no_predictions_need_no_decisions() -> None:
    assert RankedPolicy(FixedPolicy()).decide_all([]) == []
