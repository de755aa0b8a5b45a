"""One own example per example response that Kili publishes for importing labels: the same 17 shapes."""

from __future__ import annotations

from typing import Any

from ontology_fixtures import (
    a_box,
    annotation,
    area,
    choice,
    detection,
    entities,
    on_page,
    project,
    relation,
    transcription,
)
from task_shapes import Case, chosen


def _span(name: str, mid: str, begin: int, content: str) -> dict[str, Any]:
    """An entity as Kili's examples write it: without its end."""
    return annotation(name, mid, beginOffset=begin, content=content)


def _relation(name: str, of: str, start: str, *ends: str) -> dict[str, Any]:
    return {
        "categories": [{"name": name, "confidence": 100}],
        f"start{of}": [{"mid": start}],
        f"end{of}": [{"mid": end} for end in ends],
    }


def _tracked(frame: int, **parts: Any) -> dict[str, Any]:
    left = 0.5 - 0.02 * frame
    return {
        "BOATS": {
            "annotations": [a_box("SAIL", f"f{frame}", left, 0.5, left + 0.1, 0.7, isKeyFrame=frame == 0, **parts)]
        }
    }


_ANSWER = transcription(required=1, isChild=True, input="radio")
_CARD = detection(
    "CITY",
    "OWNER",
    "BORN",
    tools=["rectangle"],
    required=1,
    children={"CITY": ["T1"], "OWNER": ["T2"], "BORN": ["T3"]},
)
_CARD_RESPONSE = {
    "annotations": [
        a_box("CITY", "c", 0.1, 0.1, 0.3, 0.2, children={"T1": {"text": "Turin"}}),
        a_box("OWNER", "o", 0.1, 0.3, 0.3, 0.4, children={"T2": {"text": "A. King"}}),
        a_box("BORN", "b", 0.1, 0.5, 0.3, 0.6, children={"T3": {"text": "10 DEC 1815"}}),
    ]
}

