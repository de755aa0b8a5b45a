"""Report data of a project that has grown: 30 versions, two of them live, 100 classes, names of every kind."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from tests.unit.feedback.kili_in_memory import START, asset_of, interface_of, label_of
from worker.feedback.records import AssetRecord
from worker.feedback.report_data import ReportQuestion, report_data_of
from worker.feedback.verdicts import record_of

DAY = 86_400.0
VERSIONS = 30
EACH, MOST = 20, 120
KINDS = (
    "車両の種類",
    "صنف طويل جدا",
    "Ελληνικά",
    "a_class_name_without_any_place_to_break_it",
    "Straßenverkehrsschild",
    "猫",
)
CLASSES = [f"{KINDS[number % len(KINDS)]}_{number:03}" for number in range(100)]
INTERFACE = interface_of(CLASSES)


def version_name(number: int) -> str:
    """Short and long names, and some that are not Latin."""
    kinds = ("detector", "検出モデル", "детектор-объектов", "an-extremely-long-name-of-a-model-" * 3)
    return f"{kinds[number % len(kinds)]}:{number:02}"


LIVE = [version_name(VERSIONS - 1), version_name(3)]
"""The newest, and an old one that still runs beside it."""


@cache
def large_figures() -> dict[str, Any]:
    """Figures of everything; the old live version has an alarm of each detector, nobody has audited version 5."""
    records = [one for number in range(VERSIONS) for one in _of_version(number)]
    records += _of_version(3, at=START + (VERSIONS - 0.8) * DAY, first=900_000)
    report_data = report_data_of(records, INTERFACE, ReportQuestion(now=START + (VERSIONS + 2) * DAY, days=60.0))
    for model in report_data["models"]:
        if model["model"] == version_name(3):
            model["drift"] = _drifted(model)
    return report_data


def _of_version(number: int, *, at: float | None = None, first: int | None = None) -> list[AssetRecord]:
    dice, start = random.Random(number), START + number * DAY if at is None else at
    found = []
    for place in range(EACH if at is None else MOST):
        said = dice.choice(CLASSES)
        meant = said if dice.random() < 0.7 else dice.choice(CLASSES)
        asset = (number * EACH if first is None else first) + place
        moment = start + place * 600.0
        found.append(_record(asset, version_name(number), moment, said, meant if number != 5 else None))
    return found


def _record(asset: int, model: str, at: float, said: str, meant: str | None) -> AssetRecord:
    labels = [label_of(f"i{asset}-{model}", "INFERENCE", said, at, model=model, author="bot")]
    labels += [label_of(f"h{asset}", "DEFAULT", meant, at + 60)] if meant is not None and asset % 2 else []
    metadata = {
        "prediction_model": model,
        "prediction_at": datetime.fromtimestamp(at, UTC).isoformat(),
        "prediction_confidence": 0.8,
        "review_band": 2 if asset % 2 else 0,
        "review_error_probability": 0.3,
        "review_inclusion_probability": 0.1,
        "review_reason": "because",
        "review_policy": "ranked/7/rule one",
    }
    return replace(record_of(asset_of(f"asset{asset:06d}", labels, at, **metadata), INTERFACE))


def _drifted(model: dict[str, Any]) -> dict[str, Any]:
    at = model["last_at"] - 3600.0
    names = ("accuracy_fell", "worse_than_confidence", "scores_changed")
    alarms = [
        {
            "id": f"{name}/{model['model']}/1",
            "detector": name,
            "meaning": f"what {name} means",
            "model": model["model"],
            "at": at + 60 * number,
            "since": at - 3600.0,
            "acknowledged_at": None,
            "classes": [],
            "cases": [],
        }
        for number, name in enumerate(names)
    ]
    points = [{"at": at - 60.0 * (10 - n), "error_rate": 0.2, "evidence": n / 9} for n in range(10)]
    return {"states": dict.fromkeys(names, "raised"), "alarms": alarms, "points": points}
