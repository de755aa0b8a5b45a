"""What a policy would do: to test cases as data, and to recorded traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any

from worker.review.capacity import DAY
from worker.review.decision import ReviewDecision, Subject
from worker.review.plot import line_chart
from worker.review.policy import FixedPolicy, RankedPolicy
from worker.review.policy_file import Policy
from worker.review.state import ReviewState
from worker.review.triage import AUDIT, MUST_REVIEW, SCORED

EXPECTABLE = frozenset(ReviewDecision.__struct_fields__)


@dataclass(frozen=True, slots=True)
class TestCase:
    """A prediction, and what the policy must decide about it: decision fields by name; texts are shell patterns."""

    __test__ = False

    name: str
    subject: Subject
    expected: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case: per field that differs, what was expected and what was decided."""

    name: str
    differences: Mapping[str, tuple[Any, Any]]
    decision: ReviewDecision

    @property
    def passed(self) -> bool:
        """Nothing differs."""
        return not self.differences


def run_cases(policy: Policy, cases: Iterable[TestCase]) -> list[CaseResult]:
    """Decide on every case alone, by a policy that has seen nothing else.

    Raises:
        ValueError: a case expects something that no decision has.
    """
    return [_run(policy, case) for case in cases]


def _run(policy: Policy, case: TestCase) -> CaseResult:
    if unknown := set(case.expected) - EXPECTABLE:
        raise ValueError(f"{case.name}: no decision has {min(unknown)!r}; it has {', '.join(sorted(EXPECTABLE))}")
    decision = RankedPolicy(FixedPolicy(policy)).decide(case.subject)
    found = {name: (expected, getattr(decision, name)) for name, expected in case.expected.items()}
    return CaseResult(case.name, {name: pair for name, pair in found.items() if not _agrees(*pair)}, decision)


def _agrees(expected: Any, decided: Any) -> bool:
    if isinstance(expected, str) and isinstance(decided, str):
        return fnmatchcase(decided, expected)
    return bool(expected == decided)


STEP = 60.0
"""Seconds of traffic that are decided on together."""

Moment = tuple[float, Subject]

_BANDS = {MUST_REVIEW: "must_review", AUDIT: "audits", SCORED: "doubtful"}


@dataclass(slots=True)
class Tally:
    """Predictions, reviews by band, and errors: expected in all, and in those that would be reviewed."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: float = 0.0
    errors_reviewed: float = 0.0

    def add(self, decision: ReviewDecision) -> None:
        """Count one decision."""
        chance = decision.error_probability or 0.0
        self.counts["predictions"] += 1
        self.errors += chance
        if decision.band:
            self.counts["reviews"] += 1
            self.counts[_BANDS[decision.band]] += 1
            self.errors_reviewed += chance
        if not decision.upload:
            self.counts["counted_only"] += 1

    def row(self) -> dict[str, Any]:
        """For JSON and tables."""
        names = ("predictions", "reviews", *_BANDS.values(), "counted_only")
        errors = {"errors_expected": round(self.errors, 1), "errors_in_reviews": round(self.errors_reviewed, 1)}
        return {name: self.counts[name] for name in names} | errors


@dataclass(slots=True)
class Simulation:
    """Tallies by day (from 1) and by predicted class."""

    days: dict[int, Tally] = field(default_factory=dict)
    classes: dict[str, Tally] = field(default_factory=dict)

    def add(self, day: int, decision: ReviewDecision) -> None:
        """Count one decision of a day."""
        self.days.setdefault(day, Tally()).add(decision)
        self.classes.setdefault(decision.predicted, Tally()).add(decision)

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "days": [{"day": day, **tally.row()} for day, tally in sorted(self.days.items())],
            "classes": {name: tally.row() for name, tally in sorted(self.classes.items())},
        }

    def plot(self) -> str:
        """Reviews and expected errors per day, as SVG."""
        rows = [self.days.get(day, Tally()).row() for day in range(1, max(self.days, default=0) + 1)]
        names = ("reviews", *_BANDS.values(), "errors_expected", "errors_in_reviews")
        lines = {name.replace("_", " "): [float(row[name]) for row in rows] for name in names}
        return line_chart("What the policy would have done", "day", "per day", lines)


def simulate(policy: Policy, moments: Iterable[Moment], state: ReviewState | None = None) -> Simulation:
    """Let a policy decide on predictions in the order of their times (seconds since the epoch)."""
    ordered = sorted(moments, key=lambda moment: moment[0])
    found = Simulation()
    if not ordered:
        return found
    began = ordered[0][0] // STEP * STEP
    clock = [began]
    ranked = RankedPolicy(FixedPolicy(policy), state, clock=lambda: clock[0])
    for at, batch in _steps(ordered):
        clock[0] = at
        for decision in ranked.decide_all(batch):
            found.add(1 + int((at - began) // DAY), decision)
    return found


def spread_over(subjects: Sequence[Subject], days: float, began: float = 0.0) -> Iterator[Moment]:
    """Give predictions times at equal distances over so many days."""
    for number, subject in enumerate(subjects):
        yield began + days * DAY * number / len(subjects), subject


def _steps(moments: Iterable[Moment]) -> Iterator[tuple[float, list[Subject]]]:
    for number, group in groupby(moments, key=lambda moment: moment[0] // STEP):
        yield number * STEP, [subject for _, subject in group]
