"""The three detectors on one model version's predictions, and the alarms they raise.

Each detector goes forward only. It cuts the predictions, in the order in which Kili took them, into windows of a least
length; a window is cut once, looked at once, and stays what it was then. It is longer where Kili took predictions in
another order than they were made in, so that each window is a fair sample of its time, and is looked at in the order in
which they were made. A detector that has raised an alarm looks at nothing until the alarm is acknowledged; then it
learns anew from what is predicted afterwards. What it knows is plain data (:meth:`DriftWatch.state`), which the next
look goes on from.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import fsum, inf, log
from typing import Any

from worker.statistics.detectors import (
    RUN_LENGTH,
    AccuracyFell,
    ChangePoint,
    Detector,
    ScoresChanged,
    WorseThanConfidence,
)
from worker.statistics.samples import Sample
from worker.statistics.windows import (
    WINDOW_SAMPLES,
    Patience,
    Window,
    displaced,
    error_scores,
    window_end,
    window_of,
)

DETECTORS: Mapping[str, type[AccuracyFell] | type[WorseThanConfidence] | type[ScoresChanged]] = {
    kind.name: kind for kind in (AccuracyFell, WorseThanConfidence, ScoresChanged)
}

STATE_VERSION = 1
MOST_POINTS = 400
"""Windows on the timeline that are kept of a model version."""

Scored = tuple[Sample, float | None]
"""A prediction with the model's own confidence."""

Place = tuple[float, str]
"""Where a prediction stands among the others: :attr:`worker.statistics.samples.Sample.place`."""

FIRST: Place = (0.0, "")

Acknowledged = Mapping[str, Mapping[int, float]]
"""Per detector, when the alarm of a number was acknowledged."""


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

    ``evidence`` is ``log(1 + wealth) / log(run length)``; 1 raises the alarm. ``error_rate`` is None without answers.
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


class StateError(ValueError):
    """What is stored of the detectors cannot be read: a newer worker has written it."""


@dataclass(slots=True)
class DetectorProgress:
    """One detector on its way.

    Attributes:
        place: of the last prediction that it has looked at.
        number: of its last alarm; numbers are never used again.
        raised: whether that alarm has still to be acknowledged.
        accepting: whether it learns what a person has accepted.
        detector: what it knows so far.
    """

    place: Place = FIRST
    number: int = 0
    raised: bool = False
    accepting: bool = False
    detector: Detector | None = None

    def accept(self, at: float) -> None:
        """The last alarm was acknowledged: learn anew from what comes afterwards."""
        self.place, self.raised, self.accepting, self.detector = max(self.place, (at, "")), False, True, None

    def starts_after(self, acknowledged: Mapping[int, float]) -> Place:
        """After which place it looks at predictions."""
        if not self.raised:
            return self.place
        return max(self.place, (acknowledged.get(self.number, inf), ""))


@dataclass(slots=True)
class DriftWatch:
    """The detectors on one model version.

    Attributes:
        model: ``name:version``.
        progress: of each detector.
        points: the timeline, oldest first.
        seen: when Kili took the newest prediction that was there at the last look, seconds since the epoch.
    """

    model: str
    progress: dict[str, DetectorProgress] = field(
        default_factory=lambda: {name: DetectorProgress() for name in DETECTORS}
    )
    points: list[Point] = field(default_factory=list)
    seen: float = 0.0

    def starts_after(self, acknowledged: Acknowledged) -> Place:
        """No detector looks at anything up to this place."""
        return min(one.starts_after(acknowledged.get(name, {})) for name, one in self.progress.items())

    def look(
        self,
        samples: Iterable[Scored],
        patience: Patience,
        acknowledged: Acknowledged,
        *,
        run_length: float = RUN_LENGTH,
        size: int = WINDOW_SAMPLES,
    ) -> list[Alarm]:
        """Go on with what has come since the last look; the alarms that this raises.

        Args:
            samples: the model version's predictions, in any order; those that were looked at before do no harm.
            patience: how long answers are waited for.
            acknowledged: which alarms were.
            run_length: mean number of predictions between false alarms of each detector.
            size: predictions in a window, at least.
        """
        ordered = sorted(samples, key=lambda pair: pair[0].place)
        if ordered:
            self.seen = max(self.seen, ordered[-1][0].place[0])
        found: list[Alarm] = []
        for name, progress in self.progress.items():
            run = _Run(self.model, name, progress, acknowledged.get(name, {}), run_length)
            run.over(ordered, patience, size)
            found += run.alarms
            if name == AccuracyFell.name:
                self.points = [*self.points, *run.points][-MOST_POINTS:]
        return sorted(found, key=lambda alarm: alarm.at)

    @property
    def states(self) -> dict[str, State]:
        """What each detector is doing."""
        return {name: _state(one) for name, one in self.progress.items()}

    def state(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "version": STATE_VERSION,
            "seen": self.seen,
            "points": [[one.at, one.error_rate, one.evidence] for one in self.points],
            "detectors": {
                name: [list(one.place), one.number, one.raised, one.accepting, one.detector and one.detector.state()]
                for name, one in self.progress.items()
            },
        }

    @classmethod
    def restore(cls, model: str, state: Mapping[str, Any]) -> DriftWatch:
        """The watch that ``state`` described.

        Raises:
            StateError: a newer worker has written it.
        """
        if state["version"] != STATE_VERSION:
            raise StateError(
                f"the drift detectors of {model} were stored in version {state['version']}, this worker reads "
                f"{STATE_VERSION}: bring all workers to one release"
            )
        progress = {name: DetectorProgress() for name in DETECTORS}
        for name, (place, number, raised, accepting, known) in state["detectors"].items():
            detector = DETECTORS[name].restore(known) if known else None
            progress[name] = DetectorProgress((place[0], place[1]), number, raised, accepting, detector)
        return cls(model, progress, [Point(*row) for row in state["points"]], state["seen"])


