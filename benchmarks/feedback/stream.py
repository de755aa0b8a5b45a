"""Traffic under the review policy: decided, reviewed and learned from, day by day."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.feedback.queues import Queue, Said
from worker.feedback.population import AUDIT_BAND
from worker.feedback.units import Unit
from worker.review import MemoryState, Policy, RankedPolicy, ReviewDecision, Subject, Verdict, parse_policy

DAY = 86_400.0
BATCH = 100
PROJECT = "benchmark"

Change = Callable[[int, Said, random.Random], Said]
"""What becomes of a prediction on a day: a drift."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a stream is reviewed.

    Attributes:
        count: predictions a day.
        priority: share of the traffic that is reviewed for its doubt, by day; audits come on top.
        audit: share of the traffic in the audit sample; ``uniform`` the part of it that ignores the score.
        done: share of the priority reviews that get done, the most doubtful first.
        response: share of the audits that get done.
        warmup: days before the first that counts, in which the policy learns.
    """

    count: int = 1000
    priority: Callable[[int], float] = lambda _: 0.10
    audit: float = 0.05
    uniform: float = 0.5
    done: float = 1.0
    response: float = 1.0
    warmup: int = 3


@dataclass(frozen=True, slots=True)
class Day:
    """One day: the units as the statistics see them, the confidences, and the truth."""

    number: int
    units: list[Unit]
    confidences: list[float]
    wrong: list[bool]

    @property
    def agreement(self) -> float:
        """Agreement of all predictions of the day, which only a simulation knows."""
        return 1 - sum(self.wrong) / len(self.wrong)

    @property
    def naive(self) -> float:
        """Plain mean over the answers."""
        errors = [unit.error for unit in self.units if unit.error is not None]
        return 1 - sum(errors) / len(errors)


@dataclass(slots=True)
class _Switch:
    """A policy whose capacity changes with the day."""

    setting: Setting
    day: int = 0
    known: dict[float, Policy] = field(default_factory=dict)

    def current(self) -> Policy:
        share = self.setting.priority(max(0, self.day))
        if share not in self.known:
            audit = {"rate": self.setting.audit, "uniform": self.setting.uniform}
            rule = {"name": "all", "capacity": {"share": share + self.setting.audit}, "audit": audit}
            self.known[share] = parse_policy({"rules": [rule]})
        return self.known[share]


def days(queue: Queue, setting: Setting, seed: int, change: Change | None = None) -> Iterator[Day]:
    """Yield day after day, for ever."""
    dice = random.Random(seed)
    switch = _Switch(setting, -setting.warmup)
    now = [0.0]
    policy = RankedPolicy(switch, MemoryState(), clock=lambda: now[0])
    while True:
        said = queue.draw(setting.count, dice)
        if change is not None:
            said = [change(switch.day, one, dice) for one in said]
        decisions = _decide(policy, said, seed, switch.day, now)
        day, verdicts = _review(said, decisions, setting, switch.day, dice)
        policy.learn(verdicts)
        if switch.day >= 0:
            yield day
        switch.day += 1


def _decide(policy: RankedPolicy, said: Sequence[Said], seed: int, day: int, now: list[float]) -> list[ReviewDecision]:
    """Decide in batches, as they come in over the day."""
    found: list[ReviewDecision] = []
    for start in range(0, len(said), BATCH):
        part = [
            Subject(PROJECT, f"{seed}/{day}/{start + place}", "", one.model, one.output, one.confidence)
            for place, one in enumerate(said[start : start + BATCH])
        ]
        found += policy.decide_all(part)
        now[0] += DAY * len(part) / len(said)
    return found


def _review(
    said: Sequence[Said], decisions: Sequence[ReviewDecision], setting: Setting, day: int, dice: random.Random
) -> tuple[Day, list[Verdict]]:
    answered = _answered(decisions, setting, dice)
    units, verdicts = [], []
    for place, (one, decision) in enumerate(zip(said, decisions, strict=True)):
        wrong = float(one.wrong)
        units.append(_unit(f"{day}/{place}", day + place / len(said), decision, wrong if place in answered else None))
        if place in answered:
            verdicts.append(Verdict(PROJECT, one.model, decision, wrong, f"{day}/{place}"))
    return Day(day, units, [one.confidence for one in said], [one.wrong for one in said]), verdicts


def _answered(decisions: Sequence[ReviewDecision], setting: Setting, dice: random.Random) -> set[int]:
    audits = [place for place, one in enumerate(decisions) if one.band == AUDIT_BAND]
    scored = [place for place, one in enumerate(decisions) if one.band == 1]
    scored.sort(key=lambda place: -(decisions[place].error_probability or 0.0))
    done = scored[: round(setting.done * len(scored))]
    return {place for place in audits if dice.random() < setting.response} | set(done)


def _unit(name: str, at: float, decision: ReviewDecision, error: float | None) -> Unit:
    chance = decision.error_probability or 0.0
    return Unit(
        asset_id=name,
        at=at * DAY,
        audited=decision.band == AUDIT_BAND,
        inclusion=decision.inclusion_probability or 1.0,
        doubt=chance,
        p_error=chance,
        error=error,
    )
