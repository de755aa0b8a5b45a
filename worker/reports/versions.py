"""Model versions on a page: the latest first, live ones in the open, earlier ones behind their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from worker.feedback.messages import DAY, estimate_text, time_of_day
from worker.reports.markup import Markup, el, join

LIVE_SECONDS = DAY
"""A version is live while its latest prediction is no older than this, measured from the latest of all."""

MOST_CHARTED = 6
"""Versions in one chart: as many as there are colours."""

Model = dict[str, Any]
PlaceOf = Callable[[str], str]
"""Where the page of a model version is, by its name."""


def latest_first(models: Sequence[Model]) -> list[Model]:
    """Versions by their latest prediction, those that began last first where they are even."""
    return sorted(models, key=lambda model: (-model["last_at"], -model["first_at"]))


def live_names(models: Sequence[Model]) -> set[str]:
    """The versions that still predict; the page never hides them. Of a page without models none."""
    latest = max((model["last_at"] for model in models), default=0.0)
    return {model["model"] for model in models if model["last_at"] >= latest - LIVE_SECONDS}


def by_version(parts: Sequence[tuple[str, Any]], live: set[str]) -> Markup:
    """Parts by their version: live ones open (or the first), the others each behind its name, behind one heading."""
    opened = {name for name, _ in parts if name in live} or {name for name, _ in parts[:1]}
    shown = [content for name, content in parts if name in opened]
    earlier = [el("details", el("summary", name), content) for name, content in parts if name not in opened]
    return join([*shown, el("details", el("summary", _count(len(earlier))), *earlier) if earlier else None])


def linked(name: str, place_of: PlaceOf | None) -> Markup | str:
    """A version's name, as a link to its page where it has one."""
    return el("a", name, href=place_of(name)) if place_of else name


def earlier_table(models: Sequence[Model], live: set[str], place_of: PlaceOf | None = None) -> Markup | None:
    """Earlier versions in a line each."""
    rows = [
        el(
            "tr",
            el("th", linked(model["model"], place_of), scope="row"),
            el("td", estimate_text(model["agreement"])),
            el("td", model["agreement"]["population"], class_="n"),
            el("td", model["agreement"]["verdicts"], class_="n"),
            el("td", f"{time_of_day(model['first_at'], 30 * DAY)} to {time_of_day(model['last_at'], 30 * DAY)}"),
        )
        for model in models
        if model["model"] not in live
    ]
    if not rows:
        return None
    heads = [("version", None), ("agreement", None), ("predictions", "n"), ("answers", "n"), ("predicted", None)]
    top = el("tr", [el("th", name, class_=kind, scope="col") for name, kind in heads])
    return el(
        "details",
        el("summary", _count(len(rows))),
        scroller(el("table", el("thead", top), el("tbody", rows)), "Earlier versions"),
    )


def scroller(content: Any, name: str) -> Markup:
    """Content that may be wider than the window: it scrolls by itself, by keyboard too, and shows that it goes on."""
    return el("div", content, class_="scroll", tabindex="0", role="region", aria_label=name)


def _count(number: int) -> str:
    return "1 earlier version" if number == 1 else f"{number} earlier versions"
