"""What the figures have to show, beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound and the figure held against it; ``most`` when the figure must not be above it, else not below."""

    what: str
    bound: float
    measured: float
    most: bool = True

    @property
    def met(self) -> bool:
        """Whether the figure keeps the bound."""
        return self.measured <= self.bound if self.most else self.measured >= self.bound

    @property
    def row(self) -> dict[str, object]:
        """For JSON."""
        sign = "at most" if self.most else "at least"
        return {"what": self.what, "bound": f"{sign} {self.bound:g}", "measured": self.measured, "met": self.met}


@dataclass(frozen=True, slots=True)
class Part:
    """One part's table in Markdown, its figures for JSON, and its goals."""

    table: str
    figures: object
    goals: Sequence[Goal]

    @property
    def text(self) -> str:
        """Table and goals in Markdown."""
        lines = [f"| {goal.what} | {_bound(goal)} | {goal.measured:.3g} | {_met(goal)} |" for goal in self.goals]
        head = "| goal | bound | measured | met |\n|---|---|---|---|"
        return "\n".join([self.table, "", head, *lines])


def _bound(goal: Goal) -> str:
    return f"{'≤' if goal.most else '≥'} {goal.bound:g}"


def _met(goal: Goal) -> str:
    return "yes" if goal.met else "**no**"
