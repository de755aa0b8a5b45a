"""A model version against assets that humans have labeled already, and the result as text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from worker.environment import clock
from worker.feedback import breakdown
from worker.feedback.breakdown import Weighed, cases_by_model
from worker.feedback.messages import disagreement_text, estimate_text, percent
from worker.feedback.reading import LabelKind, ReadAsset, ReadLabel
from worker.feedback.records import AssetRecord, Decision
from worker.feedback.report_data import ReportQuestion, contradicts, disagreements, report_data_of
from worker.feedback.verdicts import record_of
from worker.ontology import Interface
from worker.reports.gallery import AssetSource


def _sleep(seconds: float) -> None:
    clock.wait(threading.Event(), seconds)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the model says of one asset: the json_response, and its confidence where it is known."""

    asset_id: str
    external_id: str
    response: Mapping[str, Any]
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Examination:
    """The predictions of one model version, held against the labels of a project."""

    project: str
    model: str
    interface: Interface
    candidates: Mapping[str, Candidate]

    def await_marks(
        self, source: AssetSource, *, patience: float, pause: float = 2.0, sleep: Callable[[float], None] = _sleep
    ) -> list[ReadAsset]:
        """Read the assets until each shows the model's label and the mark it calls for.

        Kili computes marks late, so an old one may still be there. Gives up after ``patience`` seconds.
        """
        found = {asset.id: asset for asset in source.assets(self.project, list(self.candidates))}
        end = clock.monotonic() + patience
        while (waiting := [key for key, one in found.items() if not self._settled(one)]) and clock.monotonic() < end:
            sleep(pause)
            found |= {asset.id: asset for asset in source.assets(self.project, waiting)}
        return list(found.values())

    def record(self, asset: ReadAsset, now: float) -> AssetRecord:
        """What is to be said of an asset when the candidate is the model version's answer."""
        candidate = self.candidates[asset.id]
        record = record_of(with_answer(asset, self.model, candidate.response, now), self.interface)
        return replace(record, decision=Decision(self.model, now, confidence=candidate.confidence))

    def _settled(self, asset: ReadAsset) -> bool:
        if not any(label.kind is LabelKind.INFERENCE and label.model == self.model for label in asset.labels):
            return False
        verdicts = [one for answer in self.record(asset, clock.now()).answers for one in answer.verdicts]
        mark = verdicts[-1].mark if verdicts else None
        return not verdicts or (mark is not None and not contradicts(verdicts[-1].agreement, mark))


def evaluation_of(examination: Examination, assets: Sequence[ReadAsset]) -> dict[str, Any]:
    """Hold what the model says against the humans' labels; what Kili has of this model version does not matter.

    Returns the figures of a report, and besides ``unlabeled`` (external ids without a usable human label), ``unread``
    (those with a human label whose file cannot be read), ``missing`` (those without an asset), ``disagreements`` and
    per job ``recall`` (agreement by the humans' class).
    """
    now = datetime.fromtimestamp(clock.now(), UTC).timestamp()
    interface = examination.interface
    records = [examination.record(asset, now) for asset in assets]
    labeled = [record for record in records if record.verdicts]
    report_data = report_data_of(labeled, interface, ReportQuestion(now=now))
    for one in report_data["models"]:
        one |= {"windows": [], "drift": {"states": {}, "alarms": [], "points": []}}
        for job in one["jobs"]:
            one["jobs"][job]["recall"] = _recall(labeled, job, len(interface.root_jobs))
    there = {asset.id for asset in assets}
    unread = {asset.id for asset in assets if any(one.unread and one.kind is LabelKind.HUMAN for one in asset.labels)}
    silent = [record for record in records if not record.verdicts]
    return {
        **report_data,
        "model": examination.model,
        "unlabeled": [record.external_id for record in silent if record.asset_id not in unread],
        "unread": [record.external_id for record in silent if record.asset_id in unread],
        "missing": [one.external_id for key, one in examination.candidates.items() if key not in there],
        "disagreements": disagreements(labeled),
    }


def with_answer(asset: ReadAsset, model: str, response: Mapping[str, Any], at: float) -> ReadAsset:
    """The asset with this as the model version's only answer; marks stay where Kili computed them for it."""
    known = [label for label in asset.labels if label.kind is LabelKind.INFERENCE and label.model == model]
    own = ReadLabel("given", "INFERENCE", model, at, "", dict(response), None, None, usable=True)
    human = [label for label in asset.labels if label.kind is LabelKind.HUMAN]
    kept = human if known else [replace(label, mark=None) for label in human]
    return replace(asset, labels=(*kept, own))


def _recall(records: Sequence[AssetRecord], job: str, jobs: int) -> list[dict[str, Any]]:
    cases = [case for found in cases_by_model(records, job, jobs).values() for case in found]
    return breakdown.by_human_class(Weighed(cases, [0.0] * len(cases)), job)


SHOWN_NAMES = 5


def text(result: Mapping[str, Any], refused: int = 0) -> str:
    """Write agreement, classes, confusions and every disagreement."""
    return "\n".join(_lines(result, refused))


def _lines(result: Mapping[str, Any], refused: int) -> Iterator[str]:
    for model in result["models"]:
        row = model["agreement"]
        yield f"{model['model']} agrees with the humans on {estimate_text(row)} of {row['verdicts']} labeled assets"
        for job, found in model["jobs"].items():
            yield from _job(job, found)
    if not result["models"]:
        yield f"{result['model']}: none of the assets is labeled by a human"
    yield from _left_out(result, refused)
    marks = result["marks"]
    if marks["compared"]:
        yield f"Kili's marks contradict ours on {marks['conflicts']} of {marks['compared']} labels"
    for one in result["disagreements"]:
        yield disagreement_text(one)


def _job(job: str, found: Mapping[str, Any]) -> Iterator[str]:
    yield f"  {job}: {estimate_text(found['agreement'])}"
    for name, rows in (("predicted", found["classes"]), ("labeled", found["recall"])):
        for row in rows:
            yield f"    {name} {row['name']}: {percent(row['value'], 1)} of {row['verdicts']}"
    for row in found["confusion"]:
        if row["model"] != row["human"]:
            yield f"    {row['model']} for {row['human']}: {row['answers']:g}"


def _left_out(result: Mapping[str, Any], refused: int) -> Iterator[str]:
    reasons = {
        "unlabeled": "without a human label",
        "unread": "with a label file that cannot be read",
        "missing": "not in the project",
    }
    for key, caption in reasons.items():
        names = result[key]
        if names:
            more = ", …" if len(names) > SHOWN_NAMES else ""
            yield f"{len(names)} {caption}: {', '.join(names[:SHOWN_NAMES])}{more}"
    if refused:
        yield f"{refused} predictions refused"
