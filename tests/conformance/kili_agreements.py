"""How far two labels agree, by the rules of Kili's documentation."""

from __future__ import annotations

from typing import Any

from tests.conformance.kili_shapes import (
    LINES,
    MET,
    NAMES,
    PARTS,
    PDF,
    POSES,
    TREES,
    VIDEO,
    case,
    entity,
    tree,
)
from tests.conformance.shapes import (
    Json,
    box,
    choice,
    chosen,
    corners,
    drawn,
    joins,
    listed,
    named,
    on_pages,
    patch,
    relation,
    ring,
    seen,
    square,
)


def agreeing(jobs: Json, one: Json, other: Json, agreement: float, **parts: Any) -> Json:
    """Two responses and how far they agree."""
    return case(jobs, one, other, agreement=agreement, **parts)


TWO_PATCHES = listed(patch("POND", "a", square(0.1, 0.1)), patch("POND", "a", square(0.6, 0.6)))
TRAYS = {
    "TRAYS": drawn("rectangle", "TRAY", children={"TRAY": ["FOOD"]}),
    "FOOD": choice("RICE", "PEAS", "FISH", input="checkbox", isChild=True),
}
BOTTOM, TOP = ring(*corners(0.1, 0.9, 0.9, 0.95)), ring(*corners(0.1, 0.1, 0.9, 0.15))
LEG = [seen("KNEE", 0.3, 0.5), seen("HOOF", 0.3, 0.8)]
LINKED = {**NAMES, "LINK": relation("NAMED_ENTITIES_RELATION", "TIED", ["ANY"], ["ANY"])}


def linked(*mids: str) -> Json:
    who = [entity("PERSON", mids[0], 0, 4), entity("TOWN", mids[1], 16, 20)]
    return {"WHO": listed(*sorted(who, key=str)), "LINK": listed(joins("TIED", "r", *mids, "Entities"))}


AGREEING: dict[str, Json] = {
    "boxes by their overlap": agreeing(
        TREES,
        {"TREES": listed(box("FIR", "a", 0.1, 0.2, 0.5, 0.6))},
        {"TREES": listed(box("FIR", "b", 0.2, 0.2, 0.6, 0.6))},
        0.6,
    ),
    "boxes of two classes": agreeing(TREES, tree("FIR"), tree("YEW"), 0.0),
    "a box without partner": agreeing(
        TREES,
        tree(),
        {"TREES": listed(*tree()["TREES"]["annotations"], box("FIR", "z", 0.7, 0.7, 0.8, 0.8))},
        0.5,
    ),
    "an object whose answer is half right": agreeing(
        TRAYS,
        {"TRAYS": listed(box("TRAY", "a", 0, 0, 0.5, 0.5, children={"FOOD": chosen("RICE")}))},
        {"TRAYS": listed(box("TRAY", "b", 0, 0, 0.5, 0.5, children={"FOOD": chosen("RICE", "FISH")}))},
        0.707,
    ),
    "one part of two": agreeing(
        PARTS, {"GROUND": TWO_PATCHES}, {"GROUND": listed(patch("POND", "b", square(0.1, 0.1)))}, 0.5
    ),
    "parts as annotations and as groups": agreeing(
        PARTS,
        {"GROUND": TWO_PATCHES},
        {"GROUND": listed(patch("POND", "b", [square(0.1, 0.1)], [square(0.6, 0.6)]))},
        1.0,
    ),
    "parts as annotations and as rings": agreeing(
        PARTS, {"GROUND": TWO_PATCHES}, {"GROUND": listed(patch("POND", "b", square(0.1, 0.1), square(0.6, 0.6)))}, 1.0
    ),
    "a hole is no part": agreeing(
        PARTS,
        {"GROUND": listed(patch("PIT", "a", square(0.2, 0.2, 0.4)))},
        {"GROUND": listed(patch("PIT", "b", square(0.2, 0.2, 0.4), square(0.3, 0.3, 0.2)))},
        0.75,
    ),
    "a PDF's rectangle, flat and deeper": agreeing(
        PDF,
        {"MARKS": listed(named("LOGO", "a", type="rectangle", annotations=on_pages([3], square(0, 0), nested=False)))},
        {"MARKS": listed(named("LOGO", "b", annotations=on_pages([3], square(0, 0))))},
        1.0,
        input_type="PDF",
    ),
    "areas on the pages they name": agreeing(
        LINES,
        {"CLAUSES": listed(named("TERM", "a", annotations=on_pages([1, 2], BOTTOM, TOP)))},
        {"CLAUSES": listed(named("TERM", "b", annotations=on_pages([1, 1], BOTTOM, TOP)))},
        0.333,
        input_type="PDF",
    ),
    "areas in another order, with their pages": agreeing(
        LINES,
        {"CLAUSES": listed(named("TERM", "a", annotations=on_pages([1, 2], BOTTOM, TOP)))},
        {"CLAUSES": listed(named("TERM", "b", annotations=on_pages([2, 1], TOP, BOTTOM)))},
        1.0,
        input_type="PDF",
    ),
    "a pose typed marker": agreeing(
        POSES,
        {"HORSE": listed(named("LEG", "a", type="marker", points=[{**point, "mid": "a"} for point in LEG]))},
        {"HORSE": listed(named("LEG", "b", type="pose", points=LEG[::-1]))},
        1.0,
    ),
    "a box beside empty places for other drawings": agreeing(
        TREES,
        {"TREES": listed({**box("FIR", "a", 0.1, 0.2, 0.5, 0.6), "polyline": [], "point": None})},
        {"TREES": listed(box("FIR", "b", 0.1, 0.2, 0.5, 0.6))},
        1.0,
        equal_to_self=True,
    ),
    "relations by what they join": agreeing(
        LINKED, linked("1", "2"), linked("x", "y"), 1.0, job="LINK", input_type="TEXT", asset={"text": MET}
    ),
    "frames without answers": agreeing(
        VIDEO,
        {
            "0": {"ANNOTATION_NAMES_JOB": {"s": "Canoe 1"}},
            "1": {"SHIPS": listed(box("CANOE", "s", 0.1, 0.1, 0.2, 0.2, isKeyFrame=True))},
            "2": {},
        },
        {"1": {"SHIPS": listed(box("CANOE", "t", 0.1, 0.1, 0.2, 0.2, isKeyFrame=False))}},
        1.0,
        input_type="VIDEO",
    ),
}
