"""Texts and links that every form of the report shares."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.feedback.drift import DETECTORS


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
