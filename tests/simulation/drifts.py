"""What must hold of the feedback over months: drifts are told once and in time, nothing else is, intervals hold.

The judge knows the truth: what every model said and what was right (:mod:`tests.simulation.models`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import comb

from tests.simulation.judge import answer_of
from tests.simulation.models import DAY, Model, truth_of
from tests.simulation.reviewers import MISTAKES
from tests.simulation.servers import SimulatedKili, SimulatedRedis
from tests.simulation.world import BEGIN, Violation, World
from worker.feedback.alarms import AlarmName

FOUND_DAYS = 16.0
"""Days, beside those of outages and holidays, within which a planted drift is told; longer with thin traffic."""

LASTING_DAYS = 30.0
"""For so long after a drift an alarm may be of it, also one of another detector."""

AGREES = 1 - MISTAKES * 3 / 4
"""How often people give the right answer; else it is one of the others."""

MISSES = 0.07
"""Share of 95 % intervals that may miss the truth: the bound of the benchmark of agreement."""

LEAST = 200
"""Predictions that an interval is judged from."""


@dataclass(frozen=True, slots=True)
class Told:
    """An alarm in the log; ``day`` since the beginning."""

    id: str
    project: str
    day: float


@dataclass
class DriftJudge(logging.Handler):
    """Hears the alarms in the workers' logs, and looks at the intervals that ``status`` shows."""

    world: World
    store: SimulatedRedis
    kili: SimulatedKili
    projects: list[str]
    models: tuple[Model, ...]
    days: float
    slack: float = 0.0
    """Days of outages and holidays."""
    told: list[Told] = field(default_factory=list)
    held: int = 0
    judged: int = 0
    misses: list[str] = field(default_factory=list)
    disturbed: Callable[[float], bool] = lambda _: False
    """Whether something has gone wrong since a moment, so that a telling may not have been noted."""

    def __post_init__(self) -> None:
        super().__init__(logging.WARNING)
        self._seen: dict[tuple[str, str], float] = {}
        self._last: dict[str, float] = {}
        self.problem = ""

    def __hash__(self) -> int:
        return id(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of an alarm."""
        if getattr(record, "action", "") != "drift_alarm":
            return
        name, project = str(getattr(record, "id")), str(getattr(record, "project"))  # noqa: B009 - of the log's extra
        key = f"{project}/{name}"
        if self.store.plain.hexists(f"pw:feedback:{project}:told", name):
            self.problem = f"{name} was noted as told, and is told again"
        if key in self._last and not self.disturbed(self._last[key]):
            self.problem = f"{name} is told twice although nothing went wrong in between"
        if key not in self._last:
            self.told.append(Told(name, project, (self.world.now - BEGIN) / DAY))
        self._last[key] = self.world.now

    def look(self) -> None:
        """Hold the newest intervals against the truth; those of one model version never overlap."""
        for project in self.projects:
            found = self.store.plain.get(f"pw:feedback:{project}:summary")
            if found is None:
                continue
            summary = json.loads(found)
            for label, row in summary["models"].items():
                self._judge_interval(project, label, row, summary["at"])

    def _judge_interval(self, project: str, label: str, row: dict[str, float], at: float) -> None:
        model = next((one for one in self.models if one.label == label), None)
        width = self.window * DAY
        begin = at - width
        if model is None or row["value"] is None or begin < self._seen.get((project, label), BEGIN):
            return
        changed = any(begin - DAY <= BEGIN + one.day * DAY <= at for one in model.changes)
        truth, count = self._truth(project, label, begin, at)
        if changed or count < LEAST:
            return
        self._seen[project, label] = at
        self.judged += 1
        if row["low"] - 1e-9 <= truth <= row["high"] + 1e-9:
            self.held += 1
        else:
            day = (at - BEGIN) / DAY
            self.misses.append(f"{label} day {day:.0f}: {truth:.3f} not in {row['low']:.3f} to {row['high']:.3f}")

    def _truth(self, project: str, label: str, begin: float, end: float) -> tuple[float, int]:
        """How often people agree with what the model said in that time, had they looked at all of it."""
        tables = self.kili.sandbox.store.tables
        first, last = _iso(begin), _iso(end)
        right = count = 0
        for one in reversed(tables.labels_of(project).values()):
            if one.created_at < first:
                break
            if one.label_type == "INFERENCE" and one.model_name == label and one.created_at <= last:
                count += 1
                right += answer_of(one.json_response) == truth_of(tables.assets[one.asset_id].external_id)
        share = right / max(1, count)
        return share * AGREES + (1 - share) * MISTAKES / 4, count

    window = 7.0
    """Days that the figures look back."""

    def final(self) -> None:
        """Every planted drift was told once, in time; nothing else was; intervals held often enough."""
        for model in self.models:
            self._judge_drifts(model)
        bound = most_misses(self.judged, MISSES)
        if len(self.misses) > bound:
            raise Violation(f"{len(self.misses)} of {self.judged} intervals miss the truth: {self.misses[:4]}")

    def _judge_drifts(self, model: Model) -> None:
        alarms = [(AlarmName.of(one.id), one) for one in self.told]
        own = [(name, one) for name, one in alarms if name is not None and name.model == model.label]
        fell = [one for name, one in own if name.detector == "accuracy_fell"]
        for drift in model.drifts:
            end = drift + FOUND_DAYS * model.slowness + self.slack
            if min(self.days, model.end) < end:
                continue
            found = [one for one in fell if drift < one.day <= end]
            if len(found) != 1:
                days = [f"{one.id} {one.day:.1f}" for one in fell]
                raise Violation(f"the drift of {model.label} on day {drift:.1f} was told {len(found)} times: {days}")
        lasting = LASTING_DAYS * model.slowness
        false = [one for _, one in own if not any(0 < one.day - drift < lasting for drift in model.drifts)]
        if false:
            raise Violation(f"false alarms of {model.label}: {[(one.id, round(one.day, 1)) for one in false]}")


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def most_misses(count: int, share: float, risk: float = 1e-4) -> int:
    """So many misses at most, or the share is greater, but for a risk."""
    beyond = 1.0
    for misses in range(count + 1):
        beyond -= comb(count, misses) * share**misses * (1 - share) ** (count - misses)
        if beyond < risk:
            return misses
    return count
