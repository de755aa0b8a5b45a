"""What Kili takes: interfaces and labels in the forms of its public material, with values of our own."""

from __future__ import annotations

from typing import Any

from tests.conformance.shapes import (
    Json,
    box,
    choice,
    chosen,
    corners,
    drawn,
    job,
    joins,
    listed,
    named,
    on_pages,
    patch,
    points,
    pose,
    relation,
    ring,
    seen,
    square,
    text,
    words,
)

PARTS = {"GROUND": drawn("semantic", "POND", "PIT")}
COLLECTION = {"PLANT": drawn("marker", "DAM", tools=["marker", "polyline", "polygon"])}
POSES = {"HORSE": pose(HEAD=["NOSE", "EAR"], LEG=["KNEE", "HOOF"])}
TREES = {"TREES": drawn("rectangle", "FIR", "YEW", required=1)}
VIDEO = {"SHIPS": drawn("rectangle", "CANOE"), "SCENE": choice("DOCK", "SEA")}
PDF = {"MARKS": drawn("rectangle", "LOGO", tools=["rectangle", "polygon"])}
LINES = {"CLAUSES": words("TERM")}
NAMES = {"WHO": words("PERSON", "TOWN")}
TALK = {
    "TONE": choice("KIND", "RUDE", level="conversation"),
    "BETTER": job("COMPARISON", content={"options": {"MUCH": {"name": "Much"}}, "input": "radio"}),
}
TIF = {"url": "https://example.com/maps/south.tif"}
MET = "Olga met Per in Bodo."
RICH = [{"children": [{"id": "A", "text": "A brief account"}, {"id": "B", "text": " of glass"}]}]


def case(jobs: Json, *responses: Json, input_type: str = "IMAGE", **parts: Any) -> Json:
    """A case; without `valid` it is taken."""
    expect = {"valid": parts.pop("valid", True)}
    expect |= {key: parts.pop(key) for key in ("names", "agreement", "job", "equal_to_self") if key in parts}
    return {"interface": {"jobs": jobs}, "responses": responses, "input_type": input_type, "expect": expect, **parts}


def refused(jobs: Json, response: Json, *names: str, **parts: Any) -> Json:
    """A case that is refused with one of these words."""
    return case(jobs, response, valid=False, names=names, **parts)


def entity(name: str, mid: str | None, begin: int, end: int | None = None, **parts: Any) -> Json:
    return named(name, mid, beginOffset=begin, **({} if end is None else {"endOffset": end}), **parts)


def tree(name: str = "FIR", mid: str | None = None, **parts: Any) -> Json:
    return {"TREES": listed(box(name, mid, 0.1, 0.1, 0.2, 0.3, **parts))}


