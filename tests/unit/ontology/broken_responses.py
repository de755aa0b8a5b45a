"""Responses that must be refused, each with the project it is sent to and the cause it must be refused for.

Every entry is a valid response of ``task_shapes`` with one thing wrong, so that nothing else can be the reason.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

from ontology_fixtures import a_box, annotation, area, box, on_page, ring_of, vertices
from task_shapes import SHAPES, chosen

CUT = object()
"""Stands for leaving a part out."""


class Broken(NamedTuple):
    """A project, a response it must not take, and why: the cause and the field the refusal names."""

    name: str
    json_interface: dict[str, Any]
    input_type: str
    json_response: Any
    cause: str
    field: str
    text: str | None = None


def _broken(name: str, shape: str, path: str, value: Any, cause: str, field: str | None = None) -> Broken:
    """Set, add or cut the part at ``path`` (steps between slashes, indices as numbers) of a valid response."""
    case = SHAPES[shape]
    response = deepcopy(case.json_response)
    steps = [step for step in path.split("/") if step]
    if not steps:
        response = value
    else:
        holder = response
        for step in steps[:-1]:
            holder = holder[int(step)] if isinstance(holder, list) else holder[step]
        _put(holder, steps[-1], value)
    return Broken(name, case.json_interface, case.input_type, response, cause, field or _dotted(path), case.text)


def _put(holder: Any, last: str, value: Any) -> None:
    if isinstance(holder, list) and int(last) == len(holder):
        holder.append(value)
    elif value is CUT:
        del holder[last]
    else:
        holder[int(last) if isinstance(holder, list) else last] = value


def _dotted(path: str) -> str:
    field = ""
    first = True
    for step in path.split("/"):
        field += f"[{step}]" if step.isdigit() and not first else ("" if first else ".") + step
        first = False
    return field


_VERTEX = "SHIPS/annotations/0/boundingPoly/0/normalizedVertices/2"
_RING = "boundingPoly/0/normalizedVertices"
_PAGE = "FIGURES/annotations/0/annotations/0"

JOBS = [
    _broken("a job the project lacks", "radio", "COLOUR", chosen("RED"), "unknown_job"),
    _broken("a child job at the root", "children beside the categories", "BREED", chosen("PUG"), "child_at_root"),
    _broken("no answer to a required job", "two questions", "WET", CUT, "missing_required_job"),
    _broken(
        "an empty answer to a required job",
        "two questions",
        "WET",
        {"categories": []},
        "missing_required_job",
        "WET",
    ),
    _broken("no objects of a required job", "rectangle", "SHIPS", CUT, "missing_required_job"),
    _broken("no frame answers a required job", "choice by frame", "", {"0": {}}, "missing_required_job", "OPEN"),
    _broken(
        "no answer to a required child",
        "children beside the categories",
        "ANIMAL/children",
        CUT,
        "missing_required_job",
        "ANIMAL.categories[0].children.BREED",
    ),
    _broken(
        "no answer to an object's required child",
        "object with child choice and child text",
        "PLATES/annotations/0/children/NUMBER",
        CUT,
        "missing_required_job",
        "PLATES.annotations[0].categories[0].children.NUMBER",
    ),
    _broken(
        "a child under the wrong parent",
        "children beside the categories",
        "ANIMAL/categories/0/name",
        "FISH",
        "wrong_parent",
        "ANIMAL.children.BREED",
    ),
    _broken(
        "a child inside the wrong parent",
        "children inside the category",
        "ANIMAL/categories/0/name",
        "FISH",
        "wrong_parent",
        "ANIMAL.categories[0].children.BREED",
    ),
    _broken(
        "a root job as a child",
        "children beside the categories",
        "ANIMAL/children/ANIMAL",
        chosen("DOG"),
        "wrong_parent",
    ),
    _broken(
        "a child the project lacks",
        "children beside the categories",
        "ANIMAL/children/RACE",
        chosen("PUG"),
        "unknown_job",
    ),
]

CATEGORIES = [
    _broken("a category the job lacks", "radio", "COLOR/categories/0/name", "GREEN", "unknown_category"),
    _broken("a category in the wrong case", "radio", "COLOR/categories/0/name", "blue", "unknown_category"),
    _broken(
        "a category by its display name",
        "radio",
        "COLOR/categories/0/name",
        "Blue",
        "category_by_display_name",
    ),
    _broken(
        "a child's category by its display name",
        "children inside the category",
        "ANIMAL/categories/0/children/BREED/categories/0/name",
        "Pug",
        "category_by_display_name",
    ),
    _broken(
        "an object of a category the job lacks",
        "rectangle",
        "SHIPS/annotations/1/categories/0/name",
        "KAYAK",
        "unknown_category",
    ),
    _broken(
        "two categories on radio",
        "radio",
        "COLOR/categories/1",
        {"name": "RED"},
        "several_categories",
        "COLOR.categories",
    ),
    _broken(
        "two categories on a single dropdown",
        "single dropdown",
        "COLOR/categories/1",
        {"name": "BLUE"},
        "several_categories",
        "COLOR.categories",
    ),
    _broken(
        "two categories on one object",
        "rectangle",
        "SHIPS/annotations/0/categories/1",
        {"name": "FERRY"},
        "several_categories",
        "SHIPS.annotations[0].categories",
    ),
    _broken(
        "a category chosen twice",
        "checkbox",
        "FLAWS/categories/2",
        {"name": "RUST"},
        "duplicate_category",
        "FLAWS.categories",
    ),
    _broken("an object without categories", "rectangle", "SHIPS/annotations/0/categories", CUT, "no_category"),
    _broken("an entity with no category", "entities", "WHO/annotations/0/categories", [], "no_category"),
    _broken("confidence above 100", "radio", "COLOR/categories/0/confidence", 101, "bad_confidence"),
    _broken("confidence below 0", "rectangle", "SHIPS/annotations/0/categories/0/confidence", -1, "bad_confidence"),
    _broken("confidence as a text", "radio", "COLOR/categories/0/confidence", "87", "bad_confidence"),
    _broken("confidence as a boolean", "radio", "COLOR/categories/0/confidence", True, "bad_confidence"),
    _broken(
        "confidence that is no number",
        "radio",
        "COLOR/categories/0/confidence",
        float("nan"),
        "bad_confidence",
    ),
    _broken("an object's score above 100", "rectangle", "SHIPS/annotations/0/score", 500, "bad_confidence"),
    _broken("a key the SDK cannot read", "radio", "COLOR/categories/0/displayName", "Blue", "unknown_key"),
]

GEOMETRY = [
    _broken("a tool the job lacks", "rectangle", "SHIPS/annotations/0/type", "polygon", "wrong_tool"),
    _broken("a tool nobody has", "rectangle", "SHIPS/annotations/0/type", "cube", "wrong_tool"),
    _broken("no tool", "rectangle", "SHIPS/annotations/0/type", CUT, "malformed"),
    _broken("no shape", "rectangle", "SHIPS/annotations/0/boundingPoly", CUT, "malformed"),
    _broken(
        "another tool's shape",
        "rectangle",
        "SHIPS/annotations/0",
        annotation("TUG", "s1", type="rectangle", point={"x": 0.5, "y": 0.5}),
        "wrong_tool",
        "SHIPS.annotations[0].boundingPoly",
    ),
    _broken(
        "a rectangle of 3 corners",
        "rectangle",
        f"SHIPS/annotations/0/{_RING}",
        vertices((0, 0), (0, 1), (1, 1)),
        "too_few_vertices",
    ),
    _broken(
        "a rectangle of 5 corners",
        "rectangle",
        f"{_VERTEX[:-2]}/4",
        {"x": 0.2, "y": 0.2},
        "too_many_vertices",
        "SHIPS.annotations[0].boundingPoly[0].normalizedVertices",
    ),
    _broken(
        "a rectangle of two rings",
        "rectangle",
        "SHIPS/annotations/0/boundingPoly",
        box(0, 0, 0.1, 0.1) * 2,
        "wrong_tool",
    ),
    _broken(
        "a polygon of 2 vertices",
        "polygon",
        f"ROOFS/annotations/0/{_RING}",
        vertices((0, 0), (0, 1)),
        "too_few_vertices",
    ),
    _broken(
        "a polygon with a hole",
        "polygon",
        "ROOFS/annotations/0/boundingPoly",
        box(0, 0, 1, 1) + box(0.1, 0.1, 0.2, 0.2),
        "wrong_tool",
    ),
    _broken(
        "a semantic hole of 2 vertices",
        "semantic with a hole",
        "CELLS/annotations/0/boundingPoly/1/normalizedVertices",
        vertices((0, 0), (0, 1)),
        "too_few_vertices",
    ),
    _broken("no rings", "semantic with a hole", "CELLS/annotations/0/boundingPoly", [], "too_few_vertices"),
    _broken("a polyline of 1 vertex", "polyline", "ROADS/annotations/0/polyline", vertices((0, 0)), "too_few_vertices"),
    _broken("a vector of 1 vertex", "vector", "WIND/annotations/0/polyline", vertices((0, 0)), "too_few_vertices"),
    _broken("pixels", "rectangle", f"{_VERTEX}/x", 312.5, "outside_image"),
    _broken("left of the image", "rectangle", f"{_VERTEX}/x", -0.01, "outside_image"),
    _broken("below the image", "polyline", "ROADS/annotations/0/polyline/1/y", 1.01, "outside_image"),
    _broken("a marker outside", "marker", "TREES/annotations/0/point/y", 1.5, "outside_image"),
    _broken("a pose's point outside", "pose", "HANDS/annotations/0/points/1/point/x", -1, "outside_image"),
    _broken("not a number", "rectangle", f"{_VERTEX}/y", float("nan"), "not_finite"),
    _broken("infinity", "polygon", f"ROOFS/annotations/0/{_RING}/0/x", float("inf"), "not_finite"),
    _broken("a coordinate as a text", "rectangle", f"{_VERTEX}/y", "0.5", "malformed"),
    _broken("a coordinate as a boolean", "rectangle", f"{_VERTEX}/y", True, "malformed"),
    _broken(
        "a vertex without y",
        "rectangle",
        _VERTEX,
        {"x": 0.5},
        "malformed",
        "SHIPS.annotations[0].boundingPoly[0].normalizedVertices[2].y",
    ),
    _broken("a vertex as a pair", "rectangle", _VERTEX, [0.5, 0.5], "malformed"),
    _broken("a point the pose lacks", "pose", "HANDS/annotations/0/points/0/code", "KNEE", "unknown_point"),
    _broken("a point given twice", "pose", "HANDS/annotations/0/points/1/code", "WRIST", "unknown_point"),
    _broken(
        "a point outside its page",
        "objects of a PDF",
        f"{_PAGE}/boundingPoly/0/normalizedVertices/0/0/x",
        2,
        "outside_image",
    ),
    _broken("page 0", "objects of a PDF", f"{_PAGE}/pageNumberArray", [0], "bad_page"),
    _broken(
        "no page",
        "objects of a PDF",
        f"{_PAGE}/pageNumberArray",
        CUT,
        "bad_page",
        "FIGURES.annotations[0].annotations[0].pageNumber",
    ),
    _broken(
        "no areas on pages",
        "objects of a PDF",
        "FIGURES/annotations/0",
        a_box("CHART", "f1"),
        "malformed",
        "FIGURES.annotations[0].annotations",
    ),
    _broken(
        "an entity of a PDF by offsets alone",
        "entities of a PDF",
        "PARTS/annotations/0",
        annotation("TITLE", "e1", beginOffset=0, endOffset=4),
        "malformed",
        "PARTS.annotations[0].annotations",
    ),
    _broken(
        "an entity of a PDF with a flat ring",
        "entities of a PDF",
        "PARTS/annotations/0/annotations",
        [on_page(1, ring_of(0, 0, 1, 1)) | {"boundingPoly": area((0, 0), (0, 1), (1, 1))}],
        "malformed",
        "PARTS.annotations[0].annotations[0].boundingPoly[0].normalizedVertices[0]",
    ),
]

TEXTS = [
    _broken(
        "an entity behind the text",
        "entities",
        "WHO/annotations/1",
        annotation("PLACE", "e2", beginOffset=14, endOffset=40),
        "offset_outside_text",
        "WHO.annotations[1].endOffset",
    ),
    _broken("an entity before the text", "entities", "WHO/annotations/0/beginOffset", -1, "offset_outside_text"),
    _broken("an entity that ends where it begins", "entities", "WHO/annotations/0/endOffset", 0, "offset_outside_text"),
    _broken("content the text does not have", "entities", "WHO/annotations/0/content", "Bob", "content_mismatch"),
    _broken("an offset as a fraction", "entities", "WHO/annotations/0/beginOffset", 0.5, "malformed"),
    _broken("an offset as a boolean", "entities", "WHO/annotations/0/endOffset", True, "malformed"),
    _broken("no offset", "entities", "WHO/annotations/0/beginOffset", CUT, "malformed"),
    _broken(
        "neither end nor content",
        "entities without end",
        "WHO/annotations/0/content",
        CUT,
        "malformed",
        "WHO.annotations[0].endOffset",
    ),
    _broken("content as a number", "entities", "WHO/annotations/0/content", 3, "malformed"),
    _broken(
        "a rich text's end without its part", "entities of a rich text", "WHO/annotations/0/endId", CUT, "malformed"
    ),
    _broken("a transcription as a number", "transcription", "CAPTION/text", 7, "malformed"),
    _broken(
        "a transcription without text", "transcription", "CAPTION", {"value": "two pugs"}, "malformed", "CAPTION.text"
    ),
    _broken("a date that is none", "date", "WHEN/text", "30.11.2023", "bad_text"),
    _broken("a number that is none", "number", "COUNT/text", "forty-two", "bad_text"),
    _broken("a file without id", "file", "MODEL/fileId", "", "malformed"),
    _broken("a file as a path", "file", "MODEL", "part.glb", "malformed"),
]

IDENTITIES = [
    _broken("a mid used twice", "rectangle", "SHIPS/annotations/1/mid", "s1", "duplicate_mid"),
    _broken("a mid used by two jobs", "objects and their relation", "HAS/annotations/0/mid", "bike", "duplicate_mid"),
    _broken("a mid used by a pose and its point", "pose", "HANDS/annotations/0/points/0/mid", "h1", "duplicate_mid"),
    _broken(
        "a mid used twice in one frame",
        "objects by frame",
        "0/CARS/annotations/1",
        a_box("TAXI", "b"),
        "duplicate_mid",
        "0.CARS.annotations[1].mid",
    ),
    _broken("an empty mid", "rectangle", "SHIPS/annotations/0/mid", "", "empty_mid"),
    _broken("a mid as a number", "rectangle", "SHIPS/annotations/0/mid", 7, "malformed"),
    _broken(
        "a relation to nothing",
        "objects and their relation",
        "HAS/annotations/0/endObjects/1/mid",
        "saddle",
        "dangling_relation",
    ),
    _broken(
        "an entity relation to nothing",
        "entities and their relation",
        "LIVES/annotations/0/startEntities/0/mid",
        "e9",
        "dangling_relation",
    ),
    _broken(
        "a relation without end", "objects and their relation", "HAS/annotations/0/endObjects", [], "dangling_relation"
    ),
    _broken(
        "a relation the wrong way round",
        "objects and their relation",
        "HAS/annotations/0/startObjects/0/mid",
        "front",
        "wrong_relation_end",
    ),
    _broken(
        "a relation without its key",
        "entities and their relation",
        "LIVES/annotations/0/startEntities",
        CUT,
        "malformed",
    ),
]

FRAMES = [
    _broken("a frame that is no number", "choice by frame", "first", {"OPEN": chosen("YES")}, "bad_frame"),
    _broken("a frame with a leading zero", "choice by frame", "01", {"OPEN": chosen("YES")}, "bad_frame"),
    _broken("a negative frame", "choice by frame", "-1", {"OPEN": chosen("YES")}, "bad_frame"),
    _broken("a frame in other digits", "choice by frame", "²", {"OPEN": chosen("YES")}, "bad_frame"),
    _broken("a video without frames", "choice by frame", "", {"OPEN": chosen("YES")}, "bad_frame", "OPEN"),
    _broken(
        "a frame key that is no text", "choice by frame", "", {0: {"OPEN": chosen("YES")}}, "malformed", "json_response"
    ),
    _broken("a key frame mark as a text", "choice by frame", "0/OPEN/isKeyFrame", "yes", "malformed"),
    _broken(
        "an object's key frame mark as a number", "objects by frame", "0/CARS/annotations/0/isKeyFrame", 1, "malformed"
    ),
]

FORMS = [
    _broken("a list instead of a response", "radio", "", [], "malformed", "json_response"),
    _broken("a text instead of a job's answer", "radio", "COLOR", "RED", "malformed"),
    _broken("nothing instead of a job's answer", "radio", "COLOR", None, "malformed"),
    _broken("a text instead of categories", "radio", "COLOR/categories", "RED", "malformed"),
    _broken("a text instead of a category", "radio", "COLOR/categories/0", "RED", "malformed"),
    _broken("a category without name", "radio", "COLOR/categories/0/name", CUT, "malformed"),
    _broken("an object instead of annotations", "rectangle", "SHIPS/annotations", {}, "malformed"),
    _broken("no annotations", "rectangle", "SHIPS", {"boxes": []}, "malformed", "SHIPS.annotations"),
    _broken("a list instead of an annotation", "rectangle", "SHIPS/annotations/0", [], "malformed"),
    _broken("a list instead of children", "children beside the categories", "ANIMAL/children", ["BREED"], "malformed"),
    _broken("a number instead of a ring", "rectangle", "SHIPS/annotations/0/boundingPoly/0", 5, "malformed"),
    _broken("a frame as a list", "objects by frame", "1", [], "malformed"),
]

BROKEN: list[Broken] = [*JOBS, *CATEGORIES, *GEOMETRY, *TEXTS, *IDENTITIES, *FRAMES, *FORMS]
"""All of them."""
