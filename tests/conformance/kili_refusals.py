"""What Kili refuses, each case with words that the refusal must hold."""

from __future__ import annotations

from tests.conformance.kili_shapes import (
    COLLECTION,
    MET,
    NAMES,
    PARTS,
    PDF,
    POSES,
    RICH,
    TALK,
    TIF,
    TREES,
    VIDEO,
    entity,
    refused,
    tree,
)
from tests.conformance.shapes import (
    Json,
    box,
    choice,
    chosen,
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
    text,
)

REFUSED: dict[str, Json] = {
    "two classes under one mid": refused(
        PARTS, {"GROUND": listed(patch("POND", "p", square(0.1, 0.1)), patch("PIT", "p", square(0.6, 0.6)))}, "mid"
    ),
    "a mid of two jobs": refused(
        {**TREES, **PARTS}, {**tree(mid="p"), "GROUND": listed(patch("PIT", "p", square(0.6, 0.6)))}, "mid"
    ),
    "a latitude beyond the pole": refused(
        COLLECTION,
        {"PLANT": listed(named("DAM", "d", type="marker", point={"x": 6.5, "y": 91}))},
        "latitude",
        input_type="GEOSPATIAL",
    ),
    "pixels in an image that may know where it was taken": refused(
        TREES, {"TREES": listed(box("FIR", "t", 812, 400, 900, 470))}, "pixels", "range", asset=TIF
    ),
    "pixels of a small image": refused(TREES, {"TREES": listed(box("FIR", "t", 12, 20, 40, 50))}, "pixels", "range"),
    "degrees in a map that is labeled in pixels": refused(
        PARTS,
        {"GROUND": listed(patch("PIT", "p", [ring(7, 60, 8, 60, 8, 61)]))},
        "0 to 1",
        input_type="GEOSPATIAL",
        pixel_labeling=True,
    ),
    "a point the pose lacks": refused(
        POSES, {"HORSE": listed(named("HEAD", "h", type="pose", points=[seen("HOOF", 0.2, 0.2)]))}, "HOOF"
    ),
    "a polygon of two vertices in a PDF": refused(
        PDF,
        {"MARKS": listed(named("LOGO", "m", type="polygon", annotations=on_pages([1], ring(0.1, 0.1, 0.2, 0.2))))},
        "vert",
        input_type="PDF",
    ),
    "a relation the wrong way round": refused(
        {**NAMES, "LIVES": relation("NAMED_ENTITIES_RELATION", "IN", ["PERSON"], ["TOWN"])},
        {
            "WHO": listed(entity("PERSON", "a", 0, 4), entity("TOWN", "b", 16, 20)),
            "LIVES": listed(joins("IN", "r", "b", "a", "Entities")),
        },
        "startEntities",
        input_type="TEXT",
        asset={"text": MET},
    ),
    "a score above 100": refused(TREES, tree(score=101), "score"),
    "a score that is a fraction": refused(TREES, tree(score=87.5), "whole number"),
    "objects instead of a choice": refused(
        {"KIND": choice("FIR", "YEW")}, {"KIND": listed(box("FIR", "t", 0.1, 0.1, 0.2, 0.2))}, "categories"
    ),
    "an unknown category": refused(TREES, tree("OAK"), "OAK"),
    "an unknown job": refused(TREES, {"BUSHES": listed(box("FIR", None, 0.1, 0.1, 0.2, 0.2))}, "BUSHES"),
    "a required job left open": refused(TREES, {}, "TREES", "required"),
    "a rectangle of three corners": refused(
        TREES, {"TREES": listed(named("FIR", "t", type="rectangle", boundingPoly=[ring(0, 0, 0, 1, 1, 1)]))}, "vert"
    ),
    "a tool the job lacks": refused(TREES, {"TREES": listed(patch("FIR", "t", square(0.1, 0.1)))}, "tool"),
    "two choices of one": refused({"KIND": choice("FIR", "YEW")}, {"KIND": chosen("FIR", "YEW")}, "one category"),
    "a child of another category": refused(
        {"SIGNS": drawn("rectangle", "PLATE", "ARROW", children={"PLATE": ["SAYS"]}), "SAYS": text(isChild=True)},
        {"SIGNS": listed(box("ARROW", "a", 0.1, 0.1, 0.2, 0.2, children={"SAYS": {"text": "exit"}}))},
        "SAYS",
    ),
    "a frame with a name": refused(VIDEO, {"intro": {"SCENE": chosen("SEA")}}, "frame", input_type="VIDEO"),
    "an unknown category of a conversation": refused(TALK, {"TONE": chosen("SOUR")}, "SOUR", input_type="LLM_STATIC"),
    "words the text does not have": refused(
        NAMES,
        {"WHO": listed(entity("TOWN", "e", 5, 9, content="Bodo"))},
        "content",
        input_type="TEXT",
        asset={"text": MET},
    ),
    "an entity of a rich text without its parts": refused(
        NAMES,
        {"WHO": listed(entity("TOWN", "e", 2, 7, content="brief"))},
        "beginId",
        input_type="TEXT",
        asset={"json_content": RICH},
    ),
    "an entity that ends before it begins": refused(
        NAMES,
        {"WHO": listed(entity("TOWN", "e", 7, 2, beginId="A", endId="A", content="brief"))},
        "ends",
        input_type="TEXT",
        asset={"json_content": RICH},
    ),
}
