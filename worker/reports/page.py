"""The report as one page of HTML that needs nothing but itself."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

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
from worker.reports.charts import interval_bar
from worker.reports.gallery import Exhibit, card, is_drawn
from worker.reports.markup import Markup, el, join
from worker.reports.page_style import STYLE
from worker.reports.versions import (
    MOST_CHARTED,
    PlaceOf,
    by_version,
    earlier_table,
    latest_first,
    linked,
    live_names,
    scroller,
)


def alarms(models: Sequence[dict[str, Any]], links: Links, earlier: Sequence[dict[str, Any]] = ()) -> list[Markup]:
    """Every alarm that nobody has accepted, as a note; ``earlier`` ones are of versions without figures."""
    raised = [(alarm, model["jobs"]) for model in models for alarm in model["drift"]["alarms"]]
    raised += [(alarm, ()) for alarm in earlier]
    return [_alarm(alarm, jobs, links) for alarm, jobs in raised if alarm["acknowledged_at"] is None]


def _alarm(alarm: dict[str, Any], jobs: Collection[str], links: Links) -> Markup:
    sides = [f"{name} {estimate_text(alarm[name])}" for name in ("before", "after") if name in alarm]
    agreement = f" Agreement {', '.join(sides)}." if sides else ""
    since, noticed = time_of_day(alarm["since"], DAY), time_of_day(alarm["at"], DAY)
    when = f"Since about {since}, noticed at a prediction of {noticed}."
    fallen = [row for row in alarm["classes"] if row["lost"] > 0]
    classes = [
        (f"{class_name(row['name'], jobs)}: {percent(row['before'])} → {percent(row['after'])}", "") for row in fallen
    ]
    cases = [
        [el("a", case["external_id"] or case["asset_id"], href=links.asset(case["asset_id"])), " "]
        for case in alarm["cases"][:8]
    ]
    caption = ["prediction-worker", "report", "--project", links.project, "--acknowledge", alarm["id"]]
    accept = ["To accept it: ", el("code", shlex.join(caption))]
    return el(
        "div",
        el("h3", f"{alarm['model']}: {detector_name(alarm['detector'])}"),
        el("p", f"{alarm['meaning'].capitalize()}. {when}{agreement}"),
        [el("p", "Fell most when the model says: ", tags(classes))] if classes else None,
        el("p", "Latest wrong ones: ", cases or "none answered yet", class_="small"),
        el("p", accept, class_="small soft"),
        class_="note bad",
    )


MATRIX_CLASSES = 24
SHOWN_ROWS = 6


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], name: str = "") -> Markup:
    """A table; headings that end in # are of columns of numbers."""
    numeric = [name.endswith("#") for name in head]
    top = [el("th", name.rstrip("#"), class_="n" if right else None) for name, right in zip(head, numeric, strict=True)]
    body = [
        el("tr", [el("td", cell, class_="n" if right else None) for cell, right in zip(row, numeric, strict=True)])
        for row in rows
    ]
    return scroller(el("table", el("thead", el("tr", top)), el("tbody", body)), name or head[0])


def ranking(name: str, rows: Sequence[dict[str, Any]]) -> Markup:
    """Classes or slices, the worst first; all but the first few folded."""
    head = [name, "agreement", "", "errors a day#", "predictions#", "answers#", "audits#"]
    lines = [_ranked(row) for row in rows]
    rest = lines[SHOWN_ROWS:]
    return el(
        "div",
        table(head, lines[:SHOWN_ROWS]),
        folded(f"{len(rest)} more", table(head, rest)) if rest else None,
        class_="card",
    )


def folded(name: str, *content: Any) -> Markup:
    """Content behind a heading that opens it."""
    return el("details", el("summary", name), *content)


