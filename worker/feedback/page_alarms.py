"""Drift alarms on the report's page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from worker.feedback.links import Links
from worker.feedback.markup import Markup, el
from worker.feedback.page_tables import tags
from worker.feedback.wording import DAY, class_name, clock, detector_name, estimate_words, percent


def alarms(models: Sequence[dict[str, Any]], links: Links, earlier: Sequence[dict[str, Any]] = ()) -> list[Markup]:
    """Every alarm that nobody has accepted, as a note; ``earlier`` ones are of versions without figures."""
    raised = [(alarm, model["jobs"]) for model in models for alarm in model["drift"]["alarms"]]
    raised += [(alarm, ()) for alarm in earlier]
    return [_alarm(alarm, jobs, links) for alarm, jobs in raised if alarm["acknowledged_at"] is None]


def _alarm(alarm: dict[str, Any], jobs: Collection[str], links: Links) -> Markup:
    sides = [f"{name} {estimate_words(alarm[name])}" for name in ("before", "after") if name in alarm]
    agreement = f" Agreement {', '.join(sides)}." if sides else ""
    when = f"Since about {clock(alarm['since'], DAY)}, noticed at a prediction of {clock(alarm['at'], DAY)}."
    fallen = [row for row in alarm["classes"] if row["lost"] > 0]
    classes = [
        (f"{class_name(row['name'], jobs)}: {percent(row['before'])} → {percent(row['after'])}", "") for row in fallen
    ]
    cases = [
        [el("a", case["external_id"] or case["asset_id"], href=links.asset(case["asset_id"])), " "]
        for case in alarm["cases"][:8]
    ]
    accept = ["To accept it: ", el("code", f"prediction-worker report --acknowledge {alarm['id']}")]
    return el(
        "div",
        el("h3", f"{alarm['model']}: {detector_name(alarm['detector'])}"),
        el("p", f"{alarm['meaning'].capitalize()}. {when}{agreement}"),
        [el("p", "Fell most when the model says: ", tags(classes))] if classes else None,
        el("p", "Latest wrong ones: ", cases or "none answered yet", class_="small"),
        el("p", accept, class_="small soft"),
        class_="note bad",
    )