EXAMPLES: dict[str, Case] = {
    "a choice of one": Case(project(JOKE=choice("IT_IS", "NO", required=1)), {"JOKE": chosen("IT_IS")}, "TEXT"),
    "a choice of several": Case(
        project(WHY=choice("LATE", "BROKEN", "FAKE", input="checkbox", required=1)),
        {"WHY": chosen("BROKEN", "FAKE")},
        "TEXT",
    ),
    "two choices": Case(
        project(NEWS=choice("YES", "NO", required=1), TONE=choice("DRY", "WARM", required=1)),
        {"NEWS": chosen("YES"), "TONE": chosen("WARM")},
        "TEXT",
    ),
    "a choice below a choice": Case(
        project(
            NEWS=choice("YES", "NO", required=1, children={"YES": ["TOPIC"]}),
            TOPIC=choice("SPORT", "OTHER", required=1, isChild=True),
        ),
        {"NEWS": chosen("YES", children={"TOPIC": chosen("SPORT")})},
        "TEXT",
    ),
    "boxes": Case(
        project(BOATS=detection("SAIL", "ROW", tools=["rectangle"], required=1)),
        {"BOATS": {"annotations": [a_box("SAIL", "my-boat")]}},
    ),
    "boxes with a choice each": Case(
        project(
            COLOR=choice("RED", "GREY", input="checkbox", isChild=True),
            BOATS=detection(
                "SAIL", "ROW", tools=["rectangle"], required=1, children={"SAIL": ["COLOR"], "ROW": ["COLOR"]}
            ),
        ),
        {"BOATS": {"annotations": [a_box("ROW", "r", children={"COLOR": chosen("GREY")})]}},
    ),
    "boxes and their relation": Case(
        project(
            BOATS=detection("HULL", "MAST", tools=["rectangle"], required=1),
            STANDS=relation("OBJECT_RELATION", "CARRIES", ["HULL"], ["MAST"]),
        ),
        {
            "BOATS": {
                "annotations": [
                    a_box("HULL", "hull", 0.1, 0.5, 0.9, 0.9),
                    a_box("MAST", "fore", 0.2, 0.1, 0.3, 0.5),
                    a_box("MAST", "aft", 0.6, 0.1, 0.7, 0.5),
                ]
            },
            "STANDS": {"annotations": [_relation("CARRIES", "Objects", "hull", "fore", "aft")]},
        },
    ),
    "polygons": Case(
        project(BOATS=detection("SAIL", tools=["polygon"], required=1)),
        {
            "BOATS": {
                "annotations": [
                    annotation(
                        "SAIL",
                        "s",
                        type="polygon",
                        boundingPoly=area((0.2, 0.5), (0.2, 0.7), (0.5, 0.8), (0.8, 0.7), (0.6, 0.3)),
                    )
                ]
            }
        },
    ),
    "entities": Case(
        project(WORDS=entities("NAME", "VERB", required=1)),
        {"WORDS": {"annotations": [_span("NAME", "n", 0, "Ada"), _span("VERB", "v", 4, "wrote")]}},
        "TEXT",
        "Ada wrote programs",
    ),
    "entities of a rich text": Case(
        project(WORDS=entities("GROUP", required=1)),
        {
            "WORDS": {
                "annotations": [
                    annotation(
                        "GROUP",
                        "g",
                        beginId="S1",
                        beginOffset=12,
                        endId="S2",
                        endOffset=31,
                        content="a long name",
                    )
                ]
            }
        },
        "TEXT",
    ),
    "entities and their relations": Case(
        project(
            WORDS=entities("WHO", "DOES", "WHAT", required=1),
            LINKS=relation("NAMED_ENTITIES_RELATION", "BY", ["DOES"], ["WHO"]),
        ),
        {
            "WORDS": {"annotations": [_span("WHO", "who she", 0, "Ada"), _span("DOES", "wrote", 4, "wrote")]},
            "LINKS": {"annotations": [_relation("BY", "Entities", "wrote", "who she")]},
        },
        "TEXT",
        "Ada wrote programs",
    ),
    "texts in boxes": Case(project(CARD=_CARD, T1=_ANSWER, T2=_ANSWER, T3=_ANSWER), {"CARD": _CARD_RESPONSE}),
    "texts in boxes and their relations": Case(
        project(
            CARD=_CARD,
            T1=_ANSWER,
            T2=_ANSWER,
            T3=_ANSWER,
            LINKS=relation("OBJECT_RELATION", "OF", ["OWNER"], ["CITY", "BORN"]),
        ),
        {
            "CARD": _CARD_RESPONSE,
            "LINKS": {"annotations": [_relation("OF", "Objects", "o", "c"), _relation("OF", "Objects", "o", "b")]},
        },
    ),
    "entities of a PDF": Case(
        project(PARTS=entities("TITLE", required=1)),
        {
            "PARTS": {
                "annotations": [
                    annotation(
                        "TITLE",
                        "t",
                        content="On Engines",
                        annotations=[
                            {
                                key: value
                                for key, value in on_page(
                                    1, ((0.3, 0.1), (0.3, 0.2), (0.7, 0.1), (0.7, 0.2)), pageNumber=1
                                ).items()
                                if key != "pageNumberArray"
                            }
                        ],
                    )
                ]
            }
        },
        "PDF",
    ),
    "a choice by frame": Case(
        project(BOAT=choice("THERE_IS", "NO", required=1)),
        {
            str(frame): {"BOAT": chosen("THERE_IS" if frame < 3 else "NO", isKeyFrame=frame in (0, 3))}
            for frame in range(5)
        },
        "VIDEO",
    ),
    "boxes by frame": Case(
        project(BOATS=detection("SAIL", "ROW", tools=["rectangle"], required=1)),
        {str(frame): _tracked(frame) for frame in range(5)},
        "VIDEO",
    ),
    "boxes by frame with a choice each": Case(
        project(
            BOATS=detection("SAIL", tools=["rectangle"], required=1, children={"SAIL": ["WHOLE"]}),
            WHOLE=choice("VISIBLE", input="checkbox", isChild=True),
        ),
        {
            str(frame): _tracked(frame, children={"WHOLE": chosen("VISIBLE", isKeyFrame=frame == 0)})
            for frame in range(5)
        },
        "VIDEO",
    ),
}
