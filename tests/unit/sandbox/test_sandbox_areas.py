"""Overlaps of drawn areas, exact where it can be told on paper."""

from __future__ import annotations

import pytest

from worker.sandbox.responses.annotations import paired
from worker.sandbox.responses.shapes import around, overlap

UNIT = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
TRIANGLE = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]


def moved(ring: list[tuple[float, float]], x: float, y: float, scale: float = 1.0) -> list[tuple[float, float]]:
    return [(x + scale * px, y + scale * py) for px, py in ring]


@pytest.mark.parametrize(
    ("one", "other", "common", "total"),
    [
        ([[UNIT]], [[UNIT]], 1, 1),
        ([[UNIT]], [[moved(UNIT, 0.5, 0)]], 0.5, 1.5),
        ([[UNIT]], [[moved(UNIT, 2, 0)]], 0, 2),
        ([[UNIT]], [[TRIANGLE]], 0.5, 1),
        ([[TRIANGLE]], [[[(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]]], 0, 1),
        ([[TRIANGLE]], [[[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]]], 0.25, 0.75),
        ([[UNIT, moved(UNIT, 0.25, 0.25, 0.5)]], [[UNIT]], 0.75, 1),
        ([[UNIT], [moved(UNIT, 0.5, 0)]], [[UNIT], [moved(UNIT, 0.5, 0)]], 1.5, 1.5),
        ([], [[UNIT]], 0, 1),
    ],
)
def test_intersections_and_unions(one: list, other: list, common: float, total: float) -> None:
    assert overlap(one, other) == pytest.approx((common, total))
    assert overlap(other, one) == pytest.approx((common, total))


def test_a_ring_with_itself_is_exactly_itself() -> None:
    ring = [(0.1, 0.2), (0.7, 0.30000000000000004), (0.61, 0.9), (0.33, 0.47), (0.12, 0.8)]
    common, total = overlap([[ring]], [[ring[::-1]]])
    assert common == total > 0


def test_corners_in_any_order_make_one_box() -> None:
    crossed = [UNIT[0], UNIT[2], UNIT[1], UNIT[3]]
    assert overlap([[around(crossed)]], [[UNIT]]) == pytest.approx((1, 1))


def test_the_most_alike_are_paired_first_and_leftovers_count() -> None:
    alike = {("a", "x"): 0.9, ("a", "y"): 0.8, ("b", "x"): 0.85}
    assert paired(["a", "b"], ["x", "y", "z"], lambda one, other: alike.get((one, other), 0.0)) == (0.9, 4)
