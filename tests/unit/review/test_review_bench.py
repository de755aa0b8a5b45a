"""The review bench on queues that are not in the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.review.loop import run
from benchmarks.review.queues import SIZE, queues, stream
from benchmarks.review.rules import RULES


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two models on three classes; the surer one is wrong more often, and always about class 1."""
    random = np.random.default_rng(3)
    arrays = {}
    for number, sharpness in enumerate((2.0, 12.0)):
        probabilities = random.dirichlet(np.ones(3), 1000) ** sharpness
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        wrong = random.random(1000) < (0.05 if number == 0 else np.where(probabilities.argmax(axis=1) == 1, 0.5, 0.0))
        arrays[f"mine/model-{number}/probabilities"] = probabilities.astype("f4")
        arrays[f"mine/model-{number}/wrong"] = wrong
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    return path


def test_queues_of_ones_own_run_through_the_workers_classes(data: Path) -> None:
    windows = stream("mine", 5, data=data)

    found = {
        rule: run(RULES[rule](), windows, 5, len(windows) // 2) for rule in ("least confidence", "worker", "oracle")
    }

    assert [len(window) for window in windows] == [SIZE] * 10
    assert found["oracle"].share() == 1
    assert found["worker"].late > 1.3 * found["least confidence"].late


def test_a_redeployed_model_says_the_same_with_more_confidence(data: Path) -> None:
    plain, redeployed = (stream("mine", 5, redeploy=one, data=data) for one in (False, True))

    assert [one.wrong for window in plain for one in window] == [one.wrong for window in redeployed for one in window]
    before, after = (
        [
            one.confidence - two.confidence
            for x, y in zip(redeployed[part], plain[part], strict=True)
            for one, two in zip(x, y, strict=True)
        ]
        for part in (slice(5), slice(5, None))
    )
    assert not any(before)
    assert min(after) >= 0 < max(after)


def test_a_file_without_queues_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", probabilities=np.ones((2, 2)))

    with pytest.raises(ValueError, match="no array is named queue/model/probabilities"):
        queues(tmp_path / "other.npz")
