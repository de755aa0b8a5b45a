"""What an alarm says, as plain data: when it is raised it is written once, and kept like that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from worker.feedback import breakdown
from worker.feedback.breakdown import Weighed
from worker.feedback.drift import Alarm
from worker.feedback.population import Case

ALARM_CASES = 20


def alarm_row(alarm: Alarm, whole: Weighed) -> dict[str, Any]:
    """An alarm with the agreement before and after its beginning, the classes that fell most, and its cases."""
    after = {True: "after", False: "before"}
    parts = whole.grouped(lambda case: [after[case.unit.at >= alarm.since]])
    sides = {name: breakdown.estimate_row(part.estimate()) for name, part in parts.items()}
    wrong = [case for case in whole.cases if case.unit.at >= alarm.since and (case.unit.error or 0.0) > 0]
    wrong.sort(key=lambda case: -case.unit.at)
    return {
        **asdict(alarm),
        **sides,
        "classes": _fallen(parts),
        "cases": [disagreement_row(c) for c in wrong[:ALARM_CASES]],
    }


def refreshed(row: Mapping[str, Any], whole: Weighed) -> dict[str, Any]:
    """An alarm as it was raised, with what is known today where there are predictions from before and after it."""
    alarm = Alarm(**{one.name: row[one.name] for one in fields(Alarm)})
    if len({case.unit.at >= alarm.since for case in whole.cases}) < len(("before", "after")):
        return dict(row)
    return alarm_row(alarm, whole)


def _fallen(parts: Mapping[str, Weighed]) -> list[dict[str, Any]]:
    """Classes by how much their agreement fell, weighted with how frequent they are afterwards."""
    if len(parts) < 2:
        return []
    sides = {
        name: part.grouped(lambda case: [f"{job}/{cls}" for job, names in case.answer.classes.items() for cls in names])
        for name, part in parts.items()
    }
    rows = []
    for name in sides["before"].keys() & sides["after"].keys():
        before, after = (sides[side][name].estimate() for side in ("before", "after"))
        if before.value is not None and after.value is not None:
            lost = (before.value - after.value) * after.population
            rows.append({"name": name, "before": before.value, "after": after.value, "lost": lost})
    return sorted(rows, key=lambda row: -row["lost"])[:5]


def disagreement_row(case: Case) -> dict[str, Any]:
    """An answered prediction that humans did not confirm, as plain data."""
    return {
        "asset_id": case.record.asset_id,
        "external_id": case.record.external_id,
        "model": case.answer.model,
        "agreement": 1 - (case.unit.error or 0.0),
        "jobs": {job: value for verdict in case.standing for job, value in verdict.jobs.items()},
        "model_says": case.answer.classes,
        "human_says": {job: names for verdict in case.standing for job, names in verdict.classes.items()},
        "confidence": case.confidence,
        "p_error": case.unit.p_error,
        "reason": case.record.decision.reason if case.record.decision else "",
        "predicted_at": case.unit.at,
        "answered_at": case.unit.answered_at,
    }
