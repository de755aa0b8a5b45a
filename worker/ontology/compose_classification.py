"""From class scores to the categories of a classification job, in Kili's whole percents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.contract.output import Classification
from worker.ontology.classes import ClassPolicy, category_of, unknown_class
from worker.ontology.errors import OntologyError
from worker.ontology.interface import Job


def percent(score: float) -> int:
    """Turn a probability into Kili's 0-100: rounded (halves to even) and clamped."""
    found = round(score * 100)
    return found if 0 <= found <= 100 else min(100, max(0, found))


def checked(score: float | None, field: str) -> float | None:
    """Return a score that is None or a probability; raise ``bad_score`` for anything else."""
    if score is None or 0.0 <= score <= 1.0:
        return score
    raise OntologyError(
        field,
        f"{score!r} is not a probability between 0 and 1",
        "send probabilities, or say that the scores are logits",
        "bad_score",
    )


def category(name: str, score: float | None) -> dict[str, Any]:
    """Write one chosen category, with its confidence where the model gave a score."""
    return {"name": name} if score is None else {"name": name, "confidence": percent(score)}


MOST_A_ROW_MAY_SUM_TO = 1.02
"""Rounded probabilities of one choice sum to a little more than 1, never to more than this."""

LEAST_A_ROW_MAY_SUM_TO = 0.9
"""A model's best classes leave a little to those that it does not name; a row of less is no distribution."""


@dataclass(slots=True)
class _Scored:
    """Scores by category, and by class where the project has no category for it."""

    known: dict[str, float | None] = field(default_factory=dict)
    unknown: dict[str, tuple[float | None, str]] = field(default_factory=dict)


def compose_classification(answer: Classification, job: Job, policy: ClassPolicy, where: str) -> dict[str, Any] | None:
    """Choose the categories of one classification; None when the model chose none.

    A whole distribution that is named exclusive has one answer in multiple choice, too. Single choice takes the
    most probable category (the first of the interface on a tie; classes mapped to one category add up).
    Multiple choice takes all at or above the policy's threshold, or all where the model chose (of classes
    mapped to one category, the highest counts). A class without category matters only where it would be chosen.
    Independent scores have a most probable category only where one of them says yes; of a yes or no about one
    of two categories, the other has the complement.
    """
    classes = policy.classes
    if not job.single_choice:
        scored = _by_category(answer, job, classes, where)
        if answer.exclusive and answer.complete and not answer.chosen:
            chosen = _winner(scored, job, policy)
        else:
            chosen = _all_above(scored, job, policy, 0.0 if answer.chosen else policy.threshold)
        return {"categories": chosen} if chosen else None
    _check_row(answer, job, where)
    scored = _by_category(answer, job, classes, where)
    if answer.exclusive is False and not answer.chosen:
        _settle_independent(scored, job, where)
    elif not answer.complete and (not answer.chosen or answer.exclusive):
        _check_lone_score(answer, job, where)
        _check_low_row(scored, job, where)
    chosen = _winner(scored, job, policy)
    return {"categories": chosen} if chosen else None


def _check_row(answer: Classification, job: Job, where: str) -> None:
    if len(answer.scores) < 2:
        return
    scores = [item.score for item in answer.scores]
    if None in scores:
        index = scores.index(None)
        raise OntologyError(
            f"{where}.scores[{index}].score",
            f"class {answer.scores[index].label!r} has no score, so the one answer of job {job.name} cannot be told",
            "send a score with every class, or the chosen class alone",
            "missing_score",
        )
    total = sum(score or 0.0 for score in scores)
    if total > MOST_A_ROW_MAY_SUM_TO:
        kind = "independent scores (exclusive: false)" if answer.exclusive is False else "scores"
        raise OntologyError(
            f"{where}.scores",
            f"the {kind} sum to {total:.4g}, but job {job.name} has one answer",
            "send one distribution (or logits, named so), or make it a multiple-choice job",
            "not_a_distribution",
        )


