"""What the worker concluded from the humans' answers, beside the truth that only the demo knows."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from worker.demo.plan import MODELS, Plan, Predicted, SimulatedLabelers
from worker.demo.traffic import (
    DeadLetterGroup,
    DemoEvidence,
    InKili,
    Published,
    Traffic,
    broken_promises,
    dead_letters_of,
    in_kili_of,
    published_of,
    reviewed_in,
)
from worker.feedback.messages import AlarmNotification, Links
from worker.feedback.reading import KiliReader, LabelKind
from worker.feedback.report_data import disagreements
from worker.feedback.store import IntervalLock
from worker.ontology import Interface
from worker.reports.gallery import fetch_exhibits, varied
from worker.reports.page import page
from worker.settings.tree import Settings
from worker.wiring import access_of, budget_of, feedback_of, spool_of

LOOK_SECONDS = 0.05
SHOWN = 40
ABOUT = (
    "How often three model versions of the demo agree with simulated labelers, estimated for all of their traffic from "
    "the part that was reviewed"
)


class FeedbackProbe:
    """The feedback of the demo's project, from outside.

    Args:
        settings: of the worker.
        project: id.
        interface: the project's jsonInterface.
    """

    def __init__(self, settings: Settings, project: str, interface: dict[str, Any]) -> None:
        self._settings = settings
        self._spool = spool_of(settings)
        self._interval_lock = IntervalLock(self._spool.redis, self._spool.prefix)
        self._reader = KiliReader(access_of(settings), budget=budget_of(settings, self._spool))
        self._feedback = feedback_of(settings, self._spool, project, self._reader, Interface.parse(interface, "IMAGE"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    @property
    def links(self) -> Links:
        """Addresses of the project."""
        return self._feedback.links

    def wait(self, labels: int, patience: float) -> bool:
        """Bring the worker's next look forward and wait until it knows so many human labels; False when it does not."""
        self._interval_lock.put(self._feedback.project)
        end = time.monotonic() + patience
        while (known := self.known()) < labels and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        return known >= labels

    def report_data(self, patience: float) -> dict[str, Any]:
        """Every figure, once all labels are read: the worker puts predictions off while delivery needs the calls."""
        end = time.monotonic() + patience
        while not self._feedback.collect().complete and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        return self._feedback.report_data()

    def write_page(self, report_data: dict[str, Any], title: str, file: Path) -> None:
        """Write the report's page."""
        rows = varied(disagreements(self._feedback.store.records()), SHOWN)
        assets = self._reader.assets(self._feedback.project, sorted({row["asset_id"] for row in rows}))
        shown = fetch_exhibits(rows, assets, access_of(self._settings))
        file.write_text(page(report_data, title, self.links, shown, about=ABOUT), "utf-8")

    def known(self) -> int:
        """Human labels that the worker has read."""
        return sum(self._feedback.store.counts(LabelKind.HUMAN).values())


@dataclass(frozen=True, slots=True)
class DemoAgreement:
    """Agreement of one model version's live traffic with the humans, 0 to 1.

    ``truth`` is what it would be had the same people answered to every prediction; ``naive`` is the plain average of
    those that they answered to. ``estimate`` is None, and ``covered`` with it, while no audit is answered.
    """

    model: str
    predictions: int
    answered: int
    audits: int
    estimate: float | None
    low: float
    high: float
    truth: float
    naive: float | None

    @property
    def covered(self) -> bool | None:
        """Whether the truth is within the interval."""
        return None if self.estimate is None else self.low <= self.truth <= self.high


@dataclass(frozen=True, slots=True)
class DemoAlarm:
    """One drift alarm in the worker's words; ``lost`` are the classes whose agreement fell, the worst first."""

    id: str
    model: str
    since: float
    headline: str
    lost: list[str]


@dataclass(frozen=True, slots=True)
class DemoDrift:
    """The drift that was injected, and the alarms that were raised; times in seconds since the epoch."""

    injected_model: str
    injected_class: str
    injected_at: float
    alarms: list[DemoAlarm]

    @property
    def named(self) -> bool:
        """Whether an alarm names the version and, as the one that fell most, the class."""
        return any(self.is_right(alarm) for alarm in self.alarms)

    def is_right(self, alarm: DemoAlarm) -> bool:
        """Whether an alarm is about what was injected."""
        return alarm.model == self.injected_model and alarm.lost[:1] == [self.injected_class]


def agreements_of(plan: Plan, answers: Mapping[str, str], report_data: Mapping[str, Any]) -> list[DemoAgreement]:
    """One for each model version, in the order of their first predictions; ``answers`` by external id."""
    return list(_agreements(plan, answers, report_data))


