"""Unit tests of a policy, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from worker.review.decision import ReviewDecision, Subject
from worker.review.policy import FixedPolicy, RankedPolicy
from worker.review.policy_file import Policy

EXPECTABLE = frozenset(field.name for field in fields(ReviewDecision))


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
