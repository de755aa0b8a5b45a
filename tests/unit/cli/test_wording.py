"""Numbers of things are said as people say them."""

from __future__ import annotations

import pytest

from worker.cli.running import count_of


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 dead letters"), (1, "1 dead letter"), (2, "2 dead letters"), (21, "21 dead letters")]
)
def test_one_thing_is_said_in_the_singular(count: int, words: str) -> None:
    assert count_of(count, "dead letter") == words