def _by_category(answer: Classification, job: Job, classes: Mapping[str, str], where: str) -> _Scored:
    scored = _Scored()
    merge = _sum if job.single_choice and answer.exclusive is not False else _highest
    known, categories = scored.known, job.categories
    for index, item in enumerate(answer.scores):
        label, score = item.label, item.score
        if score is not None and not 0.0 <= score <= 1.0:
            checked(score, f"{where}.scores[{index}].score")
        name: str | None = label
        if classes or label not in categories:
            name = category_of(label, job, classes, f"{where}.scores[{index}].label")
        if name is None:
            scored.unknown[label] = (score, f"{where}.scores[{index}].label")
        else:
            known[name] = merge(known[name], score) if name in known else score
    return scored


def _sum(one: float | None, other: float | None) -> float | None:
    return min(1.0, (one or 0.0) + (other or 0.0))


def _highest(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def _weight(score: float | None) -> float:
    """A class named without score was chosen by the model itself."""
    return 1.0 if score is None else score


def _settle_independent(scored: _Scored, job: Job, where: str) -> None:
    """Complete a yes or no about one of two categories; refuse scores of which none says yes."""
    known = scored.known
    if len(known) == 1 and not scored.unknown and len(job.categories) == 2:
        ((name, score),) = known.items()
        if score is not None:
            other = next(category for category in job.categories if category != name)
            known[other] = 1.0 - score
        return
    values = [*known.values(), *(score for score, _ in scored.unknown.values())]
    best = max((score for score in values if score is not None), default=1.0)
    if best >= EVEN:
        return
    names = ", ".join((*known, *scored.unknown))
    raise OntologyError(
        f"{where}.scores",
        f"independent scores (exclusive: false) of {names}, none of which reaches {EVEN:g}, but job {job.name} has one "
        "answer",
        "send one distribution over all classes, or make it a multiple-choice job",
        "not_a_distribution",
    )


EVEN = 0.5
"""What an independent score must reach to say yes."""


def _check_lone_score(answer: Classification, job: Job, where: str) -> None:
    """Refuse one probability that cannot be the greatest of a distribution over the job's categories."""
    score = answer.scores[0].score if len(answer.scores) == 1 else None
    count = len(job.categories)
    if score is None or count < 2 or score * count >= 2 - MOST_A_ROW_MAY_SUM_TO:
        return
    label = answer.scores[0].label
    raise OntologyError(
        f"{where}.scores[0].score",
        f"{score:.4g} for {label!r} alone is too little for the best of the {count} categories of job "
        f"{job.name}: it looks like one probability of a yes or no",
        "set exclusive: false if it is one, or send the scores of all classes",
        "not_a_distribution",
    )


def _check_low_row(scored: _Scored, job: Job, where: str) -> None:
    """Refuse scores of all categories of which none says yes, though they are no distribution over these."""
    scores = [score for score in scored.known.values() if score is not None]
    whole = len(scores) == len(job.categories) > 1 and not scored.unknown
    if not whole or max(scores) >= EVEN or sum(scores) >= LEAST_A_ROW_MAY_SUM_TO:
        return
    raise OntologyError(
        f"{where}.scores",
        f"the scores of all {len(scores)} categories sum to {sum(scores):.4g}, and none reaches {EVEN:g}: they look "
        f"independent, but job {job.name} has one answer",
        "send one distribution, or set exclusive: false and make it a multiple-choice job",
        "not_a_distribution",
    )


def _winner(scored: _Scored, job: Job, policy: ClassPolicy) -> list[dict[str, Any]]:
    weights = {name: 1.0 if score is None else score for name, score in scored.known.items()}
    top = max(weights.values(), default=-1.0)
    tied = [name for name, weight in weights.items() if weight == top]
    best = tied[0] if len(tied) == 1 else next((name for name in job.categories if name in tied), None)
    for label, (score, place) in scored.unknown.items():
        if _weight(score) > top:
            if policy.ignores_unknown and not (job.required and job.single_choice):
                return []
            raise unknown_class(label, job, policy.classes, place)
    return [] if best is None else [category(best, scored.known[best])]


def _all_above(scored: _Scored, job: Job, policy: ClassPolicy, threshold: float) -> list[dict[str, Any]]:
    for label, (score, place) in scored.unknown.items():
        if _weight(score) >= threshold and not policy.ignores_unknown:
            raise unknown_class(label, job, policy.classes, place)
    chosen = [name for name in job.categories if name in scored.known]
    return [category(n, scored.known[n]) for n in chosen if _weight(scored.known[n]) >= threshold]
