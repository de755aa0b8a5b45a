"""From class scores to the categories of a classification job, in Kili's whole percents.

What comes often is compiled (``CompiledChoice``): the general way composes and validates a response in which a class is
certain, and its text is cut where the confidence goes. So no rule stands here a second time. What only the general way
can decide is left to it: ties, scores that are no row of one choice, classes without a category, classes that share
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from worker.contract.output import Classification, OutputError
from worker.ontology.classes import ClassPolicy, category_of, unknown_class
from worker.ontology.errors import OntologyError
from worker.ontology.interface import Interface, Job


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


CERTAIN = '"confidence":100'
TOLERANCE = 0.01
"""How far a sum may be from 1 that every rule takes for that of a whole row."""

MOST_CLASSES = 10_000
"""So many are kept compiled."""

MOST_ROWS = 100
"""So many sets of classes are kept; a model has one, or sends its best classes alone."""

Respond = Callable[[Mapping[str, float]], Mapping[str, Any]]
Text = tuple[str, str]
"""What stands before and behind the confidence."""


class CompiledChoice:
    """The responses to scores by class, as text, for one interface, job and configuration."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._texts: dict[str, Text | None] = {}
        self._rows: dict[tuple[str, ...], tuple[Text, ...] | None] = {}
        self._needs_majority: bool | None = None

    def text(self, scores: Mapping[str, float], respond: Respond) -> str | None:
        """What the general way would write; None where only that can tell.

        Args:
            scores: probabilities by class, at least one.
            respond: the general way, which raises OntologyError or OutputError for what the project does not take.
        """
        values = list(scores.values())
        top, total = max(values), sum(values)
        if total > 1 + TOLERANCE or values.count(top) > 1:
            return None
        texts = self._row(tuple(scores), respond)
        if texts is None:
            return None
        if top <= EVEN and (total < 1 - TOLERANCE or self._is_majority_needed(scores, respond)):
            return None
        before, behind = texts[values.index(top)]
        return f"{before}{percent(top)}{behind}"

    def _row(self, labels: tuple[str, ...], respond: Respond) -> tuple[Text, ...] | None:
        """The texts of a row's classes; None where one has none, or two share one."""
        if labels in self._rows:
            return self._rows[labels]
        texts = [text for text in (self._compiled(label, respond) for label in labels) if text is not None]
        row = tuple(texts) if len(set(texts)) == len(labels) else None
        if len(self._rows) >= MOST_ROWS:
            self._rows.clear()
        self._rows[labels] = row
        return row

    def _compiled(self, label: str, respond: Respond) -> Text | None:
        text = self._texts.get(label)
        if label not in self._texts:
            text = _cut(self._composed({label: 1.0}, respond))
            if len(self._texts) >= MOST_CLASSES:
                self._texts.clear()
            self._texts[label] = text
        return text

    def _composed(self, scores: Mapping[str, float], respond: Respond) -> str:
        """The text of a response that answers one single choice; nothing where there is none."""
        try:
            response = respond(scores)
        except (OntologyError, OutputError):
            return ""
        jobs = [self._interface.jobs.get(name) for name in response]
        is_choice = len(jobs) == 1 and jobs[0] is not None and jobs[0].single_choice
        return to_json(response).decode() if is_choice else ""

    def _is_majority_needed(self, labels: Iterable[str], respond: Respond) -> bool:
        """Whether a whole row has no answer where no class has the majority; configuration decides it."""
        if self._needs_majority is None:
            first, *others = labels
            if len(others) < 2:
                return True
            text, row = self._compiled(first, respond), {first: 0.4} | dict.fromkeys(others, 0.6 / len(others))
            self._needs_majority = text is None or self._composed(row, respond) != f"{text[0]}40{text[1]}"
        return self._needs_majority


def _cut(text: str) -> Text | None:
    before, mark, behind = text.partition(CERTAIN)
    return (before + mark.removesuffix("100"), behind) if mark and CERTAIN not in behind else None
