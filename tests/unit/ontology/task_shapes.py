"""One project and one valid response for every task and tool of Kili, and for each way they are combined."""

from __future__ import annotations

from typing import Any, NamedTuple

from ontology_fixtures import (
    a_box,
    a_job,
    an_entity,
    annotation,
    area,
    box,
    choice,
    detection,
    entities,
    on_page,
    pose,
    project,
    relation,
    ring_of,
    transcription,
    vertices,
)

from worker.ontology import Interface


class Case(NamedTuple):
    """A project, and an answer it takes."""

    json_interface: dict[str, Any]
    json_response: dict[str, Any]
    input_type: str = "IMAGE"
    text: str | None = None
    georeferenced: bool = False
    labeling_crs: str | None = None

    @property
    def interface(self) -> Interface:
        return Interface.parse(self.json_interface, self.input_type, self.labeling_crs)


def chosen(*names: str, **parts: Any) -> dict[str, Any]:
    return {"categories": [{"name": name, "confidence": 100} for name in names], **parts}


SHAPES: dict[str, Case] = {
    "radio": Case(project(COLOR=choice("RED", "BLUE")), {"COLOR": chosen("BLUE")}),
    "single dropdown": Case(project(COLOR=choice("RED", "BLUE", input="singleDropdown")), {"COLOR": chosen("RED")}),
    "checkbox": Case(
        project(FLAWS=choice("DENT", "RUST", "CRACK", input="checkbox")), {"FLAWS": chosen("RUST", "DENT")}
    ),
    "multiple dropdown": Case(
        project(FLAWS=choice("DENT", "RUST", input="multipleDropdown")), {"FLAWS": chosen("RUST", "DENT")}
    ),
    "children inside the category": Case(
        project(
            ANIMAL=choice("DOG", "FISH", children={"DOG": ["BREED"]}),
            BREED=choice("PUG", "HUSKY", isChild=True),
        ),
        {"ANIMAL": {"categories": [{"name": "DOG", "confidence": 70, "children": {"BREED": chosen("PUG")}}]}},
    ),
    "children beside the categories": Case(
        project(
            ANIMAL=choice("DOG", "FISH", children={"DOG": ["BREED"]}, required=1),
            BREED=choice("PUG", "HUSKY", isChild=True, required=1),
        ),
        {"ANIMAL": chosen("DOG", children={"BREED": chosen("HUSKY")})},
    ),
    "two questions": Case(
        project(DAY=choice("YES", "NO", required=1), WET=choice("YES", "NO", required=1)),
        {"DAY": chosen("YES"), "WET": chosen("NO")},
    ),
    "transcription": Case(project(CAPTION=transcription()), {"CAPTION": {"text": "two pugs"}}),
    "date": Case(project(WHEN=transcription(input="date")), {"WHEN": {"text": "2023-11-30"}}),
    "number": Case(project(COUNT=transcription(input="number")), {"COUNT": {"text": "42"}}),
    "rectangle": Case(
        project(SHIPS=detection("TUG", "FERRY", tools=["rectangle"], required=1)),
        {"SHIPS": {"annotations": [a_box("TUG", "s1", score=90), a_box("FERRY", "s2", 0.5, 0.5, 0.9, 0.6)]}},
    ),
    "nothing detected": Case(
        project(SHIPS=detection("TUG", tools=["rectangle"], required=1)), {"SHIPS": {"annotations": []}}
    ),
    "polygon": Case(
        project(ROOFS=detection("FLAT", "GABLE", tools=["polygon"])),
        {
            "ROOFS": {
                "annotations": [
                    annotation(
                        "FLAT",
                        "r1",
                        type="polygon",
                        boundingPoly=area((0.1, 0.1), (0.5, 0.2), (0.4, 0.6), (0.2, 0.5)),
                    )
                ]
            }
        },
    ),
    "semantic with a hole": Case(
        project(CELLS=detection("CORE", "WALL", tools=["semantic"])),
        {
            "CELLS": {
                "annotations": [
                    annotation(
                        "WALL",
                        "c1",
                        type="semantic",
                        boundingPoly=box(0.1, 0.1, 0.9, 0.9) + box(0.3, 0.3, 0.5, 0.5),
                    )
                ]
            }
        },
    ),
    "marker": Case(
        project(TREES=detection("OAK", tools=["marker"])),
        {"TREES": {"annotations": [annotation("OAK", "t1", type="marker", point={"x": 0.25, "y": 1})]}},
    ),
    "polyline": Case(
        project(ROADS=detection("LANE", tools=["polyline"])),
        {
            "ROADS": {
                "annotations": [
                    annotation("LANE", "l1", type="polyline", polyline=vertices((0, 0.2), (0.4, 0.3), (1, 0.2)))
                ]
            }
        },
    ),
    "vector": Case(
        project(WIND=detection("GUST", tools=["vector"])),
        {"WIND": {"annotations": [annotation("GUST", "v1", type="vector", polyline=vertices((0.5, 0.5), (0.7, 0.4)))]}},
    ),
    "pose": Case(
        project(HANDS=pose("HAND", "WRIST", "THUMB")),
        {
            "HANDS": {
                "annotations": [
                    annotation(
                        "HAND",
                        "h1",
                        type="pose",
                        points=[
                            {"code": "WRIST", "mid": "h1w", "type": "marker", "point": {"x": 0.3, "y": 0.8}},
                            {"code": "THUMB", "mid": "h1t", "type": "marker", "point": {"x": 0.4, "y": 0.7}},
                        ],
                    )
                ]
            }
        },
    ),
    "object with child choice and child text": Case(
        project(
            PLATES=detection("PLATE", tools=["rectangle"], children={"PLATE": ["STATE", "NUMBER"]}),
            STATE=choice("CLEAN", "DIRTY", "BENT", input="checkbox", isChild=True),
            NUMBER=transcription(isChild=True, required=1),
        ),
        {
            "PLATES": {
                "annotations": [
                    a_box(
                        "PLATE",
                        "p1",
                        children={"STATE": chosen("BENT", "DIRTY"), "NUMBER": {"text": "B-XY 12"}},
                    )
                ]
            }
        },
    ),
    "objects and their relation": Case(
        project(
            PARTS=detection("BIKE", "WHEEL", tools=["rectangle"]),
            HAS=relation("OBJECT_RELATION", "OWNS", ["BIKE"], ["WHEEL"]),
        ),
        {
            "HAS": {
                "annotations": [
                    {
                        "categories": [{"name": "OWNS", "confidence": 100}],
                        "startObjects": [{"mid": "bike"}],
                        "endObjects": [{"mid": "front"}, {"mid": "back"}],
                    }
                ]
            },
            "PARTS": {
                "annotations": [
                    a_box("BIKE", "bike", 0.1, 0.1, 0.9, 0.9),
                    a_box("WHEEL", "front", 0.1, 0.6, 0.3, 0.9),
                    a_box("WHEEL", "back", 0.6, 0.6, 0.9, 0.9),
                ]
            },
        },
    ),
    "entities": Case(
        project(WHO=entities("PERSON", "PLACE", required=1)),
        {"WHO": {"annotations": [an_entity("PERSON", "e1", 0, "Ada"), an_entity("PLACE", "e2", 14, "Turin")]}},
        "TEXT",
        "Ada walked to Turin",
    ),
    "entities without end": Case(
        project(WHO=entities("PERSON")),
        {"WHO": {"annotations": [annotation("PERSON", "e1", beginOffset=4, content="Ada")]}},
        "TEXT",
        "and Ada",
    ),
    "entities after an emoji in UTF-16 units": Case(
        project(WHO=entities("PERSON")),
        {"WHO": {"annotations": [an_entity("PERSON", "e1", 3, "Ada")]}},
        "TEXT",
        "\U0001f600 Ada",
    ),
    "entities of a rich text": Case(
        project(WHO=entities("PERSON")),
        {
            "WHO": {
                "annotations": [
                    annotation("PERSON", "e1", beginId="p7", beginOffset=30, endId="p8", endOffset=4, content="Ada L")
                ]
            }
        },
        "TEXT",
    ),
    "entities of a PDF": Case(
        project(PARTS=entities("TITLE", "AUTHOR")),
        {
            "PARTS": {
                "annotations": [
                    annotation(
                        "TITLE",
                        "e1",
                        content="On Engines",
                        annotations=[on_page(1, ((0.2, 0.1), (0.2, 0.2), (0.8, 0.1), (0.8, 0.2)))],
                    )
                ]
            }
        },
        "PDF",
    ),
    "entities of a PDF with one page number": Case(
        project(PARTS=entities("TITLE")),
        {
            "PARTS": {
                "annotations": [
                    annotation(
                        "TITLE",
                        "e1",
                        annotations=[
                            {
                                "boundingPoly": [{"normalizedVertices": [vertices(*ring_of(0.1, 0.1, 0.2, 0.2))]}],
                                "pageNumber": 2,
                            }
                        ],
                    )
                ]
            }
        },
        "PDF",
    ),
    "objects of a PDF": Case(
        project(FIGURES=detection("CHART", tools=["rectangle", "polygon"])),
        {
            "FIGURES": {
                "annotations": [
                    annotation(
                        "CHART",
                        "f1",
                        type="rectangle",
                        annotations=[on_page(3, ring_of(0.1, 0.1, 0.5, 0.5), type="rectangle")],
                    ),
                    annotation("CHART", "f2", annotations=[on_page(1, ring_of(0.1, 0.1, 0.5, 0.5))]),
                ]
            }
        },
        "PDF",
    ),
    "entities and their relation": Case(
        project(
            WHO=entities("PERSON", "PLACE"),
            LIVES=relation("NAMED_ENTITIES_RELATION", "IN", ["PERSON"], ["PLACE"]),
        ),
        {
            "WHO": {"annotations": [an_entity("PERSON", "e1", 0, "Ada"), an_entity("PLACE", "e2", 7, "Turin")]},
            "LIVES": {
                "annotations": [
                    {
                        "categories": [{"name": "IN", "confidence": 100}],
                        "startEntities": [{"mid": "e1"}],
                        "endEntities": [{"mid": "e2"}],
                        "mid": "r1",
                    }
                ]
            },
        },
        "TEXT",
    ),
    "choice by frame": Case(
        project(OPEN=choice("YES", "NO", required=1)),
        {
            "0": {"OPEN": chosen("YES", isKeyFrame=True)},
            "1": {"OPEN": chosen("YES", isKeyFrame=False)},
            "2": {"OPEN": chosen("NO", isKeyFrame=True)},
        },
        "VIDEO",
    ),
    "objects by frame": Case(
        project(CARS=detection("TAXI", "BUS", tools=["rectangle"], required=1)),
        {
            "0": {"CARS": {"annotations": [a_box("BUS", "b", 0.1, 0.1, 0.2, 0.2, isKeyFrame=True)]}},
            "1": {"CARS": {"annotations": [a_box("BUS", "b", 0.2, 0.1, 0.3, 0.2, isKeyFrame=False)]}},
            "2": {},
        },
        "VIDEO",
    ),
    "objects by frame with child choice": Case(
        project(
            CARS=detection("TAXI", tools=["rectangle"], children={"TAXI": ["FREE"]}),
            FREE=choice("YES", "NO", isChild=True, input="checkbox"),
        ),
        {
            "0": {
                "CARS": {
                    "annotations": [
                        a_box("TAXI", "t", isKeyFrame=True, children={"FREE": chosen("YES", isKeyFrame=True)})
                    ]
                }
            }
        },
        "VIDEO",
    ),
    "file": Case(
        project(MODEL=a_job("FILE", input=None)),
        {"MODEL": {"fileId": "f1", "fileName": "part.glb", "fileMimeType": "model/gltf-binary"}},
    ),
    "an open optional question": Case(project(COLOR=choice("RED", "BLUE")), {}),
}

