"""Drift on real models' streams under priority review: 1,000 predictions and 150 labels a day."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import exp
from statistics import median, quantiles

from benchmarks.feedback.adwin import Adwin
from benchmarks.feedback.queues import Queue, Said
from benchmarks.feedback.stream import Change, Day, Setting, days
from worker.feedback.detectors import AccuracyFell, ScoresChanged, WorseThanConfidence
from worker.feedback.windows import windows_of

DAYS = 20
"""Calm days before the change, and days within which it is to be found."""

DROP = 0.10
NEVER = 99


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens on day 20; ``harmless`` if no detector of errors should notice."""

    name: str
    change: Callable[[Queue], Change] | None = None
    priority: Callable[[int], float] = lambda _: 0.10
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
    Scenario("reviewers 10 → 30 %", priority=lambda day: 0.10 if day < DAYS else 0.30, harmless=True),
    Scenario("reviewers 10 → 3 %", priority=lambda day: 0.10 if day < DAYS else 0.03, harmless=True),
)


class Ours:
    """One of the three detectors, fed with windows of 250 predictions."""

    def __init__(self, kind: type[AccuracyFell] | type[WorseThanConfidence] | type[ScoresChanged]) -> None:
        self._detector = kind()

    def day(self, day: Day) -> bool:
        """Whether there is an alarm on this day; the detector then begins again."""
        pairs = zip(day.units, day.confidences, strict=True)
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
    """ADWIN at its defaults, on the audits or on everything that was reviewed."""

    def __init__(self, *, audits: bool) -> None:
        self._detector = Adwin()
        self._audits = audits

    def day(self, day: Day) -> bool:
        """Whether there is an alarm on this day."""
        errors = [unit.error for unit in day.units if unit.error is not None and (unit.audited or not self._audits)]
        alarms = [self._detector.update(error) for error in errors]
        return any(alarms)


WATCHERS: dict[str, Callable[[], Ours | Adaptive]] = {
    "accuracy fell": lambda: Ours(AccuracyFell),
    "worse than confidence": lambda: Ours(WorseThanConfidence),
    "scores changed": lambda: Ours(ScoresChanged),
    "ADWIN on audits": lambda: Adaptive(audits=True),
    "ADWIN on all reviewed": lambda: Adaptive(audits=False),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector did in one run: alarms in the calm days, and the day of the first one after, from 1."""

    calm: bool
    delay: int


def run(queue: Queue, scenario: Scenario, seed: int, names: Sequence[str]) -> dict[str, Found]:
    """Watch one stream until every detector has found the change, or for 20 days after it."""
    watchers = {name: WATCHERS[name]() for name in names}
    calm: set[str] = set()
    delays: dict[str, int] = {}
    for day in _until(queue, scenario, seed, lambda: len(delays) == len(names)):
        for name, watcher in watchers.items():
            if not watcher.day(day):
                continue
            if day.number < DAYS:
                calm.add(name)
            else:
                delays.setdefault(name, day.number - DAYS + 1)
    return {name: Found(name in calm, delays.get(name, NEVER)) for name in names}


def _until(queue: Queue, scenario: Scenario, seed: int, done: Callable[[], bool]) -> Iterator[Day]:
    change = scenario.change(queue) if scenario.change else None
    for day in days(queue, Setting(priority=scenario.priority), seed, change):
        if day.number >= 2 * DAYS or (done() and day.number > DAYS):
            return
        yield day


@dataclass(frozen=True, slots=True)
class Summary:
    """How a detector did in a scenario: share of runs with an alarm before and after, and days to it."""

    before: float
    after: float
    median: float
    p90: float


def summarise(runs: Sequence[Found]) -> Summary:
    """Over runs; delays of those that never came count as 99 days."""
    delays = [one.delay for one in runs]
    p90 = quantiles(delays, n=10)[8] if len(delays) > 1 else delays[0]
    before = sum(one.calm for one in runs) / len(runs)
    return Summary(before, sum(delay < NEVER for delay in delays) / len(runs), median(delays), p90)


def measure(
    queues: Sequence[Queue], scenario: Scenario, runs: int, names: Sequence[str] = tuple(WATCHERS), seed: int = 100
) -> dict[str, Summary]:
    """Every detector on so many runs of every queue."""
    found: dict[str, list[Found]] = {name: [] for name in names}
    for queue in queues:
        for number in range(runs):
            for name, one in run(queue, scenario, seed + number, names).items():
                found[name].append(one)
    return {name: summarise(part) for name, part in found.items()}


def table(queues: Sequence[Queue], runs: int, progress: Callable[[str], None] = lambda _: None) -> str:
    """A table in Markdown: share of runs with an alarm in 20 days after the change, median and p90 in days."""
    head = "| scenario | " + " | ".join(WATCHERS) + " |\n|---|" + "---|" * len(WATCHERS)
    lines = [head]
    for scenario in SCENARIOS:
        progress(scenario.name)
        measured = measure(queues, scenario, runs)
        cells = [_cell(scenario, one) for one in measured.values()]
        lines.append(f"| {scenario.name} | " + " | ".join(cells) + " |")
        if scenario is SCENARIOS[0]:
            calm = " | ".join(f"{one.before:.2f}" for one in measured.values())
            lines.insert(1, f"| 20 calm days: false alarm | {calm} |")
    return "\n".join(lines)


def _cell(scenario: Scenario, one: Summary) -> str:
    if scenario.harmless:
        return f"{one.after:.2f}"
    return f"{one.after:.2f}, {one.median:.0f} d, {one.p90:.0f} d" if one.after >= 0.5 else f"{one.after:.2f}"
