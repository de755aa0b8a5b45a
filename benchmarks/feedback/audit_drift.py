"""Drift seen in a plain stream of audits: delays and false alarms, with ADWIN at defaults and tuned beside ours."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Protocol

from benchmarks.feedback.adwin import Adwin
from worker.feedback.detectors import AccuracyFell
from worker.feedback.units import Unit
from worker.feedback.windows import Window

CHANGE = 1000
"""Audits before the change."""

PATIENCE = 2000
"""Audits after it, within which it is to be found."""

WINDOW = 25
SHIFTS = ((0.05, 0.15), (0.05, 0.10), (0.02, 0.06))
CALM = (0.05, 0.02)
CALM_LENGTH = 10_000


class Watcher(Protocol):
    """Looks at audits in their order."""

    def alarms(self, errors: Iterable[bool]) -> Iterable[int]:
        """Positions of the alarms."""


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
    "ADWIN, tuned (0.2, clock 1)": Theirs(0.2, 1),
}


@dataclass(frozen=True, slots=True)
class Shift:
    """How a change was found; delays in audits."""

    median: float
    p90: float
    missed: float


def false_alarms(watcher: Ours | Theirs, rate: float, runs: int, seed: int = 1) -> float:
    """False alarms in 10,000 audits with a constant error rate."""
    dice = random.Random(seed)
    found = sum(len(list(watcher.alarms(_errors(dice, [(rate, CALM_LENGTH)])))) for _ in range(runs))
    return found / runs


def shift(watcher: Ours | Theirs, before: float, after: float, runs: int, seed: int = 2) -> Shift:
    """How long it takes to find that the error rate has changed."""
    dice = random.Random(seed)
    delays = []
    for _ in range(runs):
        errors = _errors(dice, [(before, CHANGE), (after, PATIENCE)])
        alarm = next((place for place in watcher.alarms(errors) if place >= CHANGE), None)
        delays.append(PATIENCE + 1 if alarm is None else alarm - CHANGE + 1)
    return Shift(median(delays), quantiles(delays, n=10)[8], sum(delay > PATIENCE for delay in delays) / runs)


def table(runs: int, progress: Callable[[str], None] = lambda _: None) -> str:
    """A table in Markdown."""
    lines = [
        "| detector | false alarms in 10,000 audits at 95 %, 98 % | 95 → 85 %: median, p90, missed "
        "| 95 → 90 % | 98 → 94 % |",
        "|---|---|---|---|---|",
    ]
    for name, watcher in WATCHERS.items():
        progress(name)
        calm = ", ".join(f"{false_alarms(watcher, rate, max(1, runs // 4)):.2f}" for rate in CALM)
        shifts = [shift(watcher, *pair, runs) for pair in SHIFTS]
        cells = " | ".join(f"{one.median:.0f}, {one.p90:.0f}, {100 * one.missed:.1f} %" for one in shifts)
        lines.append(f"| {name} | {calm} | {cells} |")
    return "\n".join(lines)


def _errors(dice: random.Random, parts: Iterable[tuple[float, int]]) -> list[bool]:
    return [dice.random() < rate for rate, count in parts for _ in range(count)]


def _window(errors: Sequence[bool], start: int) -> Window:
    units = [
        Unit("audit", float(start + place), audited=True, inclusion=1.0, error=float(wrong))
        for place, wrong in enumerate(errors)
    ]
    return Window(units, [0.0] * len(units), [], closed=True)
