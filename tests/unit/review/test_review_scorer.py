"""The stronger scorer's place: on where numpy is, off where it is not wanted or not there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.review.review_subjects import choice, policy, subject
from worker.review import Subject, Verdict, WatchedPolicy
from worker.review.policy import RankedPolicy

GUIDE = Path(__file__).parents[3] / "docs" / "review.md"
RULE = {"capacity": {"share": 0.2}, "audit": {"rate": 0.05}}
WITHOUT_NUMPY = "import sys; sys.modules['numpy'] = None\n"


def stream(start: int = 0, model: str = "m:1") -> list[Subject]:
    """One hundred predictions of A; the runner-up, which the score does not show, is B or C in turn."""
    doubts = [0.05 + 0.004 * (i * 37 % 100) for i in range(100)]
    scores = [(1 - d, d * 0.9, d * 0.1) if i % 2 else (1 - d, d * 0.1, d * 0.9) for i, d in enumerate(doubts)]
    return [subject(f"a{start + i}", choice(*one), model=model) for i, one in enumerate(scores)]


def taught(ranked: RankedPolicy) -> RankedPolicy:
    """Every prediction with runner-up B was wrong."""
    for start in (0, 100):
        subjects = stream(start)
        decided = ranked.decide_all(subjects)
        ranked.learn(
            Verdict("p", "m:1", decision, float(decision.runner_up == "B"), one.external_id)
            for one, decision in zip(subjects, decided, strict=True)
        )
    return ranked


def gap(ranked: RankedPolicy, model: str = "m:1") -> float:
    """How much more probable an error is with runner-up B."""
    wrong, right = (choice(0.7, 0.27, 0.03), choice(0.7, 0.03, 0.27))
    first, second = ranked.decide_all([subject("x", wrong, model=model), subject("y", right, model=model)])
    return (first.error_probability or 0.0) - (second.error_probability or 0.0)


def run_guide(prelude: str = "") -> str:
    """The block of Python in the guide, in an interpreter of its own; what it prints."""
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert found
    code = f"{prelude}{found[1]}\nprint([round(one.error_probability, 3) for one in policy.decide_all(subjects)])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_scorer_is_on_by_default_and_sees_more() -> None:
    assert gap(taught(policy(RULE))) > gap(taught(policy(RULE, scoring="off"))) + 0.05


def test_a_new_version_of_a_model_starts_from_what_was_learned_about_the_last() -> None:
    ranked = taught(policy(RULE))

    assert gap(ranked, "m:2") > 0.5 * gap(ranked)
    assert gap(ranked, "other:1") == pytest.approx(0, abs=0.02)


def test_the_policy_file_switches_the_scorer_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"scorer": "automatic"}')
    now = [0.0]
    ranked = taught(RankedPolicy(WatchedPolicy(path, clock=lambda: now[0])))
    on = gap(ranked)

    path.write_text('{"scorer": "off"}')
    now[0] = 10.0
    off = gap(ranked)
    path.write_text('{"scorer":  "automatic"}')
    now[0] = 20.0

    assert off < on - 0.05
    assert gap(ranked) == pytest.approx(on, abs=0.02)


@pytest.mark.parametrize("prelude", ["", WITHOUT_NUMPY])
def test_the_calls_of_the_guide_work_as_they_stand(prelude: str) -> None:
    chances = [float(one) for one in run_guide(prelude).strip().strip("[]").split(",")]

    assert len(chances) == 2
    assert all(0 < one < 1 for one in chances)


def test_without_numpy_the_calibration_learns_alone() -> None:
    code = f"""{WITHOUT_NUMPY}
from tests.unit.review.test_review_scorer import RULE, gap, policy, taught
print(gap(taught(policy(RULE))), gap(taught(policy(RULE, scoring="off"))))
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=GUIDE.parents[1]
    ).stdout
    automatic, off = map(float, printed.split())

    assert automatic == off > 0.1
