"""docs/ontology.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.ontology import CAUSES
from worker.ontology.agreement_measures import LINES, SAMPLES, SIZE_OF_A_POINT, SPREAD, point_similarity
from worker.ontology.agreement_objects import KINDS
from worker.ontology.compose_classification import MOST_A_ROW_MAY_SUM_TO
from worker.ontology.validate import CHECKS

PAGE = Path(__file__).parents[3].joinpath("docs", "ontology.md").read_text(encoding="utf-8")
ROWS = [re.findall(r"`([^`]+)`", line.split("|")[1]) for line in PAGE.splitlines() if line.startswith("| `")]
FIRST_COLUMN = [name for row in ROWS for name in row]


def test_every_cause_is_explained_once_and_in_order() -> None:
    assert [name for name in FIRST_COLUMN if name.islower()] == list(CAUSES)


def test_every_task_that_is_validated_has_a_row() -> None:
    assert {name for name in FIRST_COLUMN if name.isupper()} == set(CHECKS)


@pytest.mark.parametrize("tool", KINDS)
def test_every_tool_has_a_row(tool: str) -> None:
    assert f"| `OBJECT_DETECTION` | `{tool}` |" in PAGE


def test_the_figures_are_the_codes() -> None:
    near, far = (point_similarity((0.0, 0.0), (distance, 0.0)) for distance in (0.01, 0.05))
    for figure in (
        f"at least {LINES} scan lines",
        f"`k` = {SPREAD}",
        f"`s` = {SIZE_OF_A_POINT} of the image",
        f"1 % apart is {near:.2f} and 5 % is {far:.2f}",
        f"compared at {SAMPLES} points",
        f"more than\n  {MOST_A_ROW_MAY_SUM_TO} are no single choice",
    ):
        assert figure in PAGE