def matrix(rows: Sequence[dict[str, Any]]) -> Markup:
    """Model against humans, as estimated numbers of predictions; only classes that were mistaken."""
    cells = {(row["model"], row["human"]): row for row in rows}
    mistaken: dict[str, float] = {}
    for row in rows:
        if row["model"] != row["human"]:
            for name in (row["model"], row["human"]):
                mistaken[name] = mistaken.get(name, 0.0) + row["estimated"]
    names = sorted(mistaken, key=lambda name: -mistaken[name]) or sorted({row["model"] for row in rows})
    shown = sorted(names[:MATRIX_CLASSES], key=lambda name: (name == NOTHING, name))
    most = max((row["estimated"] for row in rows if row["model"] != row["human"]), default=1.0) or 1.0
    head = el("tr", el("td"), [el("th", el("span", name), scope="col", title=name) for name in shown])
    lines = [
        el(
            "tr",
            el("th", stated, scope="row", title=stated),
            [_cell(cells.get((stated, meant)), stated == meant, most) for meant in shown],
        )
        for stated in shown
    ]
    left_out = len(names) - len(shown)
    note = f"The {len(shown)} classes with most mistakes; {left_out} more were mistaken." if left_out else None
    drawn = scroller(el("table", head, lines, class_="matrix"), "What was mistaken for what")
    return el("div", note and el("p", note, class_="small soft"), drawn, class_="card")


def comparisons(rows: Sequence[dict[str, Any]]) -> Markup:
    """Champions and challengers."""
    head = ["champion", "challenger", "challenger minus champion", "shared assets#", "answers#"]
    lines = [
        [row["champion"], row["challenger"], difference_text(row), row["population"], row["verdicts"]] for row in rows
    ]
    return el("div", table(head, lines), class_="card")


def audits(models: Sequence[dict[str, Any]]) -> Markup:
    """The audit sample of each model version, and how long answers took; all but the first few folded."""
    head = ["audits of", "drawn#", "answered#", "waiting#", "overdue#", "prediction to answer, median#"]
    names = ("drawn", "answered", "waiting", "overdue")
    lines = [[one["model"], *(one["audits"][name] for name in names), _delay(one)] for one in models]
    rest = lines[SHOWN_ROWS:]
    return join([table(head, lines[:SHOWN_ROWS]), folded(f"{len(rest)} more", table(head, rest)) if rest else None])


def _ranked(row: dict[str, Any]) -> list[Any]:
    errors = "" if row["errors_per_day"] is None else f"{row['errors_per_day']:.1f}"
    counts = [row["population"], row["verdicts"], row["audits"]]
    return [row["name"], estimate_text(row), interval_bar(row), errors, *counts]


def _cell(row: dict[str, Any] | None, same: bool, most: float) -> Markup:
    kind = "same" if same else None
    if row is None:
        return el("td", class_=kind)
    heat = 0.08 + 0.37 * min(1.0, row["estimated"] / most)
    style = None if same else f"background:rgba(var(--heat),{heat:.2f})"
    return el("td", f"{row['estimated']:.0f}", class_=kind, style=style, title=f"{row['answers']:g} answers")


def _delay(model: dict[str, Any]) -> str:
    found = model["verdict_seconds"]
    return "unknown" if found is None else age(found["median"])


def tags(names: Iterable[tuple[str, str]]) -> Markup:
    """Short words in rounded boxes, each with its kind."""
    return join(el("span", name, class_=f"tag {kind}".strip()) for name, kind in names)


BANDS = {"3": "must be reviewed", "2": "audits", "1": "doubtful"}

