"""What the worker does with the answers of humans, project by project: collect, learn, look for drift, tell."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import redis

from worker.environment import clock
from worker.feedback.alarms import AlarmBook, AlarmName
from worker.feedback.collector import HORIZON_DAYS, Collector, CycleResult, LabelSource
from worker.feedback.drift import DETECTORS
from worker.feedback.label_files import UnreadBook, UnreadLabels
from worker.feedback.messages import AlarmNotification, Links
from worker.feedback.monitor import DAY, Look, Monitor, MonitorRules
from worker.feedback.records import AssetRecord
from worker.feedback.report_data import ReportQuestion, newest, report_data_of
from worker.feedback.store import FeedbackStore, IntervalLock, versions_key
from worker.feedback.verdicts import AnsweredAsset, training_examples
from worker.ontology import Interface
from worker.review import Verdict
from worker.statistics.detectors import RUN_LENGTH
from worker.statistics.windows import SETTLING_SECONDS
from worker.tracing import Evaluation

logger = logging.getLogger(__name__)

PRUNE_EVERY = 86_400.0

REPORT_SHARE = 0.05
"""Most of a process's time that figures may take: where they take long, they are computed less often."""


RENEW_RECORDS = 1000
"""Records after which the lock is renewed."""


class Scope(StrEnum):
    """What shares one run length: the more detectors share it, the longer is that of each."""

    DETECTOR = "detector"
    VERSION = "version"
    FLEET = "fleet"

    def detectors(self, versions: int) -> int:
        """How many detectors share it, where so many model versions are watched in all projects."""
        match self:
            case Scope.DETECTOR:
                return 1
            case Scope.VERSION:
                return len(DETECTORS)
            case Scope.FLEET:
                return len(DETECTORS) * max(1, versions)


@dataclass(frozen=True, slots=True)
class FeedbackRules:
    """How the feedback works; times in seconds.

    Attributes:
        horizon_days: how far back labels are kept.
        report_days: how far back predictions are looked at by the figures.
        audit_sla: age at which an audit without an answer is overdue.
        settling: age in Kili from which predictions are looked at for drift: what was sent together with a younger one
            may still be missing.
        run_length: mean number of predictions between false drift alarms, of all that ``scope`` says together.
        scope: what the run length is of: each detector, the detectors of a version, or those of all projects.
        figures_every: how often figures and alarms are computed.
        verify_every: how often one day of labels is read anew on purpose.
    """

    horizon_days: int = HORIZON_DAYS
    report_days: float = 30.0
    audit_sla: float = 72 * 3600.0
    settling: float = SETTLING_SECONDS
    run_length: float = RUN_LENGTH
    scope: Scope = Scope.DETECTOR
    report_every: float = 300.0
    verify_every: float = 3600.0


@dataclass(frozen=True, slots=True)
class Observers:
    """Callbacks for training examples, new alarms, the reviewers' rate, delays of verdicts, and traced predictions.

    ``alarm`` returns whether the alarm was taken; one that was not is sent again after the next report data.
    ``reviewer_rate`` gets project, rule name and reviews a day. ``delays`` gets how many seconds after the model's
    answer each new verdict came, ``evaluated`` each new verdict on a traced prediction.
    """

    training_examples: Callable[[list[Verdict]], None] | None = None
    alarm: Callable[[AlarmNotification], bool] | None = None
    reviewer_rate: Callable[[str, str, float], None] | None = None
    delays: Callable[[Sequence[float]], None] | None = None
    evaluated: Callable[[Evaluation], None] | None = None


