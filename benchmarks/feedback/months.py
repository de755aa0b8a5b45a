"""Drift alarms over half a year, as production raises them: collected, stored, restarted, answered late.

Streams of real models' predictions under the review policy go through a simulated Kili, the collector, the records in
Redis and the stored detectors, in virtual time. People answer within two days, some after their window was looked at;
some answers are changed or deleted later; the worker restarts every week; an alarm is acknowledged the day after.
The policy learns the answers of a day at once: its P(error) is not what is measured here.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from statistics import median, quantiles

from benchmarks.feedback.goals import Goal, Part
from benchmarks.feedback.production import DAY, START, Production
from benchmarks.feedback.queues import Said, load_queues, queue_of
from benchmarks.feedback.simulated_kili import PROJECT, Prediction
from benchmarks.feedback.stream import Change, Day, Setting, Traffic
from benchmarks.feedback.workers import Spread
from worker.feedback.drift import DETECTORS
from worker.feedback.service import FeedbackRules, Scope
from worker.feedback.store import versions_key

DROP = 0.10
"""Share of all predictions that becomes wrong at each planted drift, with unchanged confidence."""

FOUND_DAYS = 30
"""Days within which a planted drift is to be told of; what is told at other times is a false alarm."""

VERSIONS = 20
"""Model versions of the fleet that an operator looks after, each as busy as the others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is simulated: ``drifts`` are days."""

    days: int = 180
    daily: int = 250
    drifts: tuple[int, ...] = (40, 85, 130)
    streams: int = 10
    """Of each kind; the queues take turns."""


SHORT = Plan(days=40, daily=250, drifts=(20,), streams=1)


@dataclass(frozen=True, slots=True)
class Case:
    """One stream: a queue, whether drifts are planted, and what shares the run length."""

    queue: str
    drifting: bool
    scope: str
    seed: int = 900


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was told: per detector the days, and how often one id was told twice."""

    case: Case
    predictions: int
    days: Mapping[str, Sequence[float]]
    twice: int


def run(case: Case, plan: Plan) -> Outcome:
    """Let one stream pass; its alarms are not logged."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        return _run(case, plan)
    finally:
        logging.disable(before)


def _run(case: Case, plan: Plan) -> Outcome:
    rules = FeedbackRules(horizon_days=6, report_days=2.0, verify_every=1e12, scope=Scope(case.scope))
    world = Production(rules, acknowledge_after=1.0)
    if rules.scope is Scope.FLEET:
        world.client.hset(versions_key("sim:"), "others", VERSIONS - 1)
    dice = random.Random(f"answers {case}")
    traffic = Traffic(queue_of(case.queue), Setting(count=plan.daily), case.seed)
    change = _drifting(queue_of(case.queue).error_rate, plan.drifts) if case.drifting else None
    for day in islice(traffic.days(change), plan.days):
        _pass(world, case.queue, day, dice)
        world.look(START + (day.number + 1) * DAY)
        if day.number % 7 == 0:
            world.restart()
    found = {name: [one.day for one in world.told if one.detector == name] for name in DETECTORS}
    ids = Counter(one.id for one in world.told)
    return Outcome(case, plan.days * plan.daily, found, sum(count - 1 for count in ids.values()))


def _drifting(error_rate: float, drifts: Sequence[int]) -> Change:
    """At each drift as many right predictions become wrong as make up the drop, with unchanged confidence."""

    def change(day: int, one: Said, dice: random.Random) -> Said:
        lost = DROP * sum(day >= begin for begin in drifts)
        if one.wrong or dice.random() >= lost / (1 - error_rate):
            return one
        return Said(one.model, one.output, wrong=True, confidence=one.confidence)

    return change


def _pass(world: Production, queue: str, day: Day, dice: random.Random) -> None:
    """Upload a day's predictions; people answer what the stream says is answered."""
    for place, sample in enumerate(day.samples):
        at = START + sample.at
        one = Prediction(
            asset_id=f"{PROJECT}/{sample.asset_id}",
            model=f"{queue}:1",
            at=at - DAY * 0.2 * (dice.random() < 0.01),
            wrong=day.wrong[place],
            band=2 if sample.audited else int(sample.answered),
            p_error=sample.p_error or 0.0,
            inclusion=sample.inclusion,
            confidence=day.confidences[place],
            uploaded_at=at,
        )
        world.kili.predict(one)
        if sample.answered:
            _answer(world, one, at, dice)


