"""What the worker does with the answers of humans, project by project: collect, learn, look for drift, tell."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import redis

from worker import clock
from worker.feedback.alarms import AlarmBook
from worker.feedback.collector import HORIZON_DAYS, Collector, Round, Source
from worker.feedback.detectors import RUN_LENGTH
from worker.feedback.figures import Question, figures_of
from worker.feedback.learning import Judged, lessons
from worker.feedback.links import Links
from worker.feedback.notices import Notice
from worker.feedback.store import FeedbackStore
from worker.feedback.turns import Turns
from worker.feedback.unread import UnreadBook, UnreadLabels
from worker.ontology import Interface
from worker.review import Verdict

logger = logging.getLogger(__name__)

PRUNE_EVERY = 86_400.0

FIGURES_SHARE = 0.05
"""Most of a process's time that figures may take: where they take long, they are computed less often."""


@dataclass(frozen=True, slots=True)
class FeedbackRules:
    """How the feedback room works; times in seconds.

    Attributes:
        horizon_days: how far back labels are kept.
        report_days: how far back predictions are looked at by the figures.
        audit_sla: age at which an audit without an answer is overdue.
        run_length: mean number of predictions between false drift alarms.
        figures_every: how often figures and alarms are computed.
        verify_every: how often one day of labels is read anew on purpose.
    """

    horizon_days: int = HORIZON_DAYS
    report_days: float = 30.0
    audit_sla: float = 72 * 3600.0
    run_length: float = RUN_LENGTH
    figures_every: float = 300.0
    verify_every: float = 3600.0


@dataclass(frozen=True, slots=True)
class Ears:
    """Who is told: of verdicts to learn from, of new alarms, of the reviewers' pace.

    ``alarm`` returns whether the alarm was taken; one that was not is told again after the next figures. ``pace`` is
    told project, rule name and reviews a day.
    """

    lessons: Callable[[list[Verdict]], None] | None = None
    alarm: Callable[[Notice], bool] | None = None
    pace: Callable[[str, str, float], None] | None = None


class Feedback:
    """The feedback room of one project.

    Args:
        source: reads from Kili.
        client: of the spool's Redis, with ``decode_responses`` off.
        prefix: of every key of the worker.
        project: id.
        interface: of the project.
        endpoint: Kili's GraphQL URL, for links.
        now: Unix seconds.
        rules: how it works.
        ears: who is told.
        may_read: whether the call budget has room for reading predictions.
    """

    def __init__(
        self,
        source: Source,
        client: redis.Redis,
        prefix: str,
        project: str,
        interface: Interface,
        *,
        endpoint: str,
        now: Callable[[], float],
        rules: FeedbackRules = FeedbackRules(),
        ears: Ears = Ears(),
        may_read: Callable[[], bool] = lambda: True,
    ) -> None:
        self.project = project
        self.links = Links.of(endpoint, project)
        self.store = FeedbackStore(client, prefix, project)
        self.book = AlarmBook(client, prefix, project)
        self._interface = interface
        self._now = now
        self._rules = rules
        self._ears = ears
        self._redis = client
        self._turns = Turns(client, prefix)
        self._unread = UnreadBook(client, prefix, project)
        self._key = f"{prefix}feedback:{project}:"
        self._collector = Collector(
            source,
            self.store,
            interface,
            now=now,
            judged=self._learn if ears.lessons is not None else None,
            may_read=may_read,
            horizon_days=rules.horizon_days,
            unread=self._unread,
        )

    def tick(self) -> Round:
        """Collect what is new; verify a day, compute figures and tell of alarms when it is time.

        Raises:
            KiliError, redis.RedisError: nothing that was read before is lost.
        """
        result = self._collector.collect()
        if self._turns.take(self.project, self._rules.verify_every, "verify"):
            self._verify()
        if self._turns.take(self.project, PRUNE_EVERY, "prune"):
            self._collector.prune()
        if self._turns.take(self.project, self._rules.figures_every, "figures"):
            self._conclude_in_time()
        return result

    def collect(self) -> Round:
        """Collect what is new, and no more."""
        return self._collector.collect()

    def rebuild(self) -> Round:
        """Forget everything that came from Kili and collect it anew."""
        return self._collector.rebuild()

    def figures(self, days: float | None = None, run_length: float | None = None) -> dict[str, Any]:
        """Compute every figure from what was collected."""
        question = Question(
            now=self._now(),
            days=days or self._rules.report_days,
            audit_sla=self._rules.audit_sla,
            run_length=run_length or self._rules.run_length,
            acknowledged=self.book.acknowledged(),
        )
        figures = figures_of(self.store.records(), self._interface, question)
        return {**figures, "label_files": asdict(self._unread.summary())}

    def conclude(self, figures: Mapping[str, Any]) -> None:
        """Keep what ``status`` shows, tell of new alarms, and tell the policy the reviewers' pace."""
        self._redis.set(f"{self._key}summary", json.dumps(summary_of(figures)))
        raised = {alarm["id"]: alarm for model in figures["models"] for alarm in model["drift"]["alarms"]}
        for alarm_id in self.book.untold(raised, self._now()):
            self._tell(raised[alarm_id])
        self._post([alarm for alarm in raised.values() if alarm["acknowledged_at"] is None])
        pace = figures["reviewers"]["capacity_per_day"]
        if self._ears.pace is not None and pace:
            for rule in figures["reviewers"]["rules"]:
                self._ears.pace(self.project, rule, pace)

    def _tell(self, alarm: Mapping[str, Any]) -> None:
        notice = Notice(alarm, self.links)
        extra = {name: alarm[name] for name in ("id", "detector", "model", "since")}
        logger.warning(notice.headline, extra={"action": "drift_alarm", "project": self.project, **extra})

    def _post(self, alarms: Sequence[Mapping[str, Any]]) -> None:
        if self._ears.alarm is None:
            return
        known = {alarm["id"]: alarm for alarm in alarms}
        for alarm_id in self.book.unposted(known):
            if self._ears.alarm(Notice(known[alarm_id], self.links)):
                self.book.note_posted(alarm_id, self._now())

    def _conclude_in_time(self) -> None:
        begun = clock.monotonic()
        self.conclude(self.figures())
        pause = (clock.monotonic() - begun) / FIGURES_SHARE
        if pause > self._rules.figures_every:
            self._turns.put(self.project, pause, "figures")

    def _learn(self, judged: list[Judged]) -> None:
        found = list(lessons(self.project, judged))
        if self._ears.lessons is not None and found:
            self._ears.lessons(found)

    def _verify(self) -> None:
        day = self._collector.next_to_verify()
        if day is not None:
            self._collector.verify(day)


def summary_of(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What is worth a line in ``status`` and a metric: per model version agreement, audits, drift."""
    models = {
        model["model"]: {
            **{name: model["agreement"][name] for name in ("value", "low", "high", "population", "verdicts", "audits")},
            "overdue_audits": model["audits"]["overdue"],
            "drift": model["drift"]["states"],
        }
        for model in figures["models"]
    }
    found = {"at": figures["at"], "models": models, "mark_conflicts": figures["marks"]["conflicts"]}
    return {**found, "label_files": figures.get("label_files", asdict(UnreadLabels()))}


def summaries(client: redis.Redis, prefix: str, projects: Sequence[str]) -> dict[str, Any]:
    """The last summary of each project that has one."""
    if not projects:
        return {}
    found: Any = client.mget([f"{prefix}feedback:{project}:summary" for project in projects])
    pairs = zip(projects, found, strict=True)
    return {project: json.loads(text) for project, text in pairs if text is not None}
