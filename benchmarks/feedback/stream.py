"""Traffic under the review policy: decided, reviewed and learned from, window by window."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.feedback.queues import Queue, Said
from worker.feedback.units import Unit
from worker.review import FixedPolicy, RankedPolicy, ReviewDecision, Subject, Verdict, parse_policy

DAY = 86_400.0
AUDIT_BAND = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """How a stream is reviewed.

    Attributes:
        count: predictions in a window; a window is a day.
        priority: share of the traffic that is reviewed for its doubt; audits come on top.
        audit: share of the traffic in the audit sample; ``uniform`` the part of it that ignores the score.
        done: share of the priority reviews that get done, the most doubtful first.
        response: share of the audits that get done.
        warmup: windows before the first that counts, in which the policy learns.
    """

    count: int = 1000
    priority: float = 0.10
    audit: float = 0.05
    uniform: float = 0.5
    done: float = 1.0
    response: float = 1.0
    warmup: int = 3


@dataclass(frozen=True, slots=True)
class Day:
    """One window: the units as the statistics see them, the confidences, and the truth."""

    units: list[Unit]
    confidences: list[float]
    truth: float


Change = Callable[[int, list[Said], random.Random], list[Said]]
"""What becomes of a day's predictions: a drift."""


def days(queue: Queue, setting: Setting, seed: int, *, change: Change | None = None, priority: Callable[[int], float] | None = None) -> Iterator[Day]:
    """Yield day after day, for ever; ``priority`` gives the share reviewed for its doubt by the number of the day."""
    dice = random.Random(seed)
    now = 0.0
    share = setting.priority
    policy = _policy(setting, share, seed, lambda: now)
    number = -setting.warmup
    while True:
        wanted = priority(max(0, number)) if priority else setting.priority
        if wanted != share:
            policy = policy.with_share(wanted)
            share = wanted
        said = queue.draw(setting.count, dice)
        if change is not None:
            said = change(number, said, dice)
        decisions = policy.decide(said, number)
        day, verdicts = _reviewed(said, decisions, setting, number, dice)
        policy.learn(verdicts)
        now += DAY
        if number >= 0:
            yield day
        number += 1
