from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.kili.ids import derived_asset_id


@pytest.mark.parametrize(
    ("project_id", "external_id", "expected"),
    [
        ("clx0project", "cam-3/000123.jpg", "c1133pp5cvv8g65ehjbtiw8qp"),
        ("clx0project", "", "c18uv1cpakslstmh6cxlbjfht"),
        ("clx0project", "naïve ☃ 图像", "cxuc23jn5i7mdgozb0gzyj9oa"),
    ],
)
def test_ids_are_the_same_for_ever(project_id: str, external_id: str, expected: str) -> None:
    assert derived_asset_id(project_id, external_id) == expected


@given(st.text(), st.text())
def test_every_id_has_the_form_that_kili_is_known_to_keep(project_id: str, external_id: str) -> None:
    assert re.fullmatch(r"c[0-9a-z]{24}", derived_asset_id(project_id, external_id))


def test_a_lone_surrogate_has_an_id() -> None:
    assert len(derived_asset_id("p", "\ud800")) == 25


def test_pairs_that_concatenate_to_the_same_text_differ() -> None:
    assert derived_asset_id("ab", "c") != derived_asset_id("a", "bc")
    assert derived_asset_id("", "abc") != derived_asset_id("abc", "")


def test_ids_spread_evenly_over_all_digits() -> None:
    ids = [derived_asset_id("project", f"image-{number}") for number in range(20_000)]
    assert len(set(ids)) == len(ids)
    for position in (1, 12, 24):
        counts = Counter(asset_id[position] for asset_id in ids)
        assert len(counts) == 36
        assert max(counts.values()) < 2 * min(counts.values())
