"""Drift on real models' streams under priority review: 1,000 predictions and 150 labels a day."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import accumulate, islice
from math import ceil, exp
from statistics import median

from benchmarks.feedback.adwin import Adwin
from benchmarks.feedback.goals import Goal, Part
from benchmarks.feedback.queues import Queue, Said, load_queues, queue_of
from benchmarks.feedback.stream import Change, Day, Setting, Traffic
from benchmarks.feedback.workers import Spread
from worker.statistics.detectors import AccuracyFell, ScoresChanged, WorseThanConfidence
from worker.statistics.windows import windows_of

DAYS = 20
"""Calm days before the change, and days within which it is to be found."""

DROP = 0.10
PRIORITY = 0.10
NEVER = 99


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens on day 20; ``harmless`` if no detector of errors should notice."""

    name: str
    change: Callable[[Queue], Change] | None = None
    priority: float = PRIORITY
    harmless: bool = False


def concept(queue: Queue) -> Change:
    """Right predictions become wrong with unchanged confidence: agreement falls by 10 points."""
    chance = DROP / (1 - queue.error_rate)

    def change(day: int, one: Said, dice: random.Random) -> Said:
        if day < DAYS or one.wrong or dice.random() >= chance:
            return one
        return Said(one.model, one.output, wrong=True, confidence=one.confidence)

    return change


def harder(queue: Queue) -> Change:
    """Inputs become harder, and the confidence says so: doubtful ones come more often, until 10 points are lost."""
    pools = {pool[0].model: sorted(pool, key=lambda one: one.confidence) for pool in queue.models.values()}
    tilt = _tilt(list(pools.values()), queue.error_rate + DROP)
    weights = {model: list(accumulate(_weights(len(pool), tilt))) for model, pool in pools.items()}

    def change(day: int, one: Said, dice: random.Random) -> Said:
        if day < DAYS:
            return one
        return dice.choices(pools[one.model], cum_weights=weights[one.model])[0]

    return change


def _weights(count: int, tilt: float) -> list[float]:
    return [exp(-tilt * place / count) for place in range(count)]


def _tilt(pools: Sequence[Sequence[Said]], wanted: float) -> float:
    """How strongly the doubtful ones must be preferred for an error rate, by halving."""
    low, high = 0.0, 50.0
    for _ in range(40):
        middle = (low + high) / 2
        rates = []
        for pool in pools:
            weights = _weights(len(pool), middle)
            rates.append(sum(w for w, one in zip(weights, pool, strict=True) if one.wrong) / sum(weights))
        low, high = (middle, high) if sum(rates) / len(rates) < wanted else (low, middle)
    return low


SCENARIOS = (
    Scenario("concept shift, 10 points lost", concept),
    Scenario("harder inputs, 10 points lost", harder),
    Scenario("reviewers 10 → 30 %", priority=0.30, harmless=True),
    Scenario("reviewers 10 → 3 %", priority=0.03, harmless=True),
)


class Ours:
    """One of the three detectors, fed with windows of 250 predictions."""

    def __init__(self, kind: type[AccuracyFell] | type[WorseThanConfidence] | type[ScoresChanged]) -> None:
        self._detector = kind()

    def day(self, day: Day) -> bool:
        """Whether there is an alarm on this day; the detector then begins again."""
        pairs = zip(day.samples, day.confidences, strict=True)
        alarm = False
        for window in windows_of(pairs, overdue_before=float("inf")):
            if self._detector.update(window) is not None:
                alarm = True
                self._rearm()
        return alarm

    def _rearm(self) -> None:
        if not isinstance(self._detector, ScoresChanged):
            self._detector.bets.rearm()


class Adaptive:
    """ADWIN on the audits or on everything that was reviewed."""

    def __init__(self, detector: Adwin, *, audits: bool) -> None:
        self._detector = detector
        self._audits = audits

    def day(self, day: Day) -> bool:
        """Whether there is an alarm on this day."""
        errors = [
            sample.error for sample in day.samples if sample.error is not None and (sample.audited or not self._audits)
        ]
        alarms = [self._detector.update(error) for error in errors]
        return any(alarms)


WATCHERS: dict[str, Callable[[], Ours | Adaptive]] = {
    "accuracy fell": lambda: Ours(AccuracyFell),
    "worse than confidence": lambda: Ours(WorseThanConfidence),
    "scores changed": lambda: Ours(ScoresChanged),
    "ADWIN on audits": lambda: Adaptive(Adwin(), audits=True),
    "ADWIN on audits, tuned (0.05, clock 1)": lambda: Adaptive(Adwin(0.05, 1), audits=True),
    "ADWIN on all reviewed": lambda: Adaptive(Adwin(), audits=False),
}
NAMED = "accuracy fell"
"""The detector that the goals are held against."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector did in one scenario: alarm in the calm days, and the day of the first one after, from 1."""

    calm: bool
    delay: int


