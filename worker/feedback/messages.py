"""What people read of the feedback: texts and links that every form of the report shares, and alarms as messages."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import httpx

from worker.environment.connections import trusted
from worker.feedback.drift import DETECTORS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of one project; ``base`` is that of the web interface, without a path."""

    base: str
    project: str

    @classmethod
    def of(cls, endpoint: str, project: str) -> Links:
        """For a project of a GraphQL endpoint."""
        return cls(endpoint.partition("/api/")[0], project)

    @property
    def home(self) -> str:
        """The project."""
        return f"{self.base}/label/projects/{self.project}/"

    def asset(self, asset_id: str) -> str:
        """One asset."""
        return f"{self.base}/label/projects/label/{asset_id}"


DAY = 86_400.0


def percent(value: float | None, digits: int = 0) -> str:
    """A share for people."""
    return "unknown" if value is None else f"{100 * value:.{digits}f}\u202f%"


def time_of_day(at: float, span: float = 30 * DAY) -> str:
    """A time for people, in UTC: as fine as the span shown, in seconds, needs it."""
    form = "%H:%M" if span < DAY else "%d %b %H:%M" if span < 6 * DAY else "%d %b"
    return datetime.fromtimestamp(at, UTC).strftime(form)


def age(seconds: float) -> str:
    """A span of time for people."""
    for length, sample in ((DAY, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}\u202f{sample}"
    return f"{max(0.0, seconds):.0f}\u202fs"


def estimate_text(row: dict[str, Any]) -> str:
    """An estimate with its interval."""
    if row["value"] is None:
        return f"unknown ({percent(row['low'])} to {percent(row['high'])})"
    return f"{percent(row['value'], 1)} ({percent(row['low'], 1)} to {percent(row['high'], 1)})"


def basis_lines(row: dict[str, Any], now: float) -> Iterator[str]:
    """What an estimate rests on, and the naive average where it is another figure."""
    youngest = f"youngest answer {age(now - row['youngest'])} old" if row["youngest"] else "no answer yet"
    if row["population"] == row["verdicts"]:
        yield f"{row['verdicts']} predictions, all answered; {youngest}."
        return
    yield (
        f"{row['population']} predictions, {row['verdicts']} answered, {row['audits']} of them audits; "
        f"{row['missing_audits']} audits without an answer; {youngest}."
    )
    yield f"Naive average of the answers, not of live traffic: {percent(row['naive'], 1)}."


def difference_text(row: dict[str, Any]) -> str:
    """A difference of two agreements with its interval."""
    if row["value"] is None:
        return "unknown, no answered audit among them"
    value, low, high = (f"{100 * row[name]:+.1f}" for name in ("value", "low", "high"))
    return f"{value} points ({low} to {high}){'' if row['decided'] else ', undecided'}"


def disagreement_text(row: Mapping[str, Any]) -> str:
    """One disagreement in the words of Kili's tutorial on inference labels."""
    stated, meant = (
        ", ".join(name for names in row[side].values() for name in names) or "nothing"
        for side in ("model_says", "human_says")
    )
    return f"The model predicted {stated} but the human predicted {meant} for asset with id {row['asset_id']}."


def detector_name(name: str) -> str:
    """A detector's name for people."""
    return name.replace("_", " ")


def class_name(name: str, jobs: Collection[str]) -> str:
    """A class as ``job/class``, without the job where there is only one."""
    return name.rpartition("/")[2] if len(jobs) == 1 else name


def meaning_of(name: str) -> str:
    """What an alarm of a detector says."""
    return DETECTORS[name].meaning


def warnings_of(report_data: dict[str, Any]) -> Iterator[str]:
    """What makes the figures worth less than they look."""
    marks = report_data["marks"]
    if marks["conflicts"]:
        first = marks["examples"][0]
        pair = f"{first['external_id']}: ours {percent(first['agreement'])}, Kili's {percent(first['mark'])}"
        yield f"Kili's marks contradict ours on {marks['conflicts']} of {marks['compared']} answers, such as {pair}."
    files = report_data.get("label_files", {})
    if files.get("waiting") or files.get("unreadable"):
        counts = f"{files['waiting']} are tried again, {files['unreadable']} are given up"
        yield f"Labels are left out whose files cannot be read: {counts}, such as: {files['problem']}."
    for model in report_data["models"]:
        if model["agreement"]["value"] is None:
            yield f"{model['model']}: no audit is answered, so nothing is known of what nobody answered."
        if model["audits"]["overdue"]:
            yield f"{model['model']}: {model['audits']['overdue']} audits are overdue and counted as missing."


MOST_LINKS = 5


class WebhookShape(StrEnum):
    """What the receiver of a webhook understands."""

    GENERIC = "generic"
    SLACK = "slack"
    ALERTMANAGER = "alertmanager"


@dataclass(frozen=True, slots=True)
class AlarmNotification:
    """An alarm of :func:`worker.feedback.report_data.report_data_of`, and where its project is."""

    alarm: Mapping[str, Any]
    links: Links

    @property
    def headline(self) -> str:
        """One line: what, whose, since when, from where to where."""
        sides = [f"{side} {estimate_text(self.alarm[side])}" for side in ("before", "after") if side in self.alarm]
        since = _moment(self.alarm["since"])
        agreement = f"; agreement {', '.join(sides)}" if sides else ""
        return (
            f"{self.alarm['model']}: {detector_name(self.alarm['detector'])} since about {since}: "
            f"{self.alarm['meaning']}{agreement}"
        )

    def body(self, shape: WebhookShape) -> Any:
        """The message in a shape."""
        match shape:
            case WebhookShape.SLACK:
                return {"text": f"{self.headline}\n<{self.links.home}|project in Kili>{self._slack_cases()}"}
            case WebhookShape.ALERTMANAGER:
                return [self._alert()]
            case WebhookShape.GENERIC:
                cases = [{**case, "link": self.links.asset(case["asset_id"])} for case in self.alarm["cases"]]
                known = {**self.alarm, "cases": cases, "project": self.links.project, "link": self.links.home}
                return {"event": "drift_alarm", "text": self.headline, **known}

    def _slack_cases(self) -> str:
        cases = self.alarm["cases"][:MOST_LINKS]
        return "".join(f" <{self.links.asset(case['asset_id'])}|{case['external_id']}>" for case in cases)

    def _alert(self) -> dict[str, Any]:
        """An alert as ``POST /api/v2/alerts`` of Alertmanager takes it, in a list."""
        return {
            "labels": {
                "alertname": "PredictionWorkerDrift",
                "project": self.links.project,
                "model": self.alarm["model"],
                "detector": self.alarm["detector"],
            },
            "annotations": {"summary": self.headline, "description": self.alarm["meaning"]},
            "startsAt": datetime.fromtimestamp(self.alarm["since"], UTC).isoformat(),
            "generatorURL": self.links.home,
        }


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where notices are posted to; seconds."""

    url: str
    shape: WebhookShape = WebhookShape.GENERIC
    timeout: float = 10.0

    def post(self, notification: AlarmNotification, http: httpx.Client | None = None) -> bool:
        """Post a notice; False when it was not taken, which the log then says."""
        try:
            opened = httpx.Client(verify=trusted(), timeout=self.timeout) if http is None else nullcontext(http)
            with opened as client:
                client.post(self.url, json=notification.body(self.shape)).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            logger.warning("webhook not taken: %s", type(error).__name__, extra={"action": "webhook_failed"})
            return False
        return True


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %Y %H:%M UTC")