def _answer(world: Production, one: Prediction, at: float, dice: random.Random) -> None:
    """Most within two days, one in twenty later than anyone waits; few are changed or deleted the week after."""
    after = 3.5 * DAY if dice.random() < 0.05 else 2 * DAY * dice.random() ** 2
    label = world.kili.answer(one, at + after)
    fate = dice.random()
    if fate < 0.01:
        world.kili.delete(one, label, at + after + DAY)
    elif fate < 0.02:
        world.kili.answer(one, at + after + DAY, wrong=not one.wrong)


def part(plan: Plan, spread: Spread[Outcome]) -> Part:
    """Every queue calm and drifting, each with a run length for each detector and with one for a fleet of 20."""
    names = [queue.name for queue in load_queues()]
    streams = [(names[number % len(names)], 900 + number) for number in range(plan.streams)]
    scopes = (Scope.DETECTOR, Scope.FLEET)
    kinds = [(scope.value, drifting) for scope in scopes for drifting in (False, True)]
    cases = [Case(name, drifting, scope, seed) for name, seed in streams for scope, drifting in kinds]
    return summary(spread(run, [(case, plan) for case in cases]), plan)


def summary(found: Sequence[Outcome], plan: Plan) -> Part:
    """The table and the goals of streams that have passed."""
    lines = [
        "| one run length for | calm: predictions | false alarms: accuracy fell, worse, scores | "
        f"in 30 days of {VERSIONS} versions with 1,000 a day | drifts told: median, p90, of all | told twice |",
        "|---|---|---|---|---|---|",
    ]
    figures = {}
    for scope in dict.fromkeys(one.case.scope for one in found):
        calm = [one for one in found if one.case.scope == scope and not one.case.drifting]
        drifting = [one for one in found if one.case.scope == scope and one.case.drifting]
        false = {name: sum(len(one.days[name]) for one in calm) for name in DETECTORS}
        count = sum(one.predictions for one in calm)
        month = sum(false.values()) / max(1, count) * VERSIONS * 1000 * 30
        delays = [delay for one in drifting for delay in _delays(one.days["accuracy_fell"], plan.drifts)]
        known = sorted(delay for delay in delays if delay is not None)
        p90 = quantiles(known, n=10)[8] if len(known) > 1 else (known or [float("nan")])[0]
        middle = median(known) if known else float("nan")
        twice = sum(one.twice for one in [*calm, *drifting])
        figures[scope] = {
            "calm": [asdict(one) for one in calm],
            "drifting": [asdict(one) for one in drifting],
            "false_alarms_a_month": month,
            "found": [middle, p90, len(known), len(delays)],
            "twice": twice,
        }
        cells = [_name(scope), f"{count:,}", ", ".join(map(str, false.values())), f"{month:.1f}"]
        told = f"{middle:.0f} d, {p90:.0f} d, {len(known)} of {len(delays)}"
        lines.append(f"| {' | '.join([*cells, told, str(twice)])} |")
    note = f"{plan.days} days of {plan.daily} predictions in each of {len(found)} streams; drifts on days "
    goals = [Goal("alarms told twice", 0, sum(one.twice for one in found))]
    return Part("\n".join([*lines, "", f"{note}{', '.join(map(str, plan.drifts))}."]), figures, goals)


def _name(scope: str) -> str:
    return "each detector" if scope == Scope.DETECTOR.value else f"a fleet of {VERSIONS} versions"


def _delays(days: Sequence[float], drifts: Sequence[int]) -> list[float | None]:
    """Days from each drift to the first alarm within the month after it."""
    return [next((day - begin for day in days if begin < day <= begin + FOUND_DAYS), None) for begin in drifts]
