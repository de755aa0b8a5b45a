"""From percentiles and verdicts to probabilities of an error."""

from __future__ import annotations

import json
import math
import random

import pytest

from worker.review.calibration import KEPT_EXAMPLES, Calibration, Example, Features, fit, probability
from worker.review.expected_errors import EMPTY


def examples(
    count: int, *, intercept: float = -2.0, slope: float = 1.0, harder: float = 0.0, seed: int = 1
) -> list[Example]:
    """Verdicts of a model whose class C is harder than its score says."""
    source = random.Random(seed)
    found = []
    for _ in range(count):
        share, name = source.uniform(0.001, 0.999), source.choice("ABC")
        z = intercept + slope * math.log(share / (1 - share)) + harder * (name == "C")
        found.append(Example(Features(share, 0.0, name, "B"), float(source.random() < probability(z))))
    return found


def at(percentile: float, name: str = "A") -> Features:
    return Features(percentile, 0.0, name, "B")


def test_without_verdicts_the_percentile_orders() -> None:
    found = [Calibration().error_probability(at(share)) for share in (0.01, 0.3, 0.5, 0.9, 0.999)]

    assert found == sorted(found)
    assert all(0 < one < 1 for one in found)


def test_many_verdicts_find_the_truth() -> None:
    found = fit(examples(KEPT_EXAMPLES, intercept=-1.0, slope=1.4, harder=1.5))

    for share in (0.2, 0.5, 0.8):
        z = -1.0 + 1.4 * math.log(share / (1 - share))
        assert found.error_probability(at(share)) == pytest.approx(probability(z), abs=0.07)
        assert found.error_probability(at(share, "C")) == pytest.approx(probability(z + 1.5), abs=0.07)


def test_a_verdict_moves_the_probability_and_none_makes_it_jump() -> None:
    stream = examples(400, intercept=-1.0, slope=1.2, harder=1.0)
    before, steps, calibration = Calibration(), [], None
    for count in range(1, len(stream) + 1):
        calibration = fit(stream[:count], start=calibration)
        steps.append(
            max(abs(calibration.error_probability(at(q)) - before.error_probability(at(q))) for q in (0.5, 0.9))
        )
        before = calibration

    assert 0 < max(steps) < 0.4
    assert max(steps[25:]) < 0.06


def log_loss(calibration: Calibration, stream: list[Example]) -> float:
    chances = [calibration.error_probability(one.features) for one in stream]
    return -sum(math.log(p if one.wrong else 1 - p) for p, one in zip(chances, stream, strict=True)) / len(stream)


def test_twenty_five_verdicts_already_help() -> None:
    unseen = examples(2000, intercept=0.5, slope=1.3, seed=99)

    gains = [
        log_loss(Calibration(), unseen) - log_loss(fit(examples(25, intercept=0.5, slope=1.3, seed=seed)), unseen)
        for seed in range(10)
    ]

    assert min(gains) > 0


def test_a_class_seen_twice_is_hardly_moved() -> None:
    rare = [Example(Features(0.5, 0.0, "RARE"), 1.0)] * 2

    found = fit(examples(200) + rare)

    assert abs(found.classes["RARE"]) < 0.6


def test_an_empty_prediction_soon_has_a_rate_of_its_own() -> None:
    empty = [Example(Features(None, None, EMPTY), 1.0)] * 10

    found = fit(examples(200) + empty)

    assert found.error_probability(Features(None, None, EMPTY)) > 0.5
    assert found.error_probability(at(0.5)) < 0.3


def test_where_a_fit_begins_does_not_change_its_end() -> None:
    stream = examples(500, harder=1.0)
    far = Calibration((3.0, -1.0, 2.0), {"A": 2.0, "Z": 1.0}, {"B": -2.0}, 5)

    cold, warm = fit(stream), fit(fit_twice := stream, start=fit(fit_twice, start=far))

    assert warm.numbers == pytest.approx(cold.numbers, abs=0.05)
    assert warm.classes["C"] == pytest.approx(cold.classes["C"], abs=0.05)


def test_a_new_version_starts_where_the_last_one_ended() -> None:
    learned = fit(examples(800, intercept=0.0, harder=2.0))

    inherited = fit([Example(at(0.5), 1.0)], inherited=learned)

    assert inherited.error_probability(at(0.5, "C")) == pytest.approx(learned.error_probability(at(0.5, "C")), abs=0.1)


def test_partly_wrong_answers_count_in_part() -> None:
    halves = [Example(at(0.5), 0.5)] * 300

    assert fit(halves).error_probability(at(0.5)) == pytest.approx(0.5, abs=0.05)


def test_only_the_newest_verdicts_count() -> None:
    old = [Example(at(0.5), 1.0)] * 1000
    new = [Example(at(0.5), 0.0)] * KEPT_EXAMPLES

    assert fit(old + new).numbers == fit(new).numbers


def test_extreme_percentiles_stay_finite() -> None:
    found = fit([Example(Features(share, 4.0, "A"), 1.0) for share in (0.0, 1.0)] * 20)

    assert all(map(math.isfinite, found.numbers))
    assert 0 < found.error_probability(Features(1.0, 4.0, "A")) < 1


def test_a_fit_survives_json() -> None:
    found = fit(examples(50))

    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_an_example_survives_json() -> None:
    example = Example(Features(0.25, None, "Ä", ""), 0.5)

    assert Example.from_list(json.loads(json.dumps(example.to_list()))) == example
