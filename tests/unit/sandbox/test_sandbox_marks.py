"""The marks of human labels: two rules over one agreement."""

from __future__ import annotations

import pytest

from tests.unit.sandbox.scene import Scene

MARKS = "query ($where: LabelWhere!) { labels(where: $where, first: 100, skip: 0) { labelType inferenceMark } }"


def mark(rule: str, human: str, model: str) -> float:
    scene = Scene(agreement=rule)
    asset_ids = scene.add("a")
    scene.label(asset_ids, [model], "INFERENCE", model="m")
    scene.label(asset_ids, [human])
    labels = scene.call(MARKS, where={"project": {"id": scene.project_id}})["labels"]
    [found] = [label["inferenceMark"] for label in labels if label["labelType"] == "DEFAULT"]
    return float(found)


@pytest.mark.parametrize(
    ("rule", "model", "expected"),
    [("documented", "RED", 1.0), ("documented", "BLUE", 0.0), ("tutorial", "RED", 1.0), ("tutorial", "BLUE", 0.5)],
)
def test_the_tutorial_counts_half_a_vote_for_a_wrong_class(rule: str, model: str, expected: float) -> None:
    assert mark(rule, "RED", model) == expected
