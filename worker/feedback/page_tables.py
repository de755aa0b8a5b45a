"""The tables of the report's page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from worker.feedback.breakdown import NOTHING
from worker.feedback.charts import interval_bar
from worker.feedback.markup import Markup, el, join
from worker.feedback.wording import age, difference_words, estimate_words

MATRIX_CLASSES = 24
SHOWN_ROWS = 6


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """A table; headings that end in # are of columns of numbers."""
    numeric = [name.endswith("#") for name in head]
    top = [el("th", name.rstrip("#"), class_="n" if right else None) for name, right in zip(head, numeric, strict=True)]
    body = [
        el("tr", [el("td", cell, class_="n" if right else None) for cell, right in zip(row, numeric, strict=True)])
        for row in rows
    ]
    return el("div", el("table", el("thead", el("tr", top)), el("tbody", body)), class_="scroll")


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
    mistaken = {name for row in rows if row["model"] != row["human"] for name in (row["model"], row["human"])}
    names = mistaken or {row["model"] for row in rows}
    shown = sorted(names, key=lambda name: (name == NOTHING, name))[:MATRIX_CLASSES]
    most = max((row["estimated"] for row in rows if row["model"] != row["human"]), default=1.0) or 1.0
    head = el("tr", el("th"), [el("th", name, scope="col") for name in shown])
    lines = [
        el("tr", el("th", said, scope="row"), [_cell(cells.get((said, meant)), said == meant, most) for meant in shown])
        for said in shown
    ]
    return el("div", el("table", head, lines, class_="matrix"), class_="card scroll")


def comparisons(rows: Sequence[dict[str, Any]]) -> Markup:
    """Champions and challengers."""
    head = ["champion", "challenger", "challenger minus champion", "shared assets#", "answers#"]
    lines = [
        [row["champion"], row["challenger"], difference_words(row), row["population"], row["verdicts"]] for row in rows
    ]
    return el("div", table(head, lines), class_="card")


def audits(models: Sequence[dict[str, Any]]) -> Markup:
    """The audit sample of each model version, and how long answers took."""
    head = ["audits of", "drawn#", "answered#", "waiting#", "overdue#", "prediction to answer, median#"]
    names = ("drawn", "answered", "waiting", "overdue")
    return table(head, [[one["model"], *(one["audits"][name] for name in names), _delay(one)] for one in models])


def _ranked(row: dict[str, Any]) -> list[Any]:
    errors = "" if row["errors_per_day"] is None else f"{row['errors_per_day']:.1f}"
    counts = [row["population"], row["verdicts"], row["audits"]]
    return [row["name"], estimate_words(row), interval_bar(row), errors, *counts]


def _cell(row: dict[str, Any] | None, same: bool, most: float) -> Markup:
    kind = "same" if same else None
    if row is None:
        return el("td", class_=kind)
    heat = 0.08 + 0.6 * min(1.0, row["estimated"] / most)
    style = None if same else f"background:rgba(var(--heat),{heat:.2f})"
    return el("td", f"{row['estimated']:.0f}", class_=kind, style=style, title=f"{row['answers']:g} answers")


def _delay(model: dict[str, Any]) -> str:
    found = model["verdict_seconds"]
    return "unknown" if found is None else age(found["median"])


def tags(names: Iterable[tuple[str, str]]) -> Markup:
    """Short words in rounded boxes, each with its kind."""
    return join(el("span", name, class_=f"tag {kind}".strip()) for name, kind in names)
