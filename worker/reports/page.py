"""The report as pages of HTML that need nothing but themselves: what stands on them; ``templates`` say how.

There is one page for a project, or one of all its model versions and one for each of them.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from worker.feedback.breakdown import NOTHING
from worker.feedback.messages import (
    DAY,
    Links,
    age,
    basis_lines,
    class_name,
    detector_name,
    difference_text,
    estimate_text,
    meaning_of,
    percent,
    time_of_day,
    warnings_of,
)
from worker.reports import charts
from worker.reports.gallery import Exhibit, card, is_drawn

INDEX = "index.html"
LONGEST_NAME = 60
MATRIX_CLASSES = 24
SHOWN_ROWS = 6
SHOWN_CASES = 8
BANDS = {"3": "must be reviewed", "2": "audits", "1": "doubtful"}
CALIBRATIONS = {"confidence": "The model's own confidence", "p_error": "What the review policy expects"}

LIVE_SECONDS = DAY
"""A version is live while its latest prediction is no older than this, measured from the latest of all."""

Model = dict[str, Any]
View = dict[str, Any]
PlaceOf = Callable[[str], str]
"""Where the page of a model version is, by its name."""

_ENVIRONMENT = Environment(
    loader=PackageLoader("worker.reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals["shown_rows"] = SHOWN_ROWS
_ENVIRONMENT.filters |= {
    "age": age,
    "date": time_of_day,
    "day": lambda at: time_of_day(at, DAY),
    "detector": detector_name,
    "difference": difference_text,
    "estimate": estimate_text,
    "meaning": meaning_of,
    "percent": percent,
}


def page(
    report_data: dict[str, Any],
    title: str,
    links: Links,
    shown: Sequence[Exhibit] = (),
    *,
    about: str | None = None,
    place_of: PlaceOf | None = None,
    back: str | None = None,
) -> str:
    """Write the page; ``report_data`` as :func:`worker.feedback.report_data.report_data_of` computes them.

    Args:
        report_data: of a project, or of one model version (see :func:`version_page`).
        title: of the page.
        links: into the project in Kili.
        shown: disagreements.
        about: says in a sentence what the figures are of; by default live traffic.
        place_of: where each model version has a page of its own, with what is then left out here.
        back: where the page of all model versions is.
    """
    models = latest_first(report_data["models"])
    traffic = f"How often the model agrees with the humans on live traffic of the last {report_data['days']:g} days"
    return _ENVIRONMENT.get_template("report.html").render(
        title=title,
        about=about or traffic,
        moment=datetime.fromtimestamp(report_data["at"], UTC).strftime("%d %B %Y, %H:%M UTC"),
        links=links,
        back=back,
        alarms=list(_alarms(models, links, report_data.get("earlier_alarms", ()))),
        warnings=list(warnings_of(report_data)),
        sections=[
            {"key": key, "name": name, "data": data}
            for key, name, data in _sections(report_data, models, shown, place_of)
            if data is not None
        ],
    )


def version_page(
    report_data: dict[str, Any], title: str, links: Links, model: str, back: str, shown: Sequence[Exhibit] = ()
) -> str:
    """The page of one model version.

    Args:
        report_data: of the project.
        title: of the project.
        links: into the project in Kili.
        model: the version, ``name:version``.
        back: where the page of all versions is.
        shown: disagreements of all versions.

    Raises:
        KeyError: there are no figures of this version.
    """
    found = [one for one in report_data["models"] if one["model"] == model]
    if not found:
        raise KeyError(model)
    compared = [row for row in report_data["comparisons"] if model in (row["champion"], row["challenger"])]
    own = {**report_data, "models": found, "comparisons": compared, "earlier_alarms": (), "reviewers": None}
    own["marks"] = {"conflicts": 0}  # of the whole project: told on its page
    about = f"How often this version agrees with the humans in {title}, in the last {report_data['days']:g} days"
    return page(own, model, links, [one for one in shown if one.row["model"] == model], about=about, back=back)


def folder(report_data: dict[str, Any], title: str, links: Links, shown: Sequence[Exhibit] = ()) -> dict[str, str]:
    """All pages by the names of their files."""
    pages = {INDEX: page(report_data, title, links, place_of=file_name)}
    for one in report_data["models"]:
        pages[file_name(one["model"])] = version_page(report_data, title, links, one["model"], INDEX, shown)
    return pages


def file_name(model: str) -> str:
    """The file of a model version: the same at each report, safe on every file system, whatever the name holds."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-")[-LONGEST_NAME:]
    mark = hashlib.blake2b(model.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"model-{readable}-{mark}.html" if readable else f"model-{mark}.html"


def latest_first(models: Sequence[Model]) -> list[Model]:
    """Versions by their latest prediction, those that began last first where they are even."""
    return sorted(models, key=lambda model: (-model["last_at"], -model["first_at"]))


def live_names(models: Sequence[Model]) -> set[str]:
    """The versions that still predict; the page never hides them. Of a page without models none."""
    latest = max((model["last_at"] for model in models), default=0.0)
    return {model["model"] for model in models if model["last_at"] >= latest - LIVE_SECONDS}


def by_version(parts: Sequence[View], live: set[str]) -> View | None:
    """Parts by their version: live ones open (or the first), the others earlier; None where there are no parts."""
    if not parts:
        return None
    opened = {part["model"] for part in parts if part["model"] in live} or {parts[0]["model"]}
    return {
        "open": [part for part in parts if part["model"] in opened],
        "earlier": [part for part in parts if part["model"] not in opened],
    }


def _sections(
    report_data: dict[str, Any], models: Sequence[Model], shown: Sequence[Exhibit], place_of: PlaceOf | None
) -> Iterator[tuple[str, str, Any]]:
    """Each section's key, which also names its template, its heading, and what stands in it; None leaves it out."""
    live = live_names(models)
    yield "models", "Model versions", _models(models, live, report_data["at"], place_of)
    yield "time", "Agreement over time", _over_time(models)
    if place_of is None:
        parts = {
            "worst": ("Where the model is wrong most", _worst),
            "confusion": ("What was mistaken for what", _confusion),
            "calibration": ("Does the confidence tell the truth?", _calibration),
            "drift": ("Drift", _drift),
        }
        for key, (name, part_of) in parts.items():
            found = [{"model": model["model"], **part} for model in models if (part := part_of(model))]
            yield key, name, by_version(found, live)
    yield "versions", "Versions on the same assets", report_data["comparisons"] or None
    yield "reviewers", "Reviewers and audits", _reviewers(report_data["reviewers"], models)
    yield "gallery", "Disagreements", _gallery(shown)


def _alarms(models: Sequence[Model], links: Links, earlier: Sequence[View]) -> Iterator[View]:
    """Every alarm that nobody has accepted; ``earlier`` ones are of versions without figures."""
    raised: list[tuple[View, Collection[str]]] = [
        (alarm, model["jobs"]) for model in models for alarm in model["drift"]["alarms"]
    ]
    for alarm, jobs in [*raised, *((alarm, ()) for alarm in earlier)]:
        if alarm["acknowledged_at"] is None:
            command = ["prediction-worker", "report", "--project", links.project, "--acknowledge", alarm["id"]]
            yield {
                **alarm,
                "sides": [f"{side} {estimate_text(alarm[side])}" for side in ("before", "after") if side in alarm],
                "fallen": [
                    f"{class_name(row['name'], jobs)}: {percent(row['before'])} → {percent(row['after'])}"
                    for row in alarm["classes"]
                    if row["lost"] > 0
                ],
                "cases": alarm["cases"][:SHOWN_CASES],
                "accept": shlex.join(command),
            }


def _models(models: Sequence[Model], live: set[str], now: float, place_of: PlaceOf | None) -> View:
    """Live versions with their figures, earlier ones in a line each."""
    views = [
        {
            **model,
            "name": model["model"],
            "place": place_of(model["model"]) if place_of else None,
            "colour": charts.colour_of(index),
            "basis": list(basis_lines(model["agreement"], now)),
            "states": _states(model),
        }
        for index, model in enumerate(models)
    ]
    return {
        "cards": [view for view in views if view["name"] in live],
        "earlier": [view for view in views if view["name"] not in live],
    }


def _states(model: Model) -> list[tuple[str, str, str]]:
    """Detectors with their state and its colour: what is quiet is good only where the agreement is known."""
    known = model["agreement"]["value"] is not None
    return [
        (name, state, state if known or state != "quiet" else "") for name, state in model["drift"]["states"].items()
    ]


def _over_time(models: Sequence[Model]) -> View | None:
    shown = models[: charts.MOST_CHARTED]
    chart = charts.agreement_over_time(shown)
    keys = [(charts.colour_of(index), model["model"]) for index, model in enumerate(shown)]
    return chart and {"chart": chart, "models": keys, "left_out": len(models) - len(shown)}


def _worst(model: Model) -> View | None:
    """Classes and slices, the worst first."""
    jobs = model["jobs"]
    tables = [("model says" if len(jobs) == 1 else job, found["classes"]) for job, found in jobs.items()]
    tables += [(f"metadata: {key}", rows) for key, rows in model["slices"].items()]
    rankings = [(name, rows) for name, rows in tables if rows]
    return {"rankings": rankings} if rankings else None


def _confusion(model: Model) -> View | None:
    named = len(model["jobs"]) > 1
    matrices = [
        {"heading": f"{model['model']}, {job}" if named else model["model"], **matrix(found["confusion"])}
        for job, found in model["jobs"].items()
        if found["confusion"]
    ]
    return {"matrices": matrices} if matrices else None


def matrix(rows: Sequence[dict[str, Any]]) -> View:
    """Model against humans, as estimated numbers of predictions; only classes that were mistaken."""
    found = {(row["model"], row["human"]): row for row in rows}
    mistaken: dict[str, float] = {}
    for row in rows:
        if row["model"] != row["human"]:
            for name in (row["model"], row["human"]):
                mistaken[name] = mistaken.get(name, 0.0) + row["estimated"]
    names = sorted(mistaken, key=lambda name: -mistaken[name]) or sorted({row["model"] for row in rows})
    shown = sorted(names[:MATRIX_CLASSES], key=lambda name: (name == NOTHING, name))
    most = max((row["estimated"] for row in rows if row["model"] != row["human"]), default=1.0) or 1.0

    def cell(stated: str, meant: str) -> View:
        row = found.get((stated, meant))
        heat = row and 0.08 + 0.37 * min(1.0, row["estimated"] / most)
        return {"row": row, "same": stated == meant, "heat": heat}

    lines = [(stated, [cell(stated, meant) for meant in shown]) for stated in shown]
    return {"names": shown, "rows": lines, "left_out": len(names) - len(shown)}


def _calibration(model: Model) -> View | None:
    plots = [plot for key, title in CALIBRATIONS.items() if (plot := charts.reliability(model[key], title))]
    return {"plots": plots} if plots else None


def _drift(model: Model) -> View | None:
    drift = model["drift"]
    if not drift["states"]:
        return None
    return {
        "chart": charts.evidence_over_time(drift["points"], drift["alarms"]),
        "states": _states(model),
        "acknowledged": [alarm for alarm in drift["alarms"] if alarm["acknowledged_at"] is not None],
    }


def _reviewers(found: dict[str, Any] | None, models: Sequence[Model]) -> View | None:
    """How busy the reviewers are, and the audits of each version; of a single version its audits alone."""
    if found is None:
        return {"reviewers": None, "models": models}
    if not found["verdicts"]:
        return None
    waiting = [f"{count} {BANDS.get(band, band)}" for band, count in sorted(found["waiting"].items(), reverse=True)]
    chart = charts.bars([(row["day"], row["verdicts"]) for row in found["per_day"]], "Answers a day")
    return {"reviewers": found, "waiting": waiting, "chart": chart, "models": models}


def _gallery(shown: Sequence[Exhibit]) -> View | None:
    return {"cards": [card(one) for one in shown], "is_drawn": any(map(is_drawn, shown))} if shown else None