def _agreements(plan: Plan, answers: Mapping[str, str], report_data: Mapping[str, Any]) -> Iterator[DemoAgreement]:
    for found in report_data["models"]:
        predicted = [one for one in plan.predictions if one.model == found["model"]]
        row = found["agreement"]
        yield DemoAgreement(
            model=found["model"],
            predictions=row["population"],
            answered=row["verdicts"],
            audits=row["audits"],
            estimate=row["value"],
            low=row["low"],
            high=row["high"],
            truth=sum(one.answer == answers[one.external_id] for one in predicted) / max(1, len(predicted)),
            naive=row["naive"],
        )


def drift_of(plan: Plan, injected_at: float, report_data: Mapping[str, Any], links: Links) -> DemoDrift:
    """What was injected and what was noticed."""
    alarms = [alarm for model in report_data["models"] for alarm in model["drift"]["alarms"]]
    return DemoDrift(plan.drifted_model, plan.drifted_class, injected_at, [_alarm(alarm, links) for alarm in alarms])


def _alarm(alarm: Mapping[str, Any], links: Links) -> DemoAlarm:
    lost = [row["name"].rpartition("/")[2] for row in alarm["classes"] if row["lost"] > 0]
    return DemoAlarm(alarm["id"], alarm["model"], alarm["since"], AlarmNotification(alarm, links).headline, lost)


@dataclass(frozen=True, slots=True)
class Review:
    """Errors of the models among the reviewed assets, against the truth.

    ``errors_by_chance`` is what as many reviews in random order find in expectation: errors * reviewed / assets.
    ``errors_by_confidence`` is what as many reviews in each round find when the queue is sorted by the models' own
    confidences, the lowest first, what was left over in earlier rounds among them.
    """

    reviewed: int
    assets: int
    errors_found: int
    errors_by_confidence: int
    errors_by_chance: float
    errors: int

    @property
    def gain(self) -> float | None:
        """Errors found, in multiples of those found by confidence; None when that finds none."""
        return self.errors_found / self.errors_by_confidence if self.errors_by_confidence else None


def review_of(plan: Plan, reviewed: Collection[str], per_phase: Sequence[int]) -> Review:
    """Compare orders of review.

    Args:
        plan: the predictions, with the truth.
        reviewed: external ids of the assets that people have labeled.
        per_phase: how many they labeled after each phase.
    """
    every = plan.predictions
    errors = sum(one.is_wrong for one in every)
    return Review(
        reviewed=len(reviewed),
        assets=len(every),
        errors_found=sum(one.is_wrong for one in every if one.external_id in reviewed),
        errors_by_confidence=errors_by_confidence(plan, per_phase),
        errors_by_chance=round(errors * len(reviewed) / max(1, len(every)), 1),
        errors=errors,
    )


def errors_by_confidence(plan: Plan, per_phase: Sequence[int]) -> int:
    """Errors that are found when the least confident predictions are reviewed first."""
    queue: list[Predicted] = []
    found = 0
    for part, count in zip(plan.phases, per_phase, strict=True):
        queue = sorted([*queue, *part], key=lambda one: one.confidence)
        found += sum(one.is_wrong for one in queue[:count])
        del queue[:count]
    return found


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Everything that the demo shows; ``broken_promises`` is empty when all of them hold."""

    models: list[str]
    published: Published
    in_kili: InKili
    dead_letters: list[DeadLetterGroup]
    ledger: dict[str, int]
    review: Review
    agreement: list[DemoAgreement]
    drift: DemoDrift
    broken_promises: list[str]


@dataclass(frozen=True, slots=True)
class Staged:
    """What was prepared: the predictions, their messages, who labels, and when the drift begins (Unix seconds)."""

    plan: Plan
    traffic: Traffic
    labelers: SimulatedLabelers
    drift_at: float


def outcome_of(staged: Staged, evidence: DemoEvidence, report_data: Mapping[str, Any], links: Links) -> DemoResult:
    """Count what there is and hold it against what was promised; ``report_data`` are the worker's."""
    published, in_kili = published_of(staged.traffic), in_kili_of(staged.traffic, evidence)
    per_phase = [len(part) for part in evidence.labeled]
    return DemoResult(
        models=list(MODELS),
        published=published,
        in_kili=in_kili,
        dead_letters=dead_letters_of(evidence.letters),
        ledger=dict(evidence.ledger),
        review=review_of(staged.plan, reviewed_in(evidence.assets), per_phase),
        agreement=agreements_of(staged.plan, staged.labelers.answers, report_data),
        drift=drift_of(staged.plan, staged.drift_at, report_data, links),
        broken_promises=broken_promises(staged.traffic, evidence, published, in_kili),
    )
