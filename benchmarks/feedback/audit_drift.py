"""Drift seen in a plain stream of audits: delays and false alarms, with ADWIN at defaults and tuned beside ours."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles

from benchmarks.feedback.adwin import Adwin
from benchmarks.feedback.goals import Goal, Part
from benchmarks.feedback.workers import Spread, here
from worker.statistics.detectors import AccuracyFell
from worker.statistics.samples import Sample
from worker.statistics.windows import Window

CHANGE = 1000
"""Audits before the change."""

PATIENCE = 2000
"""Audits after it, within which it is to be found."""

WINDOW = 25
SHIFTS = ((0.05, 0.15), (0.05, 0.10), (0.02, 0.06))
CALM = (0.05, 0.02)
CALM_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class Ours:
    """The detector of the feedback room, on audits alone."""

    run_length: float

    def alarms(self, errors: Sequence[bool]) -> Iterable[int]:
        """Positions of the alarms; after each the bets begin again."""
        detector = AccuracyFell(run_length=self.run_length)
        for start in range(0, len(errors), WINDOW):
            finding = detector.update(_window(errors[start : start + WINDOW], start))
            if finding is not None:
                yield start + finding.position
                detector.bets.rearm()


@dataclass(frozen=True, slots=True)
class Theirs:
    """ADWIN on the same audits."""

    delta: float
    clock: int

    def alarms(self, errors: Sequence[bool]) -> Iterable[int]:
        """Positions of the alarms."""
        detector = Adwin(self.delta, self.clock)
        yield from (place for place, wrong in enumerate(errors) if detector.update(float(wrong)))


WATCHERS: dict[str, Ours | Theirs] = {
    "accuracy fell, run length 7,000": Ours(7_000),
    "accuracy fell, run length 10,000": Ours(10_000),
    "ADWIN, defaults (0.002, clock 32)": Theirs(0.002, 32),
    "ADWIN, tuned (0.3, clock 1)": Theirs(0.3, 1),
}


NAMED = "accuracy fell, run length 7,000"
"""The setting that the goals are held against."""

CHUNK = 20
"""Streams in one task."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How a change was found; delays in audits."""

    median: float
    p90: float
    missed: float


def false_alarms(watcher: str, rate: float, streams: int, spread: Spread[list[int]] = here) -> float:
    """False alarms in 10,000 audits with a constant error rate."""
    found = _spread_over(count_alarms, watcher, (rate,), streams, spread)
    return sum(found) / len(found)


def shift(watcher: str, before: float, after: float, streams: int, spread: Spread[list[int]] = here) -> Shift:
    """How long it takes to find that the error rate has changed."""
    delays = _spread_over(delays_of, watcher, (before, after), streams, spread)
    return Shift(median(delays), quantiles(delays, n=10)[8], sum(delay > PATIENCE for delay in delays) / len(delays))


def count_alarms(watcher: str, rate: float, seeds: range) -> list[int]:
    """Alarms in each calm stream."""
    return [len(list(WATCHERS[watcher].alarms(_errors(seed, [(rate, CALM_LENGTH)])))) for seed in seeds]


def delays_of(watcher: str, before: float, after: float, seeds: range) -> list[int]:
    """Audits from the change to the first alarm after it, in each stream; more than ``PATIENCE`` if there is none."""
    delays = []
    for seed in seeds:
        alarms = WATCHERS[watcher].alarms(_errors(seed, [(before, CHANGE), (after, PATIENCE)]))
        alarm = next((place for place in alarms if place >= CHANGE), CHANGE + PATIENCE)
        delays.append(alarm - CHANGE + 1)
    return delays


def _spread_over(
    function: Callable[..., list[int]], watcher: str, rates: Sequence[float], streams: int, spread: Spread[list[int]]
) -> list[int]:
    chunks = [range(start, min(streams, start + CHUNK)) for start in range(0, streams, CHUNK)]
    return [one for found in spread(function, [(watcher, *rates, chunk) for chunk in chunks]) for one in found]


def part(streams: int, spread: Spread[list[int]]) -> Part:
    """Measure every watcher."""
    rows = {}
    for name in WATCHERS:
        calm = [false_alarms(name, rate, max(1, streams // 8), spread) for rate in CALM]
        rows[name] = (calm, [shift(name, *pair, streams, spread) for pair in SHIFTS])
    calm, (fast, slow, _) = rows[NAMED]
    goals = (
        Goal("95 → 85 %: audits until found, median", 85, fast.median),
        Goal("false alarms in 10,000 audits at 95 %", 1, calm[0]),
        Goal("95 → 90 %: share missed in 2,000 audits", 0.03, slow.missed),
    )
    figures = {
        name: {"false_alarms": dict(zip(map(str, CALM), calm, strict=True)), "shifts": [asdict(one) for one in shifts]}
        for name, (calm, shifts) in rows.items()
    }
    return Part(_table(rows), figures, goals)


def _table(rows: Mapping[str, tuple[Sequence[float], Sequence[Shift]]]) -> str:
    lines = [
        "| detector | false alarms in 10,000 audits at 95 %, 98 % | 95 → 85 %: median, p90, missed "
        "| 95 → 90 % | 98 → 94 % |",
        "|---|---|---|---|---|",
    ]
    for name, (calm, shifts) in rows.items():
        cells = " | ".join(f"{one.median:.0f}, {one.p90:.0f}, {100 * one.missed:.1f} %" for one in shifts)
        lines.append(f"| {name} | {', '.join(f'{one:.2f}' for one in calm)} | {cells} |")
    return "\n".join(lines)


def _errors(seed: int, parts: Iterable[tuple[float, int]]) -> list[bool]:
    dice = random.Random(seed)
    return [dice.random() < rate for rate, count in parts for _ in range(count)]


def _window(errors: Sequence[bool], start: int) -> Window:
    samples = [
        Sample("audit", float(start + place), audited=True, inclusion=1.0, error=float(wrong))
        for place, wrong in enumerate(errors)
    ]
    return Window(samples, [0.0] * len(samples), [], closed=True)
