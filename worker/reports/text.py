"""The report for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.feedback.messages import (
    DAY,
    basis_lines,
    detector_name,
    difference_text,
    disagreement_text,
    estimate_text,
    percent,
    time_of_day,
    warnings_of,
)

WORST = 5
SHOWN = 10


def text(report_data: dict[str, Any], title: str, rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """Write the figures that matter most, line by line, and the first few of the disagreements in ``rows``."""
    return "\n".join([*_lines(report_data, title), *_disagreements(rows)])


def _disagreements(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if rows:
        yield ""
    yield from (disagreement_text(row) for row in rows[:SHOWN])
    if len(rows) > SHOWN:
        yield f"and {len(rows) - SHOWN} more: --export, --html"


def _lines(report_data: dict[str, Any], title: str) -> Iterator[str]:
    yield f"{title}: agreement of live traffic, last {report_data['days']:g} days"
    if not report_data["models"]:
        yield "no predictions yet"
    for model in report_data["models"]:
        yield ""
        yield from _model(model, report_data["at"])
    yield from _alarms(report_data.get("earlier_alarms", ()))
    for row in report_data["comparisons"]:
        yield ""
        yield _comparison(row)
    yield ""
    yield from _around(report_data)


def _model(model: dict[str, Any], now: float) -> Iterator[str]:
    row = model["agreement"]
    yield f"{model['model']}  {estimate_text(row)}"
    yield from (f"  {caption}" for caption in basis_lines(row, now))
    for job, found in model["jobs"].items():
        for worst in [one for one in found["classes"] if one["errors_per_day"]][:WORST]:
            yield f"  {worst['errors_per_day']:8.1f} errors a day  {job} {worst['name']}: {estimate_text(worst)}"
    yield from _drift(model["drift"])


def _drift(drift: dict[str, Any]) -> Iterator[str]:
    yield "  drift: " + ", ".join(f"{detector_name(name)} {state}" for name, state in drift["states"].items())
    yield from _alarms(drift["alarms"])


def _alarms(alarms: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for alarm in alarms:
        if alarm["acknowledged_at"] is not None:
            continue
        yield f"  ALARM {alarm['id']}: {alarm['meaning']}, since about {time_of_day(alarm['since'], DAY)}"
        for side in ("before", "after"):
            if side in alarm:
                yield f"        {side:6} {estimate_text(alarm[side])}"
        fallen = [f"{one['name']} {percent(one['before'])} to {percent(one['after'])}" for one in alarm["classes"][:3]]
        if fallen:
            yield f"        {'; '.join(fallen)}"


def _comparison(row: dict[str, Any]) -> str:
    pair = f"{row['challenger']} against {row['champion']} on {row['population']} shared assets"
    return f"{pair}: {difference_text(row)}"


def _around(report_data: dict[str, Any]) -> Iterator[str]:
    reviewers = report_data["reviewers"]
    waiting = sum(reviewers["waiting"].values())
    capacity = reviewers["capacity_per_day"] or 0
    yield f"reviewers: {reviewers['people']}, about {capacity:g} answers a day; {waiting} assets wait for them"
    yield from (f"WARNING {caption}" for caption in warnings_of(report_data))