Run = Mapping[str, Mapping[str, Found]]
"""By scenario and detector."""


def run(queue: str, seed: int, names: Sequence[str] = tuple(WATCHERS), scenarios: Sequence[str] = ()) -> Run:
    """Watch one stream through the calm days, and then through each scenario (all, if none is named).

    A scenario ends when every detector has found the change, or after 20 days.
    """
    traffic = Traffic(queue_of(queue), Setting(), seed)
    watchers = {name: WATCHERS[name]() for name in names}
    calm: set[str] = set()
    for day in islice(traffic.days(), DAYS):
        calm |= {name for name, watcher in watchers.items() if watcher.day(day)}
    found = {}
    for scenario in SCENARIOS:
        if not scenarios or scenario.name in scenarios:
            delays = _delays(traffic, queue_of(queue), scenario, deepcopy(watchers))
            found[scenario.name] = {name: Found(name in calm, delays.get(name, NEVER)) for name in names}
    return found


def _delays(
    traffic: Traffic, queue: Queue, scenario: Scenario, watchers: Mapping[str, Ours | Adaptive]
) -> dict[str, int]:
    after = traffic.branch(Setting(priority=scenario.priority))
    delays: dict[str, int] = {}
    for day in islice(after.days(scenario.change(queue) if scenario.change else None), DAYS):
        for name, watcher in watchers.items():
            if watcher.day(day):
                delays.setdefault(name, day.number - DAYS + 1)
        if len(delays) == len(watchers):
            break
    return delays


@dataclass(frozen=True, slots=True)
class Summary:
    """How a detector did in a scenario: share of runs with an alarm before and after, and days to it.

    ``found`` is the share of runs with an alarm by the end of each day after the change, from the first on.
    """

    before: float
    after: float
    median: float
    p90: float
    found: Sequence[float]


def summarise(runs: Sequence[Found]) -> Summary:
    """Over runs; delays of those that never came count as 99 days."""
    delays = sorted(one.delay for one in runs)
    before = sum(one.calm for one in runs) / len(runs)
    after = sum(delay < NEVER for delay in delays) / len(runs)
    found = [sum(delay <= day for delay in delays) / len(delays) for day in range(1, DAYS + 1)]
    return Summary(before, after, median(delays), delays[max(0, ceil(0.9 * len(delays)) - 1)], found)


def part(runs: int, spread: Spread[Run], first: int = 300) -> Part:
    """Every detector and scenario, on so many runs of every queue."""
    found = spread(run, [(queue.name, first + number) for queue in load_queues() for number in range(runs)])
    rows = {
        scenario.name: {name: summarise([one[scenario.name][name] for one in found]) for name in WATCHERS}
        for scenario in SCENARIOS
    }
    goals = []
    for scenario in SCENARIOS:
        ours = rows[scenario.name][NAMED]
        if scenario.harmless:
            goals.append(Goal(f"{scenario.name}: share of runs with an alarm in 20 days", 0.12, ours.after))
        else:
            goals.append(Goal(f"{scenario.name}: days until found, median", 2, ours.median))
            goals.append(Goal(f"{scenario.name}: days until found, p90", 5, ours.p90))
    figures = {
        "runs": len(found),
        "scenarios": {name: {who: asdict(one) for who, one in row.items()} for name, row in rows.items()},
    }
    return Part(f"{_table(rows)}\n\n{len(found)} runs.", figures, goals)


def _table(rows: Mapping[str, Mapping[str, Summary]]) -> str:
    """Share of runs with an alarm in 20 days after the change, median and p90 in days."""
    calm = [f"{one.before:.2f}" for one in rows[SCENARIOS[0].name].values()]
    lines = [
        "| scenario | " + " | ".join(WATCHERS) + " |",
        "|---|" + "---|" * len(WATCHERS),
        f"| 20 calm days: false alarm | {' | '.join(calm)} |",
    ]
    for scenario in SCENARIOS:
        cells = [_cell(scenario, one) for one in rows[scenario.name].values()]
        lines.append(f"| {scenario.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(scenario: Scenario, one: Summary) -> str:
    if scenario.harmless:
        return f"{one.after:.2f}"
    return f"{one.after:.2f}, {_days(one.median)}, {_days(one.p90)}" if one.after >= 0.5 else f"{one.after:.2f}"


def _days(count: float) -> str:
    return f"{count:.0f} d" if count < NEVER else "never"
