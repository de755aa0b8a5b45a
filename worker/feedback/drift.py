"""The three detectors on one model version's predictions, and the alarms they raise.

A pure function of the predictions and of what people have acknowledged: computed again from the same data, it gives the
same alarms. A detector that has raised an alarm is silent until the alarm is acknowledged; from then on it learns
anew from what is predicted afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import fsum, log

from worker.feedback.detectors import RUN_LENGTH, AccuracyFell, Detector, Finding, ScoresChanged, WorseThanConfidence
from worker.feedback.units import Unit
from worker.feedback.windows import WINDOW_UNITS, Window, error_scores, windows_of

DETECTORS: Mapping[str, type[AccuracyFell] | type[WorseThanConfidence] | type[ScoresChanged]] = {
    kind.name: kind for kind in (AccuracyFell, WorseThanConfidence, ScoresChanged)
}

Scored = tuple[Unit, float | None]
"""A prediction with the model's own confidence."""


class State(StrEnum):
    """What a detector is doing."""

    LEARNING = "learning"
    QUIET = "quiet"
    RAISED = "raised"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm; times in seconds since the epoch. ``id`` names detector, model version and how often it was raised."""

    id: str
    detector: str
    meaning: str
    model: str
    at: float
    since: float
    acknowledged_at: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One window on the timeline: when it ended, its estimated error rate, and the evidence of the first detector.

    ``evidence`` is ``log(1 + capital) / log(run length)``; 1 raises the alarm. ``error_rate`` is None without answers.
    """

    at: float
    error_rate: float | None
    evidence: float


@dataclass(frozen=True, slots=True)
class Drift:
    """What the detectors say of one model version."""

    model: str
    states: Mapping[str, State]
    alarms: Sequence[Alarm]
    points: Sequence[Point]


def watch(
    model: str,
    units: Iterable[Scored],
    *,
    overdue_before: float,
    acknowledged: Mapping[str, Sequence[float]],
    run_length: float = RUN_LENGTH,
    size: int = WINDOW_UNITS,
) -> Drift:
    """Run the detectors over all predictions of a model version.

    Args:
        model: ``name:version``.
        units: its predictions with the model's own confidences, in any order.
        overdue_before: audits predicted earlier are no longer waited for (seconds since the epoch).
        acknowledged: per detector, when its alarms were acknowledged, in order.
        run_length: the knob: mean number of predictions between false alarms.
        size: predictions in a window.
    """
    windows = windows_of(units, overdue_before=overdue_before, size=size)
    alarms: list[Alarm] = []
    states: dict[str, State] = {}
    points: list[Point] = []
    for name, kind in DETECTORS.items():
        run = _Run(model, lambda kind=kind: kind(run_length=run_length), acknowledged.get(name, ()))  # type: ignore[misc]
        run.over(_usable(windows, name))
        alarms += run.alarms
        states[name] = run.state
        if name == AccuracyFell.name:
            points = [_point(window, detector, run_length) for window, detector in run.trace]
    return Drift(model, states, sorted(alarms, key=lambda alarm: alarm.at), points)


def _usable(windows: Sequence[Window], name: str) -> Sequence[Window]:
    """Answers count up to the first window that still waits for audits; scores need no answers."""
    if name == ScoresChanged.name:
        return windows
    waiting = next((index for index, window in enumerate(windows) if not window.closed), len(windows))
    return windows[:waiting]


class _Run:
    """One detector over the windows of one model version, started anew after each acknowledgement."""

    def __init__(self, model: str, make: Callable[[], Detector], acknowledged: Sequence[float]) -> None:
        self.alarms: list[Alarm] = []
        self.trace: list[tuple[Window, float]] = []
        self._model = model
        self._make = make
        self._acknowledged = list(acknowledged)
        self._detector = make()
        self._latched = False

    @property
    def state(self) -> State:
        """What the detector is doing after the last window."""
        if self._latched:
            return State.RAISED
        return State.QUIET if _has_learned(self._detector) else State.LEARNING

    def over(self, windows: Sequence[Window]) -> None:
        """Look at windows in their order."""
        for window in windows:
            if self._latched and not self._renewed(window):
                continue
            finding = self._detector.update(window)
            self.trace.append((window, _capital(self._detector)))
            if finding is not None:
                self._raise(finding)

    def _raise(self, finding: Finding) -> None:
        number = len(self.alarms)
        known = self._acknowledged[number] if number < len(self._acknowledged) else None
        name, meaning = self._detector.name, self._detector.meaning
        alarm_id = f"{name}/{self._model}/{number + 1}"
        self.alarms.append(Alarm(alarm_id, name, meaning, self._model, finding.at, finding.since, known))
        self._latched = True

    def _renewed(self, window: Window) -> bool:
        until = self.alarms[-1].acknowledged_at
        if until is None or window.units[0].at < until:
            return False
        self._detector, self._latched = self._make(), False
        return True


def _has_learned(detector: Detector) -> bool:
    match detector:
        case AccuracyFell(bets=bets):
            return bool(bets.stakes)
        case ScoresChanged(edges=edges):
            return bool(edges)
        case _:
            return True


def _capital(detector: Detector) -> float:
    capitals = detector.bets.capitals if isinstance(detector, AccuracyFell) else []
    return fsum(capitals) / len(capitals) if capitals else 0.0


def _point(window: Window, capital: float, run_length: float) -> Point:
    scores, _ = error_scores(window)
    rate = min(1.0, max(0.0, fsum(scores) / len(scores))) if window.audits else None
    return Point(window.units[-1].at, rate, log(1 + capital) / log(1 + run_length))
