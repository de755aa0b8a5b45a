"""Tables of numbers that are no scores: raw heads of detectors, rows of boxes, a class per token."""

from __future__ import annotations

from typing import Any, NoReturn

from worker.formats.checks import Path, fail, is_number
from worker.formats.options import ReadOptions

BOX_ROW = 6
"""Numbers of a box in the exports of detectors: x1, y1, x2, y2, score, class."""

_AS_SHORT = "send them in the short form: boxes, with units and box_order"


def refuse_table(rows: list[Any], options: ReadOptions, at: Path) -> NoReturn:
    """Say what a list of lists in the place of one item's scores seems to be, and what to send instead."""
    lists = [row for row in rows if isinstance(row, list)]
    numeric = all(isinstance(row, list) and all(map(is_number, row)) for row in rows)
    if options.text is not None and numeric:
        fail(at, "one class per token cannot be placed in the text", "send entities with offsets (start and end)")
    if numeric and any(_is_box(row) for row in lists):
        fail(
            at,
            "rows of six numbers look like boxes after NMS (x1, y1, x2, y2, score, class), not like scores",
            _AS_SHORT,
        )
    if numeric and len({len(row) for row in lists}) == 1 and len(lists) > 4:
        problem = "a table of numbers is no row of scores; it looks like the raw head of a detector, before NMS"
        fail(at, problem, "export the model with NMS (non-maximum suppression), or send boxes in the short form")
    fail(at, "a row with one dimension too many", "send one list of scores per item")


def refuse_box(row: list[Any], options: ReadOptions, at: Path) -> None:
    """Refuse the six numbers of a box in the place of six scores."""
    if options.score_kind is None and _is_box(row):
        fail(at, "looks like a box (x1, y1, x2, y2, score, class), not like six scores", _AS_SHORT)


def _is_box(row: list[Any]) -> bool:
    """Six numbers of which the first four are corners in pixels, the fifth a share and the last a whole number."""
    if len(row) != BOX_ROW or not all(map(is_number, row)):
        return False
    x1, y1, x2, y2, score, index = row
    return bool(x1 < x2 and y1 < y2 and max(x2, y2) > 1 and 0 <= score <= 1 and 0 <= index == int(index))