TAKEN: dict[str, Json] = {
    "an object of two parts": case(
        PARTS, {"GROUND": listed(patch("POND", "p", square(0.1, 0.1)), patch("POND", "p", square(0.6, 0.6)))}
    ),
    "an object in groups, one with a hole, on a map": case(
        PARTS,
        {
            "GROUND": listed(
                patch(
                    "PIT",
                    "p",
                    [ring(7, 60, 8, 60, 8, 61), ring(7.5, 60.2, 7.6, 60.2, 7.6, 60.3)],
                    [ring(9, 60, 9, 61, 9.5, 61)],
                )
            )
        },
        input_type="GEOSPATIAL",
    ),
    "one mid for features of three tools": case(
        COLLECTION,
        {
            "PLANT": listed(
                named("DAM", "d", type="marker", point={"x": 6.5, "y": 61}),
                named("DAM", "d", type="polyline", polyline=points(6.5, 61, 6.6, 61.1)),
                named("DAM", "d", type="polygon", boundingPoly=[ring(6.4, 61, 6.6, 61, 6.6, 61.2)]),
            )
        },
        input_type="GEOSPATIAL",
        equal_to_self=True,
    ),
    "a relation to an object of two parts": case(
        {**PARTS, "TO": relation("OBJECT_RELATION", "NEAR", ["PIT"], ["POND"])},
        {
            "GROUND": listed(
                patch("POND", "p", square(0.1, 0.1)),
                patch("POND", "p", square(0.6, 0.6)),
                patch("PIT", "q", square(0.4, 0.4)),
            ),
            "TO": listed(joins("NEAR", "n", "q", "p")),
        },
    ),
    "a relation whose ends are named as people see them": case(
        {
            "WHO": {
                **NAMES["WHO"],
                "content": {"input": "radio", "categories": {"P_1": {"name": "Person"}, "T_1": {"name": "Town"}}},
            },
            "LIVES": relation("NAMED_ENTITIES_RELATION", "IN", ["Person"], ["Town"]),
        },
        {
            "WHO": listed(entity("P_1", "1", 0, 4), entity("T_1", "2", 16, 20)),
            "LIVES": listed(joins("IN", "r", "1", "2", "Entities")),
        },
        input_type="TEXT",
        asset={"text": MET},
    ),
    "degrees in an image that may know where it was taken": case(
        {"TANKS": drawn("rectangle", "TANK"), "PIPES": drawn("polyline", "PIPE")},
        {
            "TANKS": listed(box("TANK", "t", 10.1, 59.9, 10.2, 59.95)),
            "PIPES": listed(named("PIPE", "p", type="polyline", polyline=points(10, 59, 10.2, 59.1))),
        },
        asset=TIF,
    ),
    "shares of the image in a map that is labeled in pixels": case(
        PARTS, {"GROUND": listed(patch("PIT", "p", [square(0.1, 0.1)]))}, input_type="GEOSPATIAL", pixel_labeling=True
    ),
    "a pose without points": case(
        POSES, {"HORSE": listed(named("HEAD", "h", type="pose", kind="POSE_ESTIMATION", points=[]))}, equal_to_self=True
    ),
    "a pose typed marker whose points share its mid": case(
        POSES,
        {
            "HORSE": listed(
                named(
                    "LEG", "l", type="marker", points=[seen("KNEE", 0.4, 0.6, mid="l"), seen("HOOF", 0.4, 0.8, mid="l")]
                )
            )
        },
    ),
    "a flat rectangle of a PDF with its type": case(
        PDF,
        {
            "MARKS": listed(
                named("LOGO", "m", type="rectangle", annotations=on_pages([2], square(0.1, 0.1), nested=False))
            )
        },
        input_type="PDF",
    ),
    "a rectangle of a PDF without type beside a polygon": case(
        PDF,
        {
            "MARKS": listed(
                named("LOGO", "m", annotations=on_pages([1], square(0.1, 0.1))),
                named(
                    "LOGO",
                    "n",
                    type="polygon",
                    annotations=on_pages([1], ring(0.5, 0.5, 0.6, 0.4, 0.7, 0.5, 0.6, 0.7, 0.5, 0.6)),
                ),
            )
        },
        input_type="PDF",
    ),
    "an entity of a PDF on two lines": case(
        LINES,
        {
            "CLAUSES": listed(
                named(
                    "TERM",
                    "t",
                    content="ends in June",
                    annotations=[
                        {
                            "boundingPoly": [{"normalizedVertices": [points(*corners(0.1, 0.3, 0.9, 0.4))]}],
                            "polys": [
                                {
                                    "normalizedVertices": [
                                        points(*corners(0.5, 0.3, 0.9, 0.34)),
                                        points(*corners(0.1, 0.36, 0.3, 0.4)),
                                    ]
                                }
                            ],
                            "pageNumberArray": [1, 1],
                        }
                    ],
                )
            )
        },
        input_type="PDF",
    ),
    "relation ends that may be anything": case(
        {
            **NAMES,
            "LINK": relation("NAMED_ENTITIES_RELATION", "TIED", ["ANY"], ["ANY"], children={"TIED": ["NOTE"]}),
            "NOTE": text(isChild=True),
        },
        {
            "WHO": listed(entity("PERSON", "a", 0, 4), entity("TOWN", "b", 16, 20)),
            "LINK": listed(joins("TIED", "r", "a", "b", "Entities", children={"NOTE": {"text": "went there"}})),
        },
        input_type="TEXT",
        asset={"text": MET},
    ),
    "a score that is null": case(TREES, tree(score=None)),
    "a confidence that is a fraction": case(
        {"KIND": choice("FIR", "YEW")}, {"KIND": {"categories": [{"name": "FIR", "confidence": 87.5}]}}
    ),
    "a response without answers": case({"KIND": choice("FIR", "YEW", input="checkbox")}, {}),
    "answers four levels deep": case(
        {
            "K0": choice("PLANT", children={"PLANT": ["K1"]}, required=1),
            "K1": choice("TREE", children={"TREE": ["K2"]}, isChild=True, required=1),
            "K2": choice("CONIFER", children={"CONIFER": ["K3"]}, isChild=True, required=1),
            "K3": choice("FIR", "YEW", isChild=True, required=1),
        },
        {
            "K0": {
                "categories": [
                    {
                        "name": "PLANT",
                        "children": {
                            "K1": {
                                "categories": [
                                    {
                                        "name": "TREE",
                                        "children": {
                                            "K2": {
                                                "categories": [{"name": "CONIFER", "children": {"K3": chosen("YEW")}}]
                                            }
                                        },
                                    }
                                ]
                            }
                        },
                    }
                ]
            }
        },
        input_type="TEXT",
        asset={"text": "A yew."},
    ),
    "choices, a date and a number": case(
        {
            "KIND": choice("FIR", "YEW", input="singleDropdown", required=1),
            "USES": choice("FUEL", "BOWS", "PLANKS", input="multipleDropdown", required=1),
            "CUT": text(input="date", required=1),
            "AGE": text(input="number", required=1),
        },
        {
            "KIND": {"categories": [{"name": "YEW", "confidence": 71}]},
            "USES": chosen("FUEL", "BOWS"),
            "CUT": {"text": "1987-02-28"},
            "AGE": {"text": "112"},
        },
        input_type="TEXT",
        asset={"text": "Cut in winter."},
    ),
    "lines, a marker in the corner, and entries that are no jobs": case(
        {"CRACKS": drawn("polyline", "CRACK"), "FLOW": drawn("vector", "FLOW"), "DOTS": drawn("marker", "DOT")},
        {
            "ROTATION_JOB": {"rotation": 180},
            "ANNOTATION_JOB_COUNTER": {"DOTS": {"DOT": 1}},
            "CRACKS": listed(named("CRACK", "c", type="polyline", polyline=points(0.1, 0.1, 0.5, 0.2))),
            "FLOW": listed(named("FLOW", "f", type="vector", polyline=points(0.5, 0.5, 0.6, 0.6))),
            "DOTS": listed(named("DOT", "d", type="marker", point={"x": 1, "y": 0})),
        },
    ),
    "frames with and without answers": case(
        VIDEO,
        {
            "0": {"ANNOTATION_NAMES_JOB": {"s": "Canoe 1"}},
            "1": {"SHIPS": listed(box("CANOE", "s", 0.1, 0.1, 0.2, 0.2, isKeyFrame=True))},
            "2": {"SCENE": {"categories": [{"name": "SEA", "confidence": 52}], "isKeyFrame": False, "annotations": []}},
            "3": {},
        },
        input_type="VIDEO",
    ),
    "answers below an object of a frame": case(
        {
            "SHIPS": drawn("rectangle", "CANOE", children={"CANOE": ["HUE"]}),
            "HUE": choice("RED", "BLUE", isChild=True, children={"RED": ["NAME"]}),
            "NAME": text(isChild=True),
        },
        {
            "0": {
                "SHIPS": listed(
                    box(
                        "CANOE",
                        "s",
                        0.1,
                        0.1,
                        0.2,
                        0.2,
                        children={
                            "HUE": {
                                "categories": [
                                    {"name": "RED", "children": {"NAME": {"text": "Anna", "isKeyFrame": True}}}
                                ],
                                "isKeyFrame": True,
                            }
                        },
                    )
                )
            }
        },
        input_type="VIDEO",
    ),
    "answers about a conversation": case(
        TALK,
        {"TONE": chosen("KIND"), "BETTER": {"choice": {"code": "MUCH", "firstId": "c1", "secondId": "c2"}}},
        input_type="LLM_STATIC",
        equal_to_self=True,
    ),
    "entities without mid and end": case(
        NAMES,
        {"WHO": listed(entity("PERSON", None, 0, content="Olga"), entity("TOWN", None, 16, content="Bodo"))},
        input_type="TEXT",
        asset={"text": MET},
    ),
    "an entity over two parts of a rich text": case(
        NAMES,
        {"WHO": listed(entity("TOWN", "e", 2, 9, beginId="A", endId="B", content="brief account of glass"))},
        input_type="TEXT",
        asset={"json_content": RICH},
    ),
}
