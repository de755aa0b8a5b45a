"""Responses that must be refused, each with the project it is sent to and the cause it must be refused for.

Every entry is a valid response of ``task_shapes`` with one thing wrong, so that nothing else can be the reason.
"""

from __future__ import annotations

import json

from broken_case import CUT, Broken, broken
from broken_geometry import GEOMETRY
from ontology_fixtures import a_box, annotation
from task_shapes import chosen

JOBS = [
    broken("a job the project lacks", "radio", "COLOUR", chosen("RED"), "unknown_job"),
    broken("a child job at the root", "children beside the categories", "BREED", chosen("PUG"), "child_at_root"),
    broken("no answer to a required job", "two questions", "WET", CUT, "missing_required_job"),
    broken(
        "an empty answer to a required job",
        "two questions",
        "WET",
        {"categories": []},
        "missing_required_job",
        "WET",
    ),
    broken("no objects of a required job", "rectangle", "SHIPS", CUT, "missing_required_job"),
    broken("no frame answers a required job", "choice by frame", "", {"0": {}}, "missing_required_job", "OPEN"),
    broken(
        "no answer to a required child",
        "children beside the categories",
        "ANIMAL/children",
        CUT,
        "missing_required_job",
        "ANIMAL.categories[0].children.BREED",
    ),
    broken(
        "no answer to an object's required child",
        "object with child choice and child text",
        "PLATES/annotations/0/children/NUMBER",
        CUT,
        "missing_required_job",
        "PLATES.annotations[0].categories[0].children.NUMBER",
    ),
    broken(
        "a child under the wrong parent",
        "children beside the categories",
        "ANIMAL/categories/0/name",
        "FISH",
        "wrong_parent",
        "ANIMAL.children.BREED",
    ),
    broken(
        "a child inside the wrong parent",
        "children inside the category",
        "ANIMAL/categories/0/name",
        "FISH",
        "wrong_parent",
        "ANIMAL.categories[0].children.BREED",
    ),
    broken(
        "a root job as a child",
        "children beside the categories",
        "ANIMAL/children/ANIMAL",
        chosen("DOG"),
        "wrong_parent",
    ),
    broken(
        "a child the project lacks",
        "children beside the categories",
        "ANIMAL/children/RACE",
        chosen("PUG"),
        "unknown_job",
    ),
]

CATEGORIES = [
    broken("a category the job lacks", "radio", "COLOR/categories/0/name", "GREEN", "unknown_category"),
    broken("a category in the wrong case", "radio", "COLOR/categories/0/name", "blue", "unknown_category"),
    broken(
        "a category by its display name",
        "radio",
        "COLOR/categories/0/name",
        "Blue",
        "category_by_display_name",
    ),
    broken(
        "a child's category by its display name",
        "children inside the category",
        "ANIMAL/categories/0/children/BREED/categories/0/name",
        "Pug",
        "category_by_display_name",
    ),
    broken(
        "an object of a category the job lacks",
        "rectangle",
        "SHIPS/annotations/1/categories/0/name",
        "KAYAK",
        "unknown_category",
    ),
    broken(
        "two categories on radio",
        "radio",
        "COLOR/categories/1",
        {"name": "RED"},
        "several_categories",
        "COLOR.categories",
    ),
    broken(
        "two categories on a single dropdown",
        "single dropdown",
        "COLOR/categories/1",
        {"name": "BLUE"},
        "several_categories",
        "COLOR.categories",
    ),
    broken(
        "two categories on one object",
        "rectangle",
        "SHIPS/annotations/0/categories/1",
        {"name": "FERRY"},
        "several_categories",
        "SHIPS.annotations[0].categories",
    ),
    broken(
        "a category chosen twice",
        "checkbox",
        "FLAWS/categories/2",
        {"name": "RUST"},
        "duplicate_category",
        "FLAWS.categories",
    ),
    broken("an object without categories", "rectangle", "SHIPS/annotations/0/categories", CUT, "no_category"),
    broken("an entity with no category", "entities", "WHO/annotations/0/categories", [], "no_category"),
    broken("confidence above 100", "radio", "COLOR/categories/0/confidence", 101, "bad_confidence"),
    broken("confidence below 0", "rectangle", "SHIPS/annotations/0/categories/0/confidence", -1, "bad_confidence"),
    broken("confidence as a probability", "radio", "COLOR/categories/0/confidence", 0.87, "bad_confidence"),
    broken("confidence as a text", "radio", "COLOR/categories/0/confidence", "87", "bad_confidence"),
    broken("confidence as a boolean", "radio", "COLOR/categories/0/confidence", True, "bad_confidence"),
    broken(
        "confidence that is no number",
        "radio",
        "COLOR/categories/0/confidence",
        float("nan"),
        "bad_confidence",
    ),
    broken("an object's score as a probability", "rectangle", "SHIPS/annotations/0/score", 0.5, "bad_confidence"),
    broken("an object's score as a fraction", "rectangle", "SHIPS/annotations/0/score", 87.5, "bad_confidence"),
    broken("an object's score above 100", "rectangle", "SHIPS/annotations/0/score", 500, "bad_confidence"),
    broken("a key the SDK cannot read", "radio", "COLOR/categories/0/displayName", "Blue", "unknown_key"),
]