def watch(
    model: str,
    samples: Iterable[Scored],
    *,
    overdue_before: float,
    acknowledged: Mapping[str, Sequence[float]],
    run_length: float = RUN_LENGTH,
    size: int = WINDOW_SAMPLES,
) -> Drift:
    """Run the detectors over all predictions of a model version in one pass.

    Args:
        model: ``name:version``.
        samples: its predictions with the model's own confidences, in any order.
        overdue_before: reviews of what was predicted earlier are no longer waited for (seconds since the epoch).
        acknowledged: per detector, when its alarms were acknowledged, in order.
        run_length: the knob: mean number of predictions between false alarms.
        size: predictions in a window, at least.
    """
    one = DriftWatch(model)
    numbered = {name: dict(enumerate(times, 1)) for name, times in acknowledged.items()}
    patience = Patience(overdue_before, overdue_before)
    alarms = one.look(samples, patience, numbered, run_length=run_length, size=size)
    return Drift(model, one.states, alarms, one.points)


class _Run:
    """One look of one detector."""

    def __init__(
        self, model: str, name: str, progress: DetectorProgress, acknowledged: Mapping[int, float], run_length: float
    ) -> None:
        self.alarms: list[Alarm] = []
        self.points: list[Point] = []
        self._model = model
        self._name = name
        self._progress = progress
        self._acknowledged = acknowledged
        self._run_length = run_length

    def over(self, ordered: Sequence[Scored], patience: Patience, size: int) -> None:
        """Look at one window after the other, as far as they are complete."""
        while not self._progress.raised or self._accepted():
            start = bisect_right(ordered, self._progress.place, key=lambda pair: pair[0].place)
            if not self._go_on(ordered[start:], patience, size):
                return

    def _go_on(self, rest: Sequence[Scored], patience: Patience, size: int) -> bool:
        """Look at windows until an alarm is raised; False when no further one is complete."""
        start, strangers = 0, displaced([sample.at for sample, _ in rest])
        while not self._progress.raised:
            end = window_end(strangers, start, size)
            chosen = rest[start:end]
            if end is None or chosen[-1][0].place[0] > patience.settled:
                return False
            if self._needs_answers and any(patience.waits(sample) for sample, _ in chosen):
                return False
            in_time = sorted(chosen, key=lambda pair: pair[0].at)
            self._look(window_of(in_time, patience, weighed=self._name == AccuracyFell.name))
            self._progress.place, start = chosen[-1][0].place, end
        return True

    @property
    def _needs_answers(self) -> bool:
        return self._name != ScoresChanged.name

    def _accepted(self) -> bool:
        at = self._acknowledged.get(self._progress.number)
        if at is not None:
            self._progress.accept(at)
        return at is not None

    def _look(self, window: Window) -> None:
        detector = self._detector()
        change_point = detector.update(window)
        if isinstance(detector, AccuracyFell):
            self.points.append(_point(window, detector, self._run_length))
        if change_point is not None:
            self._raise(detector, change_point)

    def _detector(self) -> Detector:
        """As far as it has come, under the knob that is in force."""
        if self._progress.detector is None:
            self._progress.detector = _made(self._name, accepting=self._progress.accepting)
        self._progress.detector.run_length = self._run_length
        return self._progress.detector

    def _raise(self, detector: Detector, change_point: ChangePoint) -> None:
        self._progress.number += 1
        self._progress.raised = True
        number = self._progress.number
        about = (f"{self._name}/{self._model}/{number}", self._name, detector.meaning, self._model)
        self.alarms.append(Alarm(*about, change_point.at, change_point.since, self._acknowledged.get(number)))


def _made(name: str, *, accepting: bool) -> Detector:
    return WorseThanConfidence(accepting=accepting) if name == WorseThanConfidence.name else DETECTORS[name]()


def _state(progress: DetectorProgress) -> State:
    if progress.raised:
        return State.RAISED
    match progress.detector:
        case AccuracyFell(bets=bets):
            return State.QUIET if bets.stakes else State.LEARNING
        case WorseThanConfidence(accepting=True, bets=bets):
            return State.QUIET if bets.capitals else State.LEARNING
        case ScoresChanged(edges=edges):
            return State.QUIET if edges else State.LEARNING
        case WorseThanConfidence():
            return State.QUIET
        case _:
            return State.LEARNING


def _point(window: Window, detector: AccuracyFell, run_length: float) -> Point:
    capitals = detector.bets.capitals
    wealth = fsum(capitals) / len(capitals) if capitals else 0.0
    scores, _ = error_scores(window)
    rate = round(min(1.0, max(0.0, fsum(scores) / len(scores))), 5) if window.audits else None
    return Point(window.samples[-1].at, rate, round(log(1 + wealth) / log(1 + run_length), 5))