UNREAD_BY_THE_SDK: dict[str, Case] = {
    "a kind of job this worker does not know": Case(
        project(PAGES=a_job("PAGE_LEVEL_CLASSIFICATION", required=1)), {"PAGES": {"pages": [1, 2]}}, "PDF"
    ),
    "entries that are no jobs": Case(
        project(COLOR=choice("RED", "BLUE")),
        {
            "COLOR": chosen("RED"),
            "ANNOTATION_JOB_COUNTER": {"COLOR": {"RED": 1}},
            "ANNOTATION_NAMES_JOB": {"m1": "Red 1"},
            "ROTATION_JOB": {"rotation": 90},
        },
    ),
    "a file of a whole video": Case(
        project(CARS=detection("BUS", tools=["rectangle"]), MODEL=a_job("FILE", input=None, required=1)),
        {"0": {"CARS": {"annotations": [a_box("BUS", "b")]}}, "assetLevel": {"MODEL": {"fileId": "f1"}}},
        "VIDEO",
    ),
    "a map in degrees, one object in two parts": Case(
        project(FIELDS=detection("WHEAT", tools=["semantic"])),
        {
            "FIELDS": {
                "annotations": [
                    annotation(
                        "WHEAT",
                        "w",
                        type="semantic",
                        boundingPoly=[box(7.1, 45.1, 7.2, 45.2), box(-7.1, -45.1, -7.2, -45.2)],
                    )
                ]
            }
        },
        "GEOSPATIAL",
    ),
}
"""Valid responses that the SDK leaves alone or cannot round-trip: no jobs to it, or not by frame."""
