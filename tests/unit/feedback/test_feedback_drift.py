"""Three detectors, what each of them notices, and alarms that do not repeat themselves."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from statistics import pvariance

import pytest

from worker.feedback.drift import DriftWatch, State, watch
from worker.statistics.detectors import AccuracyFell, ScoresChanged, WorseThanConfidence, smirnov
from worker.statistics.samples import Sample
from worker.statistics.windows import (
    SETTLING_SECONDS,
    SWING,
    Bets,
    Patience,
    displaced,
    error_scores,
    window_end,
    windows_of,
)


def stream(
    count: int, error: Callable[[int], float], *, seed: int = 0, confidence: Callable[[int], float] | None = None
) -> list[tuple[Sample, float | None]]:
    """Audits alone, each answered; P(error) says 10 %."""
    dice = random.Random(seed)
    found = []
    for number in range(count):
        wrong = float(dice.random() < error(number))
        score = dice.betavariate(8, 2) if confidence is None else confidence(number) + 0.1 * dice.random()
        chosen = Sample(f"a{number:06d}", float(number), audited=True, inclusion=1.0, p_error=0.1, error=wrong)
        found.append((chosen, score))
    return found


def look(samples: list[tuple[Sample, float | None]], **options):
    options = {"overdue_before": 1e12, "acknowledged": {}, "run_length": 10_000.0, "size": 50, **options}
    return watch("m:1", samples, **options)


def test_a_fall_of_the_accuracy_raises_one_alarm_and_says_since_when() -> None:
    found = look(stream(4000, lambda n: 0.05 if n < 2000 else 0.2))

    (alarm,) = [one for one in found.alarms if one.detector == AccuracyFell.name]
    assert 2000 <= alarm.at < 2150
    assert 1900 <= alarm.since <= 2060
    assert alarm.id == "accuracy_fell/m:1/1"
    assert found.states[AccuracyFell.name] is State.RAISED


def test_a_model_that_stays_as_it_is_raises_none() -> None:
    found = look(stream(6000, lambda _: 0.1, seed=3), run_length=100_000.0)

    assert found.alarms == []
    assert set(found.states.values()) == {State.QUIET}


def test_an_acknowledged_detector_learns_the_new_level_and_watches_on() -> None:
    samples = stream(9000, lambda n: 0.05 if n < 2000 else 0.2 if n < 6000 else 0.45, seed=1)

    found = look(samples, acknowledged={AccuracyFell.name: [2500.0]})

    alarms = [one for one in found.alarms if one.detector == AccuracyFell.name]
    assert [one.acknowledged_at for one in alarms] == [2500.0, None]
    assert 6000 <= alarms[1].at < 6200
    assert alarms[1].id == "accuracy_fell/m:1/2"


def test_a_model_that_is_worse_than_its_p_error_is_noticed_without_a_history() -> None:
    found = look(stream(400, lambda _: 0.3))

    assert [one.detector for one in found.alarms] == [WorseThanConfidence.name]


def test_changed_scores_are_noticed_without_any_answer() -> None:
    samples = stream(3000, lambda _: 0.1, confidence=lambda n: 0.8 if n < 2000 else 0.6)
    blank = [(Sample(one.asset_id, one.at), score) for one, score in samples]

    found = look(blank, run_length=1e6)

    (alarm,) = found.alarms
    assert alarm.detector == ScoresChanged.name
    assert 2000 <= alarm.at < 2100


def test_unchanged_scores_hide_errors_from_the_detector_of_scores() -> None:
    found = look(stream(4000, lambda n: 0.1 if n < 2000 else 0.5, confidence=lambda _: 0.9), run_length=1e6)

    assert ScoresChanged.name not in {one.detector for one in found.alarms}


def test_an_audit_that_may_still_be_answered_stops_the_clock() -> None:
    samples = stream(3000, lambda n: 0.05 if n < 2000 else 0.3)
    waiting = Sample("a001500", 1500.0, audited=True, inclusion=1.0, p_error=0.1)
    samples[1500] = (waiting, 0.9)

    assert look(samples, overdue_before=1000.0).alarms == []
    assert look(samples, overdue_before=1600.0).alarms != []


def test_a_window_whose_audits_all_stayed_without_an_answer_is_left_out() -> None:
    samples = [(Sample(f"a{n}", float(n), audited=n % 10 == 0, inclusion=0.1), None) for n in range(100)]
    (window,) = windows_of(samples, overdue_before=1e12, size=100)

    detector = AccuracyFell()
    detector.update(window)

    assert not window.counts
    assert detector.old.count == 0
    assert detector.recent == []


def test_the_mean_of_the_scores_is_the_error_rate_whoever_was_reviewed() -> None:
    """Ten times the reviewers: the weights shrink, and the mean stays."""
    means = []
    for share in (0.05, 0.5):
        dice = random.Random(7)
        total = 0.0
        samples = []
        for number in range(20_000):
            doubt = dice.random() ** 3
            wrong = dice.random() < doubt
            audited = dice.random() < 0.05
            answered = audited or doubt > (1 - share) ** 3
            samples.append(
                Sample(f"{number:06d}", float(number), audited=audited, inclusion=0.05, doubt=doubt, p_error=doubt,
                     error=float(wrong) if answered else None)
            )  # fmt: skip
        for window in windows_of(((one, None) for one in samples), overdue_before=1e12):
            total += sum(error_scores(window)[0])
        means.append(total / 20_000)

    assert means[0] == pytest.approx(0.25, abs=0.02)
    assert means[1] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("kind", [AccuracyFell, WorseThanConfidence, ScoresChanged])
def test_a_detector_goes_on_from_its_state_as_if_it_had_never_stopped(kind) -> None:
    samples = stream(3000, lambda n: 0.1 if n < 2000 else 0.3, confidence=lambda n: 0.8 if n < 2000 else 0.7)
    windows = windows_of(samples, overdue_before=1e12, size=50)
    through, first = kind(run_length=5000.0), kind(run_length=5000.0)
    expected = [through.update(window) for window in windows]
    found = [first.update(window) for window in windows[:20]]

    second = kind.restore(json.loads(json.dumps(first.state())))
    found += [second.update(window) for window in windows[20:]]

    assert found == expected
    assert second.state() == through.state()


def test_the_state_is_a_few_numbers() -> None:
    detector = AccuracyFell()
    for window in windows_of(stream(5000, lambda _: 0.1), overdue_before=1e12):
        detector.update(window)

    assert len(json.dumps(detector.state())) < 1500


def test_stored_p_error_makes_the_scores_less_noisy_and_their_fall_is_bounded() -> None:
    spreads = []
    for known in (False, True):
        dice = random.Random(8)
        samples = []
        for number in range(5000):
            doubt = 0.4 * dice.random()
            audited = dice.random() < 0.05
            error = float(dice.random() < doubt) if audited else None
            samples.append(
                Sample(f"{number:06d}", float(number), audited, 0.05, doubt, doubt if known else None, error)
            )
        windows = windows_of(((one, None) for one in samples), overdue_before=1e12)
        found = [error_scores(window) for window in windows]
        spreads.append(pvariance(score for scores, _ in found for score in scores))
        assert all(min(scores) >= -floor for scores, floor in found)
        assert all((floor > 0) == known and floor <= 1.5 * SWING for _, floor in found)

    assert spreads[1] < 0.9 * spreads[0]


def test_no_score_takes_all_of_a_bet() -> None:
    bets = Bets()
    bets.set_odds(0.05, 0.06)
    bets.play([20.0] * 3, [0.0] * 3, 1e9, floor=6.0)
    before = list(bets.capitals)

    bets.play([-6.0], [1.0], 1e9, floor=6.0)

    pairs = zip(bets.capitals, before, strict=True)
    assert all(0.099 * (1 + old) <= new < 1 + old for new, old in pairs)


def test_the_p_value_of_kolmogorov_and_smirnov() -> None:
    """At the asymptotic 5 % point 1.358 / sqrt(n), for large samples."""
    assert smirnov(1.358 / 1000**0.5, 2000, 2000) == pytest.approx(0.05, abs=0.003)
    assert smirnov(0.0, 100, 100) == 1.0
    assert smirnov(1.0, 100, 100) < 1e-12


def test_windows_are_full_and_in_the_order_of_time() -> None:
    samples = stream(130, lambda _: 0.1)

    windows = windows_of(random.Random(1).sample(samples, 130), overdue_before=1e12, size=50)

    assert [len(window.samples) for window in windows] == [50, 50]
    assert [window.samples[0].at for window in windows] == [0.0, 50.0]


def calm_with_a_backlog(count: int, backlog: range, *, until: int | None = None) -> list[tuple[Sample, float | None]]:
    """A model as sure and as right as ever; what was predicted in a time came to Kili after it, the unsure first."""
    dice = random.Random(4)
    found = []
    for number in range(count if until is None else until):
        score = dice.choices((0.99, 0.95, 0.9, 0.7, 0.5), (40, 30, 15, 10, 5))[0]
        wrong = float(dice.random() < 1 - score)
        taken = backlog.stop - score if number in backlog else float(number)
        asset = f"a{number:06d}"
        found.append((Sample(asset, float(number), True, 1.0, 1 - score, 1 - score, wrong, uploaded_at=taken), score))
    return found


def test_a_backlog_that_comes_with_the_unsure_first_is_no_drift() -> None:
    found = look(calm_with_a_backlog(6000, range(3000, 4000)), run_length=140_000.0, size=250)

    assert found.alarms == []
    assert found.states[ScoresChanged.name] is State.QUIET


def test_a_backlog_does_not_hide_that_the_scores_have_changed() -> None:
    samples = calm_with_a_backlog(6000, range(3000, 4000))
    changed = [(one, score - 0.2 if one.at >= 3500 and score else score) for one, score in samples]

    found = look(changed, run_length=140_000.0, size=250)

    assert [one.detector for one in found.alarms] == [ScoresChanged.name]
    assert 3500 <= found.alarms[0].at < 4300


def test_places_that_do_not_fit_are_counted_for_each_beginning() -> None:
    assert displaced([]) == [0]
    assert displaced([1.0, 2.0, 3.0]) == [0, 0, 0, 0]
    assert displaced([5.0, 5.0, 5.0]) == [0, 0, 0, 0]
    assert displaced([3.0, 1.0, 2.0, 4.0]) == [0, 1, 1, 0, 0]
    times = [random.Random(1).random() for _ in range(60)]
    random.Random(2).shuffle(times)
    for count, strangers in enumerate(displaced(times)):
        first = sorted(range(60), key=lambda place: times[place])[:count]
        assert strangers == len(set(range(count)) - set(first))


def test_a_window_ends_where_few_belong_to_a_later_one() -> None:
    in_order = displaced([float(n) for n in range(100)])
    assert window_end(in_order, 0, 50) == 50
    assert window_end(in_order, 60, 50) is None
    backwards = displaced(
        [*map(float, range(40)), *(float(n) for n in range(200, 100, -1)), *map(float, range(201, 300))]
    )
    assert window_end(backwards, 0, 50) == 140
    late = displaced([*map(float, range(1, 100)), 0.5, *map(float, range(100, 200))])
    assert window_end(late, 0, 50) == 50, "a single late one keeps nobody waiting"


def test_what_kili_has_just_taken_may_lack_what_was_sent_with_it() -> None:
    """A look in the midst of a wave: of 900 predictions Kili has the unsure ones, and the others a moment later."""
    samples = calm_with_a_backlog(3900, range(3000, 3900))
    in_the_midst = sorted(samples, key=lambda pair: pair[0].place)[:3300]
    one = DriftWatch("m:1")
    alarms = one.look(in_the_midst, Patience.at(3900.0, 0.0), {}, run_length=140_000.0)
    assert alarms == []
    assert one.progress[ScoresChanged.name].place[0] < 3000.0

    assert one.look(samples, Patience.at(3900.0 + SETTLING_SECONDS, 0.0), {}, run_length=140_000.0) == []
    assert one.progress[ScoresChanged.name].place[0] > 3899.0