HOW_TO_READ = (
    "Doubtful predictions are reviewed first, so the plain average of the answers says nothing of live traffic; it is "
    "shown as naive and used for nothing. Estimates count every answer once and let the random audits speak for what "
    "nobody answered; intervals are 95 % score intervals. Where no audit was answered there is no estimate, only what "
    "the answers leave possible. Times are in UTC."
)


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
        report_data: of a project, or of one model version (see ``pages.py``).
        title: of the page.
        links: into the project in Kili.
        shown: disagreements.
        about: says in a sentence what the figures are of; by default live traffic.
        place_of: where each model version has a page of its own, with what is then left out here.
        back: where the page of all model versions is.
    """
    newest_first = latest_first(report_data["models"])
    live = live_names(newest_first)
    of_versions = [
        ("worst", "Where the model is wrong most", _worst(newest_first, live)),
        ("confusion", "What was mistaken for what", _confusion(newest_first, live)),
        ("calibration", "Does the confidence tell the truth?", _calibration(newest_first, live)),
        ("drift", "Drift", _drift(newest_first, live)),
    ]
    sections = [
        ("models", "Model versions", _models(newest_first, live, report_data["at"], place_of)),
        ("time", "Agreement over time", _over_time(newest_first)),
        *(of_versions if place_of is None else ()),
        ("versions", "Versions on the same assets", _comparisons(report_data["comparisons"])),
        ("reviewers", "Reviewers and audits", _reviewers(report_data, newest_first)),
        ("gallery", "Disagreements", _gallery(shown, links)),
    ]
    kept = [section for section in sections if section[2]]
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width,initial-scale=1"),
        el("title", f"{title}: model against humans"),
        el("style", Markup(STYLE)),
    )
    body = el(
        "body",
        el(
            "header",
            el("p", el("a", "All model versions", href=back), class_="small") if back else None,
            _heading(report_data, title, links, about),
            el("nav", [el("a", name, href=f"#{key}") for key, name, _ in kept]),
        ),
        el(
            "main",
            alarms(newest_first, links, report_data.get("earlier_alarms", ())),
            _warnings(report_data),
            [el("section", el("h2", name), content, id=key) for key, name, content in kept],
        ),
        el("footer", el("p", el("strong", "How to read this. "), HOW_TO_READ)),
    )
    return f"<!doctype html>{el('html', head, body, lang='en')}"


def _heading(report_data: dict[str, Any], title: str, links: Links, about: str | None) -> list[Markup]:
    moment = datetime.fromtimestamp(report_data["at"], UTC).strftime("%d %B %Y, %H:%M UTC")
    traffic = f"How often the model agrees with the humans on live traffic of the last {report_data['days']:g} days"
    caption = f"{about or traffic}, as of {moment}. "
    return [el("h1", title), el("p", caption, el("a", "Open the project in Kili", href=links.home), class_="soft")]


def _warnings(report_data: dict[str, Any]) -> list[Markup]:
    return [el("div", caption, class_="note warn") for caption in warnings_of(report_data)]


def _models(models: Sequence[Any], live: set[str], now: float, place_of: PlaceOf | None) -> Markup:
    cards = [_model(model, index, now, place_of) for index, model in enumerate(models) if model["model"] in live]
    if not cards:
        return el("p", "No predictions yet.", class_="soft")
    return join([el("div", cards, class_="cards"), earlier_table(models, live, place_of)])


def _model(model: dict[str, Any], index: int, now: float, place_of: PlaceOf | None) -> Markup:
    row = model["agreement"]
    states = [(f"{detector_name(name)}: {state}", kind) for name, state, kind in _states(model)]
    return el(
        "article",
        el("h3", _key(index), linked(model["model"], place_of)),
        el("p", percent(row["value"], 1), class_="big"),
        el("p", f"between {percent(row['low'], 1)} and {percent(row['high'], 1)} ", charts.interval_bar(row)),
        [el("p", caption, class_="small soft") for caption in basis_lines(row, now)],
        tags(states),
        class_="card",
    )


def _states(model: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Detectors with their state and its colour: what is quiet is good only where the agreement is known."""
    known = model["agreement"]["value"] is not None
    return [
        (name, state, state if known or state != "quiet" else "") for name, state in model["drift"]["states"].items()
    ]


def _key(index: int) -> Markup:
    return el("span", class_=f"key s{index % charts.SERIES}" if index < MOST_CHARTED else "key")


def _over_time(models: Sequence[Any]) -> Markup | None:
    shown = models[:MOST_CHARTED]
    chart = charts.agreement_over_time(shown)
    keys = [el("span", _key(index), model["model"], class_="tag") for index, model in enumerate(shown)]
    left_out = len(models) - len(shown)
    note = f"The {len(shown)} latest versions; {left_out} earlier ones are in the table above." if left_out else None
    caption = note and el("p", note, class_="small soft")
    return chart and el("div", scroller(chart, "Agreement over time"), el("p", keys), caption, class_="card")


def _worst(models: Sequence[Any], live: set[str]) -> Markup:
    parts: list[tuple[str, Any]] = []
    for model in models:
        jobs = model["jobs"]
        tables = [("model says" if len(jobs) == 1 else job, found["classes"]) for job, found in jobs.items()]
        tables += [(f"metadata: {key}", rows) for key, rows in model["slices"].items()]
        rankings = [ranking(name, rows) for name, rows in tables if rows]
        if rankings:
            parts.append((model["model"], [el("h3", model["model"]), *rankings]))
    return by_version(parts, live)


