"""The stronger scorer."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from tests.unit.review.review_subjects import choice, policy, subject
from worker.review import Subject, Verdict
from worker.review.calibration import Calibration, Example, Features
from worker.review.decision import ScoreSource
from worker.review.kernel import KernelScorer
from worker.review.vectors import MemoryVectors, Row, Vectors, vectors_of

RULE = {"capacity": {"share": 0.2}, "audit": {"rate": 0.05}}
SOURCE = ScoreSource("p", "", "m:1")


def place(source: random.Random) -> list[float]:
    return [source.gauss(0, 1) for _ in range(6)]


def beyond(embedding: list[float]) -> bool:
    """Where the model of these tests is wrong: a region that its scores do not show."""
    return embedding[0] > 0.6


def precision(embed: Callable[[list[float], random.Random], list[float] | None], *, scorer: str = "automatic") -> float:
    """Share of errors among the twelve most doubtful of each later batch, after learning from all earlier batches."""
    source = random.Random(8)
    ranked = policy(RULE, scoring=scorer)
    found = []
    for batch in range(4):
        places = [place(source) for _ in range(60)]
        doubts = [source.uniform(0.05, 0.45) for _ in places]
        subjects = [
            subject(f"{batch}-{i}", choice(1 - doubt, doubt), embedding=embed(where, source))
            for i, (where, doubt) in enumerate(zip(places, doubts, strict=True))
        ]
        decided = ranked.decide_all(subjects)
        order = sorted(range(60), key=lambda i: -(decided[i].error_probability or 0.0))
        if batch >= 2:
            found.append(sum(beyond(places[i]) for i in order[:12]) / 12)
        ranked.learn(
            Verdict("p", "m:1", decided[i], float(beyond(places[i])), subjects[i].external_id) for i in range(60)
        )
    return sum(found) / len(found)


def test_a_region_of_errors_is_found_by_the_embedding() -> None:
    blind = precision(lambda where, _: where, scorer="off")
    seeing = precision(lambda where, _: where)

    assert blind < 0.5
    assert seeing > 0.8


def test_an_embedding_that_says_nothing_costs_nothing() -> None:
    plain = precision(lambda _, __: None)
    noise = precision(lambda _, source: place(source))

    assert noise > plain - 0.1


def test_without_verdicts_nothing_is_corrected() -> None:
    scorer = KernelScorer()

    assert scorer.corrections(SOURCE, [subject("a", choice(0.9, 0.1))], ["A"]) == [0.0]


def learned(scorer: KernelScorer, count: int = 60) -> list[Subject]:
    source = random.Random(2)
    subjects = [
        subject(str(i), choice(p := source.uniform(0.5, 1), 1 - p), embedding=place(source)) for i in range(count)
    ]
    scorer.remember(SOURCE, subjects, [True] * count)
    examples = {
        one.external_id: Example(Features(0.5, 0.0, "A", "B"), float(beyond(list(one.embedding or ()))))
        for one in subjects
    }
    scorer.learn(SOURCE, examples, Calibration())
    return subjects


def test_a_fit_is_shared_through_its_store() -> None:
    store = MemoryVectors()
    subjects = learned(KernelScorer(store))

    here, elsewhere = (KernelScorer(store).corrections(SOURCE, subjects, ["A"] * 60) for _ in range(2))

    assert here == elsewhere
    assert max(here) > 0.5 > -0.2 > min(here)


def test_predictions_without_vectors_are_left_as_they_are() -> None:
    scorer = KernelScorer()
    learned(scorer)

    found = scorer.corrections(SOURCE, [subject("x", choice(0.9), embedding=None)], ["A"])

    assert np.isfinite(found).all()


def test_an_embedding_of_another_length_does_not_hurt() -> None:
    scorer = KernelScorer()
    learned(scorer)

    odd = subject("x", choice(0.9, 0.1), embedding=[1.0, 2.0])

    assert np.isfinite(scorer.corrections(SOURCE, [odd], ["A"])).all()


def test_only_whole_distributions_are_kept() -> None:
    assert vectors_of(subject("x", choice(0.64, 0.36))).shares == pytest.approx({"A": 0.64, "B": 0.36})
    assert not Vectors({}).known


def test_a_row_survives_json() -> None:
    row = Row("m:1", Example(Features(0.5, 0.1, "A", "B"), 1.0), Vectors({"A": 0.8, "B": 0.2}, (0.5, -2.0)))

    assert Row.from_json(row.to_json()) == row