TEXTS = [
    broken(
        "an entity behind the text",
        "entities",
        "WHO/annotations/1",
        annotation("PLACE", "e2", beginOffset=14, endOffset=40),
        "offset_outside_text",
        "WHO.annotations[1].endOffset",
    ),
    broken("an entity before the text", "entities", "WHO/annotations/0/beginOffset", -1, "offset_outside_text"),
    broken("an entity that ends where it begins", "entities", "WHO/annotations/0/endOffset", 0, "offset_outside_text"),
    broken("content the text does not have", "entities", "WHO/annotations/0/content", "Bob", "content_mismatch"),
    broken("an offset as a fraction", "entities", "WHO/annotations/0/beginOffset", 0.5, "malformed"),
    broken("an offset as a boolean", "entities", "WHO/annotations/0/endOffset", True, "malformed"),
    broken("no offset", "entities", "WHO/annotations/0/beginOffset", CUT, "malformed"),
    broken(
        "neither end nor content",
        "entities without end",
        "WHO/annotations/0/content",
        CUT,
        "malformed",
        "WHO.annotations[0].endOffset",
    ),
    broken("content as a number", "entities", "WHO/annotations/0/content", 3, "malformed"),
    broken(
        "a rich text's end without its part", "entities of a rich text", "WHO/annotations/0/endId", CUT, "malformed"
    ),
    broken("a transcription as a number", "transcription", "CAPTION/text", 7, "malformed"),
    broken(
        "a transcription without text", "transcription", "CAPTION", {"value": "two pugs"}, "malformed", "CAPTION.text"
    ),
    broken("a date that is none", "date", "WHEN/text", "30.11.2023", "bad_text"),
    broken("a day the year lacks", "date", "WHEN/text", "2023-02-29", "bad_text"),
    broken("a number that is none", "number", "COUNT/text", "forty-two", "bad_text"),
    broken("a file without id", "file", "MODEL/fileId", "", "malformed"),
    broken("a file as a path", "file", "MODEL", "part.glb", "malformed"),
]

