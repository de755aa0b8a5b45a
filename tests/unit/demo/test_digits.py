"""The demo's data are whole, and what the file says about its models is what its numbers say."""

from __future__ import annotations

from importlib import resources
from statistics import fmean

import pytest

from worker.demo.plan import CLASS_NAMES, Digits, load_digits

IMAGES_PER_DIGIT = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
"""As the source's own description counts the test part."""


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


def test_every_image_has_64_pixels_and_a_label(digits: Digits) -> None:
    assert len(digits.images) == len(digits.labels) == 1797
    assert {len(image) for image in digits.images} == {64}
    assert {ink for image in digits.images for ink in image} == set(range(17))


def test_the_labels_are_those_of_the_source(digits: Digits) -> None:
    assert [digits.labels.count(digit) for digit in range(10)] == IMAGES_PER_DIGIT
    assert digits.labels[:10] == list(range(10))


def test_the_first_image_is_a_zero_around_empty_paper(digits: Digits) -> None:
    assert list(digits.images[0][:16]) == [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]


def test_the_pixels_tell_the_digits_apart(digits: Digits) -> None:
    """Each image's nearest other image has the same label in nearly all cases, so images and labels belong together."""
    sample = range(0, 1797, 60)
    hits = [digits.labels[_nearest(digits.images, index)] == digits.labels[index] for index in sample]

    assert fmean(hits) > 0.9


def _nearest(images: list[bytes], index: int) -> int:
    def distance(other: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(images[index], images[other], strict=True))

    return min((other for other in range(len(images)) if other != index), key=distance)


def test_there_are_four_models_with_a_distribution_per_image(digits: Digits) -> None:
    assert set(digits.models) == set(digits.facts) == {"logistic", "network", "bayes", "smoothed"}
    for rows in digits.models.values():
        assert len(rows) == 1797
        assert {len(row) for row in rows} == {len(CLASS_NAMES)}
        assert all(sum(row) == pytest.approx(1, abs=0.01) and min(row) >= 0 for row in rows)


@pytest.mark.parametrize("name", ["logistic", "network", "bayes", "smoothed"])
def test_the_facts_are_what_the_probabilities_say(digits: Digits, name: str) -> None:
    rows = digits.models[name]
    wrong = [row.index(max(row)) != label for row, label in zip(rows, digits.labels, strict=True)]

    assert digits.facts[name].error_rate == pytest.approx(fmean(wrong), abs=1e-6)
    assert digits.facts[name].mean_confidence == pytest.approx(fmean(map(max, rows)), abs=1e-6)


def test_the_models_differ_in_quality_and_honesty(digits: Digits) -> None:
    facts = digits.facts
    overconfidence = {name: fact.mean_confidence - (1 - fact.error_rate) for name, fact in facts.items()}

    assert facts["network"].error_rate < facts["logistic"].error_rate < facts["bayes"].error_rate
    assert overconfidence["logistic"] < 0 < overconfidence["network"] < overconfidence["bayes"]
    assert overconfidence["bayes"] > 0.1


def test_the_smoothed_model_is_the_better_one_and_as_certain(digits: Digits) -> None:
    better, before = digits.facts["smoothed"], digits.facts["bayes"]

    assert better.error_rate < before.error_rate / 2
    assert better.mean_confidence == pytest.approx(before.mean_confidence, abs=0.01)


def test_every_zero_is_there_struck_through_with_more_ink_than_before(digits: Digits) -> None:
    struck = digits.struck

    assert [digits.labels[place] for place in struck.places] == [0] * IMAGES_PER_DIGIT[0]
    for place, image in zip(struck.places, struck.images, strict=True):
        original = digits.images[place]
        assert all(after in (before, 16) for before, after in zip(original, image, strict=True))
        assert image != original


def test_no_struck_zero_is_read_as_one_and_the_model_is_certain(digits: Digits) -> None:
    rows = digits.struck.probabilities

    assert len(rows) == len(digits.struck.places)
    assert max(row[0] for row in rows) < 0.5
    assert fmean(map(max, rows)) > 0.99


def test_the_file_is_small_enough_to_ship() -> None:
    assert len(resources.files("worker.demo").joinpath("digits.json").read_bytes()) < 400_000
