"""Valid responses as Kili's own editor and tools write them: parts, poses, pages, maps, ends that take anything."""

from __future__ import annotations

from typing import Any

from ontology_fixtures import (
    a_box,
    an_entity,
    annotation,
    area,
    box,
    detection,
    entities,
    pose,
    project,
    relation,
    ring_of,
    vertices,
)
from task_shapes import Case

LAND = {"LAND": detection("LAKE", "WOOD", tools=["semantic", "polygon", "rectangle"])}
LEFT, RIGHT = box(0.1, 0.1, 0.3, 0.3), box(0.6, 0.6, 0.8, 0.8)
HAND = project(HANDS=pose("HAND", "WRIST", "THUMB"))


def lakes(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {"LAND": {"annotations": list(annotations)}}


def _shown(job: dict[str, Any], **names: str) -> dict[str, Any]:
    """The job with its categories displayed under these names."""
    for key, name in names.items():
        job["content"]["categories"][key]["name"] = name
    return job


def part(mid: str, rings: list[Any], name: str = "LAKE", tool: str = "semantic", **more: Any) -> dict[str, Any]:
    return annotation(name, mid, type=tool, boundingPoly=rings, **more)


def on_pages(pages: list[int], *vertices_of_areas: Any, **more: Any) -> dict[str, Any]:
    areas = [{"normalizedVertices": vertices_of_area} for vertices_of_area in vertices_of_areas]
    return annotation(
        "CHART", "c", annotations=[{"boundingPoly": areas, "polys": areas, "pageNumberArray": pages}], **more
    )


CHARTS = project(CHARTS=detection("CHART", tools=["rectangle", "polygon"]))
BOX = vertices(*ring_of(0.1, 0.1, 0.4, 0.3))
FIVE = vertices((0.5, 0.5), (0.6, 0.4), (0.7, 0.5), (0.65, 0.6), (0.55, 0.6))

KILIS_OWN: dict[str, Case] = {
    "an object in two parts": Case(project(**LAND), lakes(part("w", LEFT), part("w", RIGHT, labelVersion="default"))),
    "parts of one object in two jobs": Case(
        project(**LAND, CROPS=detection("VINES", tools=["semantic"])),
        lakes(part("w", LEFT), part("w", RIGHT))
        | {"CROPS": {"annotations": [part("w", LEFT, "VINES"), part("w", RIGHT, "VINES")]}},
    ),
    "one object drawn with several tools": Case(
        project(SITES=detection("FARM", tools=["marker", "polyline", "polygon"])),
        {
            "SITES": {
                "annotations": [
                    annotation("FARM", "f", type="marker", point={"x": 0.2, "y": 0.2}),
                    annotation("FARM", "f", type="marker", point={"x": 0.4, "y": 0.2}),
                    annotation("FARM", "f", type="polyline", polyline=vertices((0.1, 0.1), (0.3, 0.2))),
                    part("f", LEFT, "FARM", "polygon"),
                ]
            }
        },
    ),
    "a relation to an object in two parts": Case(
        project(**LAND, FLOWS=relation("OBJECT_RELATION", "FEEDS", ["WOOD"], ["LAKE"])),
        lakes(part("w", LEFT), part("w", RIGHT), part("r", box(0.4, 0.4, 0.5, 0.5), "WOOD"))
        | {
            "FLOWS": {"annotations": [annotation("FEEDS", "f", startObjects=[{"mid": "r"}], endObjects=[{"mid": "w"}])]}
        },
    ),
    "a video's mask in two parts": Case(project(**LAND), {"0": lakes(part("w", LEFT), part("w", RIGHT))}, "VIDEO"),
    "no score": Case(project(**LAND), lakes(part("w", LEFT, score=None))),
    "no confidence": Case(
        project(**LAND), lakes(part("w", LEFT) | {"categories": [{"name": "LAKE", "confidence": None}]})
    ),
    "a pose of which nothing is seen": Case(
        HAND, {"HANDS": {"annotations": [annotation("HAND", "h", type="pose", points=[])]}}
    ),
    "a pose typed as its points": Case(
        HAND,
        {
            "HANDS": {
                "annotations": [
                    annotation(
                        "HAND",
                        "h",
                        type="marker",
                        points=[
                            {"code": "WRIST", "mid": "h", "point": {"x": 0.3, "y": 0.8}, "name": "Wrist"},
                            {"code": "THUMB", "mid": "h", "point": {"x": 0.4, "y": 0.7}, "name": "Thumb"},
                        ],
                    )
                ]
            }
        },
    ),
    "a relation that takes anything": Case(
        project(WHO=entities("PERSON", "PLACE"), LINKS=relation("NAMED_ENTITIES_RELATION", "TO", ["ANY"], ["ANY"])),
        {
            "WHO": {"annotations": [an_entity("PERSON", "e1", 0, "Ada"), an_entity("PLACE", "e2", 7, "Turin")]},
            "LINKS": {
                "annotations": [annotation("TO", "r", startEntities=[{"mid": "e2"}], endEntities=[{"mid": "e1"}])]
            },
        },
        "TEXT",
    ),
    "a relation whose ends are named as people see them": Case(
        project(
            WHO=_shown(entities("P_1", "T_1"), P_1="Person", T_1="Town"),
            LINKS=relation("NAMED_ENTITIES_RELATION", "TO", ["Person"], ["Town"]),
        ),
        {
            "WHO": {"annotations": [an_entity("P_1", "e1", 0, "Ada"), an_entity("T_1", "e2", 7, "Turin")]},
            "LINKS": {
                "annotations": [annotation("TO", "r", startEntities=[{"mid": "e1"}], endEntities=[{"mid": "e2"}])]
            },
        },
        "TEXT",
    ),
    "a PDF's box, flat and typed": Case(
        CHARTS, {"CHARTS": {"annotations": [on_pages([2], BOX, type="rectangle")]}}, "PDF"
    ),
    "a PDF's box, flat and without type": Case(CHARTS, {"CHARTS": {"annotations": [on_pages([2], BOX)]}}, "PDF"),
    "a PDF's polygon": Case(CHARTS, {"CHARTS": {"annotations": [on_pages([1], [FIVE], type="polygon")]}}, "PDF"),
    "a PDF's entity over two pages": Case(
        project(CLAUSES=entities("CHART")), {"CLAUSES": {"annotations": [on_pages([2, 1], [BOX], [BOX])]}}, "PDF"
    ),
}

ON_THE_MAP: dict[str, Case] = {
    "a hole and a second part in groups": Case(
        project(**LAND),
        lakes(part("w", [box(-3.7, 40.4, -3.6, 40.5) + box(-3.68, 40.42, -3.66, 40.44), box(-3.5, 40.4, -3.4, 40.5)])),
        "GEOSPATIAL",
    ),
    "a georeferenced image's areas": Case(
        project(**LAND),
        lakes(part("w", box(6.11, 49.6, 6.12, 49.7), tool="rectangle"), part("v", [box(8.3, 47.0, 8.4, 47.1)])),
        georeferenced=True,
    ),
    "a georeferenced image's marker and line": Case(
        project(MASTS=detection("MAST", tools=["marker"]), PIPES=detection("PIPE", tools=["polyline"])),
        {
            "MASTS": {"annotations": [annotation("MAST", "m", type="marker", point={"x": 6.1, "y": -49.6})]},
            "PIPES": {
                "annotations": [annotation("PIPE", "p", type="polyline", polyline=vertices((6.1, 49.6), (180, -90)))]
            },
        },
        georeferenced=True,
    ),
    "a scene's shares": Case(
        project(**LAND),
        lakes(part("w", [LEFT, RIGHT]), part("v", area((0.2, 0.3), (0.3, 0.3), (0.3, 0.4)), tool="polygon")),
        "GEOSPATIAL",
        labeling_crs="PIXEL",
    ),
}

BOXES = project(SHIPS=detection("TUG", tools=["rectangle"]))
TRACKED_TWICE = {"0": {"SHIPS": {"annotations": [a_box("TUG", "t"), a_box("TUG", "t", 0.6, 0.6, 0.7, 0.7)]}}}
"""One track is in a frame twice."""