def _confusion(models: Sequence[Any], live: set[str]) -> Markup | None:
    note = "Rows: the model. Columns: the humans. Estimated predictions of the whole traffic."
    parts: list[tuple[str, Any]] = []
    for model in models:
        found = {job: one["confusion"] for job, one in model["jobs"].items() if one["confusion"]}
        named = len(model["jobs"]) > 1
        drawn = [
            [el("h3", f"{model['model']}, {job}" if named else model["model"]), matrix(rows)]
            for job, rows in found.items()
        ]
        if drawn:
            parts.append((model["model"], drawn))
    return join([el("p", note, class_="soft small"), by_version(parts, live)]) if parts else None


def _calibration(models: Sequence[Any], live: set[str]) -> Markup | None:
    note = (
        "Stated probability of being right (across) against agreement found (up). On the dashed line the statement is "
        "true; below it the model is too sure of itself."
    )
    names = {"confidence": "The model's own confidence", "p_error": "What the review policy expects"}
    parts: list[tuple[str, Any]] = []
    for model in models:
        plots = [(title, charts.reliability(model[key], title)) for key, title in names.items()]
        cards = [el("div", el("h3", title), plot, class_="card") for title, plot in plots if plot]
        if cards:
            parts.append((model["model"], [el("h3", model["model"]), el("div", cards, class_="pair")]))
    return join([el("p", note, class_="soft small"), by_version(parts, live)]) if parts else None


def _drift(models: Sequence[Any], live: set[str]) -> Markup | None:
    note = "Evidence that errors became more frequent, window by window; where it reaches the dashed line is an alarm."
    cards = [(model["model"], _drift_of(model)) for model in models if model["drift"]["states"]]
    return join([el("p", note, class_="soft small"), by_version(cards, live)]) if cards else None


def _drift_of(model: dict[str, Any]) -> Markup:
    drift = model["drift"]
    rows = [[detector_name(name), tags([(state, kind)]), meaning_of(name)] for name, state, kind in _states(model)]
    past = [alarm for alarm in drift["alarms"] if alarm["acknowledged_at"] is not None]
    caption = [
        f"{detector_name(alarm['detector'])}: raised for a prediction of {time_of_day(alarm['at'], DAY)}, acknowledged "
        f"{time_of_day(alarm['acknowledged_at'], DAY)}."
        for alarm in past
    ]
    chart = charts.evidence_over_time(drift["points"], drift["alarms"])
    return el(
        "div",
        el("h3", model["model"]),
        chart and scroller(chart, f"Evidence of drift, {model['model']}"),
        table(["detector", "state", "what its alarm says"], rows),
        [el("p", one, class_="small") for one in caption],
        class_="card",
    )


def _comparisons(rows: Sequence[dict[str, Any]]) -> Markup | None:
    return comparisons(rows) if rows else None


def _reviewers(report_data: dict[str, Any], models: Sequence[Any]) -> Markup | None:
    found = report_data["reviewers"]
    if found is None:
        return el("div", audits(models), class_="card")
    if not found["verdicts"]:
        return None
    waiting = [f"{count} {BANDS.get(band, band)}" for band, count in sorted(found["waiting"].items(), reverse=True)]
    longest = "" if found["longest_wait"] is None else f", the oldest for {age(found['longest_wait'])}"
    caption = (
        f"{found['verdicts']} answers by {found['people']} people, about {found['capacity_per_day']:g} a day. "
        f"Waiting: {', '.join(waiting) or 'nothing'}{longest}."
    )
    chart = charts.bars([(row["day"], row["verdicts"]) for row in found["per_day"]], "Answers a day")
    return el("div", el("p", caption), chart and scroller(chart, "Answers a day"), audits(models), class_="card")


def _gallery(shown: Sequence[Exhibit], links: Links) -> Markup | None:
    if not shown:
        return None
    cards = [card(exhibit, links.asset(exhibit.row["asset_id"])) for exhibit in shown]
    sides = [el("span", "Model: dashed. ", class_="said"), el("span", "Human: solid.", class_="meant")]
    drawn = [" ", *sides] if any(map(is_drawn, shown)) else None
    note = el("p", "One of each kind after the other, the most frequent kind first.", drawn, class_="soft small")
    return join([note, el("div", cards, class_="gallery")])
