"""The search by category."""

from __future__ import annotations

from typing import Any

import pytest

from worker.sandbox.resolvers.conditions import SearchError, category_search

RESPONSE: dict[str, Any] = {
    "COLOUR": {"categories": [{"name": "RED", "children": {"SHADE": {"categories": [{"name": "DARK"}]}}}]},
    "CARS": {
        "annotations": [
            {"categories": [{"name": "VAN"}], "children": {"DOORS": {"categories": [{"name": "FOUR"}]}}},
            {"categories": [{"name": "VAN"}], "children": {}},
            {"categories": [{"name": "BUS"}]},
        ]
    },
    "NOTE": {"text": "RED"},
}


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("COLOUR.RED.count > 0", True),
        ("COLOUR.GREY.count == 0", True),
        ("COLOUR.RED.count >= 2", False),
        ("CARS.VAN.count == 2", True),
        ("CARS.VAN.count < 2", False),
        ("CARS.*.count == 3", True),
        ("SHADE.DARK.count == 1", True),
        ("DOORS.FOUR.count <= 1", True),
        ("COLOUR.GREY.count > 0 OR CARS.BUS.count > 0", True),
        ("COLOUR.RED.count > 0 AND CARS.BUS.count > 1", False),
        ("COLOUR.RED.count > 0 OR COLOUR.RED.count > 0 AND CARS.BUS.count > 1", True),
        ("(COLOUR.RED.count > 0 OR COLOUR.RED.count > 0) AND CARS.BUS.count > 1", False),
    ],
)
def test_searches_count_categories_by_job(search: str, expected: bool) -> None:
    assert category_search(search)(RESPONSE) is expected


@pytest.mark.parametrize(
    "search",
    [
        "",
        "RED",
        "COLOUR.RED.count",
        "COLOUR.RED.count > ",
        "COLOUR.RED.count > 1 AND",
        "(COLOUR.RED.count > 1",
        ")",
    ],
)
def test_what_is_no_search_is_refused(search: str) -> None:
    with pytest.raises(SearchError):
        category_search(search)
