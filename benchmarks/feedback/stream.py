"""Traffic under the review policy: decided, reviewed and learned from, day by day."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from benchmarks.feedback.queues import Queue, Said
from worker.feedback.breakdown import AUDIT_BAND
from worker.review import (
    FixedPolicy,
    MemoryState,
    Policy,
    RankedPolicy,
    ReviewDecision,
    Subject,
    Verdict,
    parse_policy,
)
from worker.statistics.samples import Sample

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
        priority: share of the traffic that is reviewed for its doubt; audits come on top.
        audit: share of the traffic in the audit sample; ``uniform`` the part of it that ignores the score.
        done: share of the priority reviews that get done, the most doubtful first.
        response: share of the audits that get done.
        warmup: days before the first that counts, in which the policy learns.
        scorer: "off" or "automatic": without or with the stronger scorer.
    """

    count: int = 1000
    priority: float = 0.10
    audit: float = 0.05
    uniform: float = 0.5
    done: float = 1.0
    response: float = 1.0
    warmup: int = 3
    scorer: str = "off"


@dataclass(frozen=True, slots=True)
class Day:
    """One day: the units as the statistics see them, the confidences, the truth, and who was asked for by score.

    ``asked``: whether a review was asked for without the audit coin. Of an audit nobody knows; it is taken to be so
    when it is more doubtful than the cut between the others of its batch.
    """

    number: int
    samples: list[Sample]
    confidences: list[float]
    wrong: list[bool]
    asked: list[bool]

    @property
    def agreement(self) -> float:
        """Agreement of all predictions of the day, which only a simulation knows."""
        return 1 - sum(self.wrong) / len(self.wrong)

    def thrown_again(self, setting: Setting, dice: random.Random) -> Day:
        """The same day, had the audit coin fallen otherwise."""
        audited = [dice.random() < sample.inclusion for sample in self.samples]
        asked = [place for place, one in enumerate(self.asked) if one and not audited[place]]
        audits = [place for place, one in enumerate(audited) if one]
        answered = _answered(audits, asked, [sample.doubt for sample in self.samples], setting, dice)
        samples = [
            replace(sample, audited=audited[place], error=float(self.wrong[place]) if place in answered else None)
            for place, sample in enumerate(self.samples)
        ]
        return replace(self, samples=samples)


def _policy_of(setting: Setting) -> Policy:
    audit = {"rate": setting.audit, "uniform": setting.uniform}
    rule = {"name": "all", "capacity": {"share": setting.priority + setting.audit}, "audit": audit}
    return parse_policy({"rules": [rule], "scorer": setting.scorer})


class Traffic:
    """Day after day of one queue: state of the policy and dice included, so that it can be branched."""

    def __init__(self, queue: Queue, setting: Setting, seed: int) -> None:
        self._queue, self._seed = queue, seed
        self._dice = random.Random(seed)
        self._begin(setting, -setting.warmup, MemoryState(), 0.0)

    def branch(self, setting: Setting) -> Traffic:
        """The same up to now; what follows goes its own way."""
        other = Traffic(self._queue, setting, self._seed)
        other._dice.setstate(self._dice.getstate())
        other._begin(setting, self._day, deepcopy(self._state), self._now[0])
        return other

    def days(self, change: Change | None = None) -> Iterator[Day]:
        """Yield day after day, for ever; those of the warm-up are left out."""
        while True:
            day = self._next(change)
            if day.number >= 0:
                yield day

    def _begin(self, setting: Setting, day: int, state: MemoryState, now: float) -> None:
        self._setting, self._state, self._now = setting, state, [now]
        self._day = day
        self._policy = RankedPolicy(FixedPolicy(_policy_of(setting)), state, clock=lambda: self._now[0])

    def _next(self, change: Change | None) -> Day:
        number = self._day
        said = self._queue.draw(self._setting.count, self._dice)
        if change is not None:
            said = [change(number, one, self._dice) for one in said]
        decisions = _decide(self._policy, said, self._seed, number, self._now)
        day, verdicts = _review(said, decisions, self._setting, number, self._dice)
        self._policy.learn(verdicts)
        self._day += 1
        return day


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
    bands = [one.band for one in decisions]
    doubts = [one.error_probability or 0.0 for one in decisions]
    audits, scored = ([place for place, band in enumerate(bands) if band == wanted] for wanted in (AUDIT_BAND, 1))
    answered = _answered(audits, scored, doubts, setting, dice)
    samples, verdicts = [], []
    for place, (one, decision) in enumerate(zip(said, decisions, strict=True)):
        wrong = float(one.wrong)
        samples.append(_unit(f"{day}/{place}", day + place / len(said), decision, wrong if place in answered else None))
        if place in answered:
            verdicts.append(Verdict(PROJECT, one.model, decision, wrong, f"{day}/{place}"))
    parts = range(0, len(said), BATCH)
    asked = [one for start in parts for one in _asked(bands[start : start + BATCH], doubts[start : start + BATCH])]
    return Day(day, samples, [one.confidence for one in said], [one.wrong for one in said], asked), verdicts


def _answered(
    audits: Sequence[int], scored: Sequence[int], doubts: Sequence[float], setting: Setting, dice: random.Random
) -> set[int]:
    """Places of the predictions that get an answer."""
    ordered = sorted(scored, key=lambda place: -doubts[place])
    done = ordered[: round(setting.done * len(ordered))]
    return {place for place in audits if dice.random() < setting.response} | set(done)


def _asked(bands: Sequence[int], doubts: Sequence[float]) -> list[bool]:
    """Whether a review of each of a batch was asked for because of its score."""
    least = min((doubt for band, doubt in zip(bands, doubts, strict=True) if band == 1), default=1.0)
    most = max((doubt for band, doubt in zip(bands, doubts, strict=True) if band == 0), default=0.0)
    cut = (least + most) / 2
    return [band == 1 or (band == AUDIT_BAND and doubt > cut) for band, doubt in zip(bands, doubts, strict=True)]


def _unit(name: str, at: float, decision: ReviewDecision, error: float | None) -> Sample:
    chance = decision.error_probability or 0.0
    return Sample(
        asset_id=name,
        at=at * DAY,
        audited=decision.band == AUDIT_BAND,
        inclusion=decision.inclusion_probability or 1.0,
        doubt=chance,
        p_error=chance,
        error=error,
    )
