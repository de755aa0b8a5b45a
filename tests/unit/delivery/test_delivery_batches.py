"""Batches: within count and bytes, in order, with what belongs together kept together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.in_flight import batches, grouped


def cut(groups: list[list[str]], *, count: int = 3, max_bytes: int = 100) -> list[list[str]]:
    return list(batches(groups, count=count, max_bytes=max_bytes, size=len))


def test_batches_are_filled_to_the_count() -> None:
    assert cut([["a"], ["b"], ["c"], ["d"]]) == [["a", "b", "c"], ["d"]]


def test_a_batch_ends_before_it_is_too_large() -> None:
    assert cut([["x" * 60], ["y" * 40], ["z"]]) == [["x" * 60, "y" * 40], ["z"]]


def test_a_group_stays_whole_and_one_that_is_too_large_goes_alone() -> None:
    assert cut([["a"], ["b", "c", "d"], ["e"]]) == [["a"], ["b", "c", "d"], ["e"]]
    assert cut([["a"], ["x" * 300], ["b"]]) == [["a"], ["x" * 300], ["b"]]


def test_nothing_gives_no_batch() -> None:
    assert cut([]) == []


def test_items_with_one_key_come_together_in_the_order_of_the_first() -> None:
    assert list(grouped(["a1", "b1", "a2"], key=lambda one: one[0])) == [["a1", "a2"], ["b1"]]
    assert list(grouped(["a1", "b1"], key=lambda one: one[0])) == [["a1"], ["b1"]]


@given(st.lists(st.lists(st.text(max_size=40), min_size=1, max_size=3)), st.integers(3, 8), st.integers(120, 300))
def test_nothing_is_lost_and_no_batch_is_over_its_limits(groups: list[list[str]], count: int, most: int) -> None:
    found = cut(groups, count=count, max_bytes=most)
    assert [item for batch in found for item in batch] == [item for group in groups for item in group]
    assert all(len(batch) <= count and sum(map(len, batch)) <= most for batch in found)
