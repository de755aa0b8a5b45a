"""A prediction's json_response, or the field of the message that the project cannot take."""

from __future__ import annotations

from typing import Any

import pytest

from worker.contract import read_prediction
from worker.ontology import Interface, OntologyError
from worker.projects.configuration import ProjectConfig
from worker.projects.responses import response_of


def radio(*names: str) -> dict[str, Any]:
    categories = {name: {"children": [], "name": name.title()} for name in names}
    return {
        "content": {"categories": categories, "input": "radio"},
        "instruction": "",
        "mlTask": "CLASSIFICATION",
        "required": 1,
        "isChild": False,
    }


INTERFACE = Interface.parse({"jobs": {"COLOUR": radio("RED", "BLACK")}})


def respond(output: dict[str, Any], config: ProjectConfig | None = None) -> dict[str, Any]:
    message = {
        "external_id": "a",
        "model": {"name": "m", "version": "1"},
        "predicted_at": "2026-11-23T10:15:00Z",
        "output": output,
    }
    return response_of(read_prediction(message), INTERFACE, config or ProjectConfig())


def test_the_answer_carries_the_confidence_of_the_chosen_class() -> None:
    expected = {"COLOUR": {"categories": [{"name": "RED", "confidence": 61}]}}
    assert respond({"scores": {"RED": 0.61, "BLACK": 0.39}}) == expected


LAND = Interface.parse(
    {
        "jobs": {
            "LAND": {
                "content": {"categories": {"LAKE": {"name": "Lake"}}, "input": "radio"},
                "mlTask": "OBJECT_DETECTION",
                "tools": ["marker"],
            }
        }
    }
)
IN_DEGREES = {"categories": [{"name": "LAKE"}], "mid": "l", "type": "marker", "point": {"x": 6.1, "y": 49.6}}


def on(asset: dict[str, Any] | None, external_id: str = "a") -> dict[str, Any]:
    message = {
        "external_id": external_id,
        "asset": asset,
        "model": {"name": "m", "version": "1"},
        "predicted_at": "2026-11-23T10:15:00Z",
        "output": {"json_response": {"LAND": {"annotations": [IN_DEGREES]}}},
    }
    return response_of(read_prediction(message), LAND)


@pytest.mark.parametrize(
    ("asset", "external_id"),
    [
        ({"url": "https://example.com/tiles/north.tif"}, "a"),
        ({"url": "https://example.com/tiles/north.TIFF?signature=a.jpg#x"}, "a"),
        ({"url": "https://example.com/scenes/7.ntf"}, "a.jpg"),
        ({"url": "https://example.com/files?id=7"}, "north.jp2"),
        ({"path": "/data/tiles/north.tif"}, "a"),
        (None, "tiles/north.tif"),
        ({"json_content": [{"imageUrl": "https://example.com/7", "useClassicCoordinates": False}]}, "a"),
    ],
)
def test_a_georeferenced_image_of_an_image_project_takes_degrees(asset: Any, external_id: str) -> None:
    assert on(asset, external_id)["LAND"]["annotations"] == [IN_DEGREES]


@pytest.mark.parametrize(
    ("asset", "external_id"),
    [
        ({"url": "https://example.com/tiles/north.jpg"}, "north.tif"),
        ({"url": "https://example.com/tiles/north.png?file=north.tif"}, "a"),
        (None, "a"),
        (None, "tif"),
        ({"json_content": [{"imageUrl": "https://example.com/7", "useClassicCoordinates": True}]}, "north.tif"),
        ({"json_content": {"0": "https://example.com/0.tif"}}, "a"),
    ],
)
def test_any_other_image_takes_shares_alone(asset: Any, external_id: str) -> None:
    with pytest.raises(OntologyError, match=r"6\.1 is outside 0 to 1; .*georeferenced"):
        on(asset, external_id)


def test_the_operators_categories_translate_classes() -> None:
    answer = respond({"scores": {"crimson": 0.9}}, ProjectConfig(categories={"crimson": "RED"}))
    assert answer["COLOUR"]["categories"][0]["name"] == "RED"


@pytest.mark.parametrize(
    ("output", "field", "cause"),
    [
        ({"scores": {"BLUE": 0.9, "RED": 0.1}}, "output.scores.BLUE", "unknown_class"),
        ({"scores": {"RED": 0.9}, "job": "COLOR"}, "output.job", "unknown_job"),
        ({"scores": {"RED": 0.9, "BLACK": 0.8}}, "output", "not_a_distribution"),
        (
            {"json_response": {"COLOUR": {"categories": [{"name": "BLUE"}]}}},
            "output.json_response.COLOUR.categories[0].name",
            "unknown_category",
        ),
        ({"json_response": {}}, "output.json_response", "missing_required_job"),
    ],
)
def test_what_the_project_cannot_take_is_named_by_its_place_in_the_message(
    output: dict[str, Any], field: str, cause: str
) -> None:
    with pytest.raises(OntologyError) as caught:
        respond(output)
    assert caught.value.field.startswith(field)
    assert caught.value.cause == cause
    assert "Category(" not in str(caught.value)


def test_an_entity_of_a_rich_text_is_held_against_the_messages_own_text() -> None:
    names = Interface.parse(
        {"jobs": {"WHO": {"mlTask": "NAMED_ENTITIES_RECOGNITION", "content": {"categories": {"TERM": {}}}}}}, "TEXT"
    )
    entity = {"categories": [{"name": "TERM"}], "beginId": "Z", "endId": "Z", "beginOffset": 0, "endOffset": 3}
    message = {
        "external_id": "a",
        "model": {"name": "m", "version": "1"},
        "predicted_at": "2026-11-23T10:15:00Z",
        "asset": {"json_content": [{"children": [{"id": "A", "text": "A short account"}]}]},
        "output": {"json_response": {"WHO": {"annotations": [entity]}}},
    }
    with pytest.raises(OntologyError, match="Z"):
        response_of(read_prediction(message), names)
