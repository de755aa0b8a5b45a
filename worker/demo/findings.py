"""What the worker concluded from the humans' answers, beside the truth that only the demo knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.demo.plan import Plan
from worker.feedback.links import Links
from worker.feedback.notices import Notice


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of one model version's live traffic with the humans, 0 to 1.

    ``truth`` is what it would be had the same people answered to every prediction; ``naive`` is the plain average of
    those that they answered to. ``estimate`` is None, and ``covered`` with it, while no audit is answered.
    """

    model: str
    predictions: int
    answered: int
    audits: int
    estimate: float | None
    low: float
    high: float
    truth: float
    naive: float | None

    @property
    def covered(self) -> bool | None:
        """Whether the truth is within the interval."""
        return None if self.estimate is None else self.low <= self.truth <= self.high


@dataclass(frozen=True, slots=True)
class Alarm:
    """One drift alarm in the worker's words; ``lost`` are the classes whose agreement fell, the worst first."""

    id: str
    model: str
    since: float
    headline: str
    lost: list[str]


@dataclass(frozen=True, slots=True)
class Drift:
    """The drift that was injected, and the alarms that were raised; times in seconds since the epoch."""

    injected_model: str
    injected_class: str
    injected_at: float
    alarms: list[Alarm]

    @property
    def named(self) -> bool:
        """Whether an alarm names the version and, as the one that fell most, the class."""
        return any(self.is_right(alarm) for alarm in self.alarms)

    def is_right(self, alarm: Alarm) -> bool:
        """Whether an alarm is about what was injected."""
        return alarm.model == self.injected_model and alarm.lost[:1] == [self.injected_class]


def agreements_of(plan: Plan, answers: Mapping[str, str], figures: Mapping[str, Any]) -> list[Agreement]:
    """One for each model version, in the order of their first predictions; ``answers`` by external id."""
    return list(_agreements(plan, answers, figures))


def _agreements(plan: Plan, answers: Mapping[str, str], figures: Mapping[str, Any]) -> Iterator[Agreement]:
    for found in figures["models"]:
        said = [one for one in plan.predictions if one.model == found["model"]]
        row = found["agreement"]
        yield Agreement(
            model=found["model"],
            predictions=row["population"],
            answered=row["verdicts"],
            audits=row["audits"],
            estimate=row["value"],
            low=row["low"],
            high=row["high"],
            truth=sum(one.answer == answers[one.external_id] for one in said) / max(1, len(said)),
            naive=row["naive"],
        )


def drift_of(plan: Plan, injected_at: float, figures: Mapping[str, Any], links: Links) -> Drift:
    """What was injected and what was noticed."""
    alarms = [alarm for model in figures["models"] for alarm in model["drift"]["alarms"]]
    return Drift(plan.drifted_model, plan.drifted_class, injected_at, [_alarm(alarm, links) for alarm in alarms])


def _alarm(alarm: Mapping[str, Any], links: Links) -> Alarm:
    lost = [row["name"].rpartition("/")[2] for row in alarm["classes"] if row["lost"] > 0]
    return Alarm(alarm["id"], alarm["model"], alarm["since"], Notice(alarm, links).headline, lost)
