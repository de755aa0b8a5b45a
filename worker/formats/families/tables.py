"""Tables of numbers that are no scores: raw heads of detectors, rows of boxes, a class per token."""

from __future__ import annotations

from typing import Any, NoReturn

from worker.formats.checks import Path, fail, is_number
from worker.formats.options import ReadOptions

BOX_ROW = 6
"""Numbers of a box in the exports of detectors: x1, y1, x2, y2, score, class; the last two may be missing."""

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
    if options.score_kind is None and options.exclusive is not False and _is_box(row):
        fix = _AS_SHORT if len(row) == BOX_ROW else f"{_AS_SHORT}; set score_kind if they are scores"
        fail(at, f"looks like a box (x1, y1, x2, y2, score, class), not like {len(row)} scores", fix)


def _is_box(row: list[Any]) -> bool:
    """A place and an extent, a share, a whole number, perhaps a track: too much for probabilities together."""
    if len(row) == BOX_ROW + 1:
        row = [*row[:4], *row[5:]] if is_number(row[4]) and row[4] == int(row[4]) else row
    if not 4 <= len(row) <= BOX_ROW or not all(map(is_number, row)) or min(row) < 0 or sum(row) < LEAST_OF_A_BOX:
        return False
    score, index = (*row[4:], 0, 0)[:2] if len(row) < BOX_ROW else row[4:]
    if not (0 <= score <= 1 and index == int(index)):
        return False
    x1, y1, x2, y2 = row[:4]
    in_pixels = x1 < x2 and y1 < y2 and max(x2, y2) > 1
    return bool(in_pixels or (len(row) == BOX_ROW and max(row[:4]) <= 1 and type(index) is float))


LEAST_OF_A_BOX = 1.1
"""Least sum of the numbers of a box: what sums to 1 are probabilities."""