IDENTITIES = [
    broken("a mid used twice", "rectangle", "SHIPS/annotations/1/mid", "s1", "duplicate_mid"),
    broken("a mid used by two jobs", "objects and their relation", "HAS/annotations/0/mid", "bike", "duplicate_mid"),
    broken(
        "a mid used by two poses' points",
        "pose",
        "HANDS/annotations/1",
        annotation("HAND", "h2", type="pose", points=[{"code": "WRIST", "mid": "h1w", "point": {"x": 0, "y": 0}}]),
        "duplicate_mid",
        "HANDS.annotations[1].points[0].mid",
    ),
    broken(
        "a pose under another pose's point's mid",
        "pose",
        "HANDS/annotations/1",
        annotation("HAND", "h1w", type="pose", points=[]),
        "duplicate_mid",
        "HANDS.annotations[1].mid",
    ),
    broken("an entity's mid used twice", "entities", "WHO/annotations/1/mid", "e1", "duplicate_mid"),
    broken(
        "a mid used twice in one frame",
        "objects by frame",
        "0/CARS/annotations/1",
        a_box("TAXI", "b"),
        "duplicate_mid",
        "0.CARS.annotations[1].mid",
    ),
    broken("an empty mid", "rectangle", "SHIPS/annotations/0/mid", "", "empty_mid"),
    broken("a mid as a number", "rectangle", "SHIPS/annotations/0/mid", 7, "malformed"),
    broken(
        "a relation to nothing",
        "objects and their relation",
        "HAS/annotations/0/endObjects/1/mid",
        "saddle",
        "dangling_relation",
    ),
    broken(
        "an entity relation to nothing",
        "entities and their relation",
        "LIVES/annotations/0/startEntities/0/mid",
        "e9",
        "dangling_relation",
    ),
    broken(
        "a relation without end", "objects and their relation", "HAS/annotations/0/endObjects", [], "dangling_relation"
    ),
    broken(
        "a relation the wrong way round",
        "objects and their relation",
        "HAS/annotations/0/startObjects/0/mid",
        "front",
        "wrong_relation_end",
    ),
    broken(
        "a relation without its key",
        "entities and their relation",
        "LIVES/annotations/0/startEntities",
        CUT,
        "malformed",
    ),
]

FRAMES = [
    broken("a frame that is no number", "choice by frame", "first", {"OPEN": chosen("YES")}, "bad_frame"),
    broken("a frame with a leading zero", "choice by frame", "01", {"OPEN": chosen("YES")}, "bad_frame"),
    broken("a negative frame", "choice by frame", "-1", {"OPEN": chosen("YES")}, "bad_frame"),
    broken("a frame in other digits", "choice by frame", "²", {"OPEN": chosen("YES")}, "bad_frame"),
    broken("a video without frames", "choice by frame", "", {"OPEN": chosen("YES")}, "bad_frame", "OPEN"),
    broken(
        "a frame key that is no text", "choice by frame", "", {0: {"OPEN": chosen("YES")}}, "malformed", "json_response"
    ),
    broken("a key frame mark as a text", "choice by frame", "0/OPEN/isKeyFrame", "yes", "malformed"),
    broken(
        "an object's key frame mark as a number", "objects by frame", "0/CARS/annotations/0/isKeyFrame", 1, "malformed"
    ),
]

FORMS = [
    broken("a list instead of a response", "radio", "", [], "malformed", "json_response"),
    broken("a text instead of a job's answer", "radio", "COLOR", "RED", "malformed"),
    broken("nothing instead of a job's answer", "radio", "COLOR", None, "malformed"),
    broken("a text instead of a choice", "radio", "COLOR", {"text": "RED"}, "malformed", "COLOR.categories"),
    broken(
        "objects instead of a choice",
        "radio",
        "COLOR",
        {"annotations": [a_box("RED", "a", 0.1, 0.1, 0.2, 0.2)]},
        "malformed",
        "COLOR.categories",
    ),
    broken("a text instead of categories", "radio", "COLOR/categories", "RED", "malformed"),
    broken("a text instead of a category", "radio", "COLOR/categories/0", "RED", "malformed"),
    broken("a category without name", "radio", "COLOR/categories/0/name", CUT, "malformed"),
    broken("an object instead of annotations", "rectangle", "SHIPS/annotations", {}, "malformed"),
    broken("no annotations", "rectangle", "SHIPS", {"boxes": []}, "malformed", "SHIPS.annotations"),
    broken("a list instead of an annotation", "rectangle", "SHIPS/annotations/0", [], "malformed"),
    broken("a list instead of children", "children beside the categories", "ANIMAL/children", ["BREED"], "malformed"),
    broken("a number instead of a ring", "rectangle", "SHIPS/annotations/0/boundingPoly/0", 5, "malformed"),
    broken("a frame as a list", "objects by frame", "1", [], "malformed"),
]

BROKEN: list[Broken] = [*JOBS, *CATEGORIES, *GEOMETRY, *TEXTS, *IDENTITIES, *FRAMES, *FORMS]
"""All of them."""

WRITTEN: list[Broken] = [
    case for case in BROKEN if repr(json.loads(json.dumps(case.json_response))) == repr(case.json_response)
]
"""Those that are still the same after they were written as JSON, in which a key is always a text."""