class Feedback:
    """The feedback of one project.

    Args:
        source: reads from Kili.
        client: of the spool's Redis, with ``decode_responses`` off.
        prefix: of every key of the worker.
        project: id.
        interface: of the project.
        endpoint: Kili's GraphQL URL, for links.
        now: Unix seconds.
        rules: how it works.
        observers: who is told.
        may_read: whether the call budget has room for reading predictions.
        is_behind: whether a backlog of the project waits for Kili. Nobody looks for drift then: urgent predictions are
            delivered first, so that what has come is no fair sample.
    """

    def __init__(
        self,
        source: LabelSource,
        client: redis.Redis,
        prefix: str,
        project: str,
        interface: Interface,
        *,
        endpoint: str,
        now: Callable[[], float],
        rules: FeedbackRules = FeedbackRules(),
        observers: Observers = Observers(),
        may_read: Callable[[], bool] = lambda: True,
        is_behind: Callable[[], bool] = lambda: False,
    ) -> None:
        self.project = project
        self.links = Links.of(endpoint, project)
        self.store = FeedbackStore(client, prefix, project)
        self.book = AlarmBook(client, prefix, project)
        self.monitor = Monitor(client, prefix, project, self.book)
        self._prefix = prefix
        self._interface = interface
        self._now = now
        self._rules = rules
        self._observers = observers
        self._is_behind = is_behind
        self._redis = client
        self._interval_lock = IntervalLock(client, prefix)
        self._unread = UnreadBook(client, prefix, project)
        self._key = f"{prefix}feedback:{project}:"
        self._collector = Collector(
            source,
            self.store,
            interface,
            now=now,
            on_verdicts=self._learn if observers.training_examples is not None else None,
            may_read=may_read,
            horizon_days=rules.horizon_days,
            unread=self._unread,
            delays=observers.delays,
            evaluated=observers.evaluated,
        )

    def tick(self) -> CycleResult:
        """Collect what is new; verify a day, look for drift, compute figures and tell of alarms when it is time.

        Raises:
            KiliError, redis.RedisError: nothing that was read before is lost.
            StateError: a newer worker has stored what the detectors know.
        """
        result = self._collector.collect()
        if self._interval_lock.take(self.project, self._rules.verify_every, "verify"):
            self._verify()
        if self._interval_lock.take(self.project, PRUNE_EVERY, "prune"):
            self._collector.prune()
        if self._interval_lock.take(self.project, self._rules.report_every, "figures"):
            self._conclude_in_time(complete=result.complete)
        return result

    def collect(self) -> CycleResult:
        """Collect what is new, and no more."""
        return self._collector.collect()

    def rebuild(self) -> CycleResult:
        """Forget everything that came from Kili and collect it anew."""
        return self._collector.rebuild()

    def report_data(self, days: float | None = None) -> dict[str, Any]:
        """Compute every figure from what was collected; alarms that the next look will raise are among them."""
        look, records = self._look(days)
        return self._report_data(look, records, days)

    def conclude(self, *, complete: bool = True) -> dict[str, Any]:
        """Look for drift, keep what ``status`` shows, tell of new alarms, and tell the policy the reviewers' pace.

        Drift is only looked for in records that are complete and that nobody else is collecting.
        """
        held = complete and self.store.acquire()
        try:
            look, records = self._look(held=held)
            if held and self.store.renew():
                self.monitor.store(look, self._now(), self._rules.horizon_days * DAY)
            report_data = self._report_data(look, records)
            self._redis.set(f"{self._key}summary", json.dumps(summary_of(report_data)))
            self._redis.hset(versions_key(self._prefix), self.project, len(report_data["models"]))
            if held:
                self._notify_alarms()
        finally:
            if held:
                self.store.release()
        self._notify_reviewer_rate(report_data["reviewers"])
        return report_data

    def acknowledge(self, alarm_id: str) -> None:
        """Accept an alarm: its detector learns anew from what is predicted from now on.

        Raises:
            ValueError: there is no such alarm.
        """
        look, _ = self._look()
        raised = {row["id"] for row in look.raised}
        if AlarmName.of(alarm_id) and alarm_id not in {*look.known.alarms, *look.known.logged, *raised}:
            raise ValueError(f"{alarm_id!r} was never raised in project {self.project}; the report names the alarms")
        self.book.acknowledge(alarm_id, self._now())

    def _look(self, days: float | None = None, *, held: bool = False) -> tuple[Look, list[AssetRecord]]:
        """What the detectors find beyond what is stored, and the records that figures need."""
        now, look = self._now(), self.monitor.begin()
        first = now - (days or self._rules.report_days) * DAY
        kept = []
        for number, record in enumerate(self.store.records(), 1):
            if held and number % RENEW_RECORDS == 0:
                held = self.store.renew()
            if look.has_news(record) or newest(record) >= first:
                kept.append(record)
        if not self._is_behind():
            self.monitor.go_on(look, kept, now, self._monitor_rules())
        return look, kept

    def _monitor_rules(self) -> MonitorRules:
        versions: Any = self._redis.hvals(versions_key(self._prefix)) if self._rules.scope is Scope.FLEET else []
        return MonitorRules(
            run_length=self._rules.run_length * self._rules.scope.detectors(sum(map(int, versions))),
            audit_sla=self._rules.audit_sla,
            settling=self._rules.settling,
            before=self._rules.report_days * DAY,
        )

    def _report_data(self, look: Look, records: Sequence[AssetRecord], days: float | None = None) -> dict[str, Any]:
        question = ReportQuestion(
            now=self._now(),
            days=days or self._rules.report_days,
            audit_sla=self._rules.audit_sla,
            drift=look.drift,
        )
        return {**report_data_of(records, self._interface, question), "label_files": asdict(self._unread.summary())}

    def _notify_alarms(self) -> None:
        """Tell of the stored alarms that nobody was told of, and post those that the webhook has not taken.

        It is noted afterwards: one that ends between the two tells twice rather than never.
        """
        known = self.book.known()
        for alarm_id, alarm in known.alarms.items():
            if alarm_id not in known.logged:
                self._log_alarm(alarm)
                self.book.note_logged(alarm_id, self._now())
        for alarm_id, alarm in known.alarms.items():
            if self._observers.alarm is None or alarm_id in known.notified or alarm_id in known.acknowledged:
                continue
            if not self.store.renew():
                return
            if self._observers.alarm(AlarmNotification({**alarm, "acknowledged_at": None}, self.links)):
                self.book.note_notified(alarm_id, self._now())

    def _log_alarm(self, alarm: Mapping[str, Any]) -> None:
        notification = AlarmNotification(alarm, self.links)
        extra = {name: alarm[name] for name in ("id", "detector", "model", "since")}
        logger.warning(notification.headline, extra={"action": "drift_alarm", "project": self.project, **extra})

    def _notify_reviewer_rate(self, reviewers: Mapping[str, Any]) -> None:
        reviewer_rate = reviewers["capacity_per_day"]
        if self._observers.reviewer_rate is not None and reviewer_rate:
            for rule in reviewers["rules"]:
                self._observers.reviewer_rate(self.project, rule, reviewer_rate)

    def _conclude_in_time(self, *, complete: bool) -> None:
        begun = clock.monotonic()
        self.conclude(complete=complete)
        pause = (clock.monotonic() - begun) / REPORT_SHARE
        if pause > self._rules.report_every:
            self._interval_lock.put(self.project, pause, "figures")

    def _learn(self, on_verdicts: list[AnsweredAsset]) -> None:
        found = list(training_examples(self.project, on_verdicts))
        if self._observers.training_examples is not None and found:
            self._observers.training_examples(found)

    def _verify(self) -> None:
        day = self._collector.next_to_verify()
        if day is not None:
            self._collector.verify(day)


def summary_of(report_data: Mapping[str, Any]) -> dict[str, Any]:
    """What is worth a line in ``status`` and a metric: per model version agreement, audits, drift."""
    models = {
        model["model"]: {
            **{name: model["agreement"][name] for name in ("value", "low", "high", "population", "verdicts", "audits")},
            "overdue_audits": model["audits"]["overdue"],
            "drift": model["drift"]["states"],
        }
        for model in report_data["models"]
    }
    found = {"at": report_data["at"], "models": models, "mark_conflicts": report_data["marks"]["conflicts"]}
    return {**found, "label_files": report_data.get("label_files", asdict(UnreadLabels()))}


def summaries(client: redis.Redis, prefix: str, projects: Sequence[str]) -> dict[str, Any]:
    """The last summary of each project that has one."""
    if not projects:
        return {}
    found: Any = client.mget([f"{prefix}feedback:{project}:summary" for project in projects])
    pairs = zip(projects, found, strict=True)
    return {project: json.loads(text) for project, text in pairs if text is not None}
