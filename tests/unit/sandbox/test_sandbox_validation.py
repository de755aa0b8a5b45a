"""What the sandbox takes for a json_response, and what it says about the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.sandbox.agreement import mark
from worker.sandbox.interface import InterfaceError, read_interface
from worker.sandbox.validation import Malformed, check_json_response

INTERFACE = {
    "jobs": {
        "RADIO": {
            "mlTask": "CLASSIFICATION",
            "content": {
                "categories": {"A": {"children": ["CHILD"]}, "B": {"children": []}},
                "input": "radio",
            },
        },
        "CHECK": {
            "mlTask": "CLASSIFICATION",
            "content": {"categories": {"A": {}, "B": {}}, "input": "checkbox"},
        },
        "CHILD": {"mlTask": "TRANSCRIPTION", "isChild": True},
        "BOX": {"mlTask": "OBJECT_DETECTION", "tools": ["rectangle"], "content": {"categories": {"A": {}}}},
        "ANY": {"mlTask": "OBJECT_DETECTION", "content": {"categories": {"A": {}}}},
        "NER": {"mlTask": "NAMED_ENTITIES_RECOGNITION", "content": {"categories": {"A": {}}}},
        "REL": {"mlTask": "NAMED_ENTITIES_RELATION", "content": {"categories": {"R": {}}}},
        "TEXT": {"mlTask": "TRANSCRIPTION", "content": {"input": None}},
        "FILE": {"mlTask": "FILE"},
        "RANK": {"mlTask": "RANKING"},
    }
}
JOBS = read_interface(json.dumps(INTERFACE))
A = {"categories": [{"name": "A", "confidence": 87}]}
SQUARE = {"normalizedVertices": [{"x": x, "y": y} for x, y in ((0, 0), (0, 1), (1, 1), (1, 0))]}


def refusal(response: Any, *, is_video: bool = False) -> str:
    """The reason why a response is refused, or nothing."""
    text = response if isinstance(response, str) else json.dumps(response)
    try:
        check_json_response(text, JOBS, is_video=is_video)
    except Malformed as error:
        return str(error)
    return ""


def rectangle(**changes: Any) -> dict[str, Any]:
    return {**A, "type": "rectangle", "mid": "m", "boundingPoly": [SQUARE], **changes}


def entity(mid: str = "e1", **changes: Any) -> dict[str, Any]:
    return {**A, "beginOffset": 0, "content": "ab", "mid": mid, **changes}


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"RADIO": A},
        {"RADIO": {"categories": []}},
        {"RADIO": {**A, "children": {"CHILD": {"text": "x"}}}},
        {"RADIO": {"categories": [{"name": "A", "children": {"CHILD": {"text": "x"}}}]}},
        {"CHECK": {"categories": [{"name": "A"}, {"name": "B", "confidence": 0.5}]}},
        {"BOX": {"annotations": []}},
        {"BOX": {"annotations": [rectangle(), rectangle(mid="n")]}},
        {"ANY": {"annotations": [{**A, "type": "marker", "mid": "m", "point": {"x": 0.5, "y": 0.5}}]}},
        {"ANY": {"annotations": [{**A, "type": "polyline", "mid": "m", "polyline": [{"x": 0, "y": 0}] * 2}]}},
        {"ANY": {"annotations": [{**A, "type": "pose", "mid": "m", "points": [{"point": {"x": 0, "y": 0}}]}]}},
        {"NER": {"annotations": [entity()]}},
        {
            "NER": {"annotations": [entity("e1"), entity("e2")]},
            "REL": {
                "annotations": [
                    {
                        "categories": [{"name": "R"}],
                        "startEntities": [{"mid": "e1"}],
                        "endEntities": [{"mid": "e2"}],
                    }
                ]
            },
        },
        {"TEXT": {"text": ""}},
        {"FILE": {"fileId": "f"}},
        {"RANK": {"anything": True}},
        {"ROTATION_JOB": {"rotation": 90}, "TEXT": {"text": "x"}},
    ],
)
def test_responses_that_fit_are_taken(response: dict[str, Any]) -> None:
    assert refusal(response) == ""


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ("{", "not valid JSON"),
        ('{"TEXT": NaN}', "NaN is no JSON number"),
        ("[" * 100_000, "not valid JSON"),
        ([], "the response must be an object"),
        ({"NOPE": A}, "job 'NOPE' is not in the interface"),
        ({"CHILD": {"text": "x"}}, "job 'CHILD' is a child job"),
        ({"RADIO": A["categories"]}, "job 'RADIO' must be an object"),
        ({"RADIO": {}}, "categories must be a list"),
        ({"RADIO": {"categories": ["A"]}}, "a category must be an object"),
        ({"RADIO": {"categories": [{"name": "Z"}]}}, "has no category 'Z'"),
        ({"RADIO": {"categories": [{"name": "A"}, {"name": "B"}]}}, "takes one category, not 2"),
        ({"RADIO": {"categories": [{"name": "A", "confidence": 101}]}}, "confidence 101"),
        ({"RADIO": {"categories": [{"name": "A", "confidence": "high"}]}}, "confidence 'high'"),
        ({"RADIO": {"categories": [{"name": "A", "confidence": True}]}}, "confidence True"),
        (
            {"RADIO": {"categories": [{"name": "B"}], "children": {"CHILD": {"text": "x"}}}},
            "no child of the chosen",
        ),
        ({"RADIO": {**A, "children": {"TEXT": {"text": "x"}}}}, "job 'TEXT' is no child job"),
        ({"RADIO": {**A, "children": {"CHILD": {"text": 1}}}}, "text must be a text"),
        ({"BOX": {"annotations": [rectangle(type="polygon")]}}, "type 'polygon' is none of rectangle"),
        ({"BOX": {"annotations": [rectangle(mid="")]}}, "mid must be a text"),
        ({"BOX": {"annotations": [rectangle(), rectangle()]}}, "the mid 'm' occurs twice"),
        ({"BOX": {"annotations": [rectangle(boundingPoly=[])]}}, "needs 4 points, not 0"),
        ({"BOX": {"annotations": [rectangle(boundingPoly=None)]}}, "must be a list"),
        (
            {"BOX": {"annotations": [rectangle(boundingPoly=[{"normalizedVertices": [{"x": "0", "y": 0}] * 4}])]}},
            "x of a point must be a number, not '0'",
        ),
        ({"NER": {"annotations": [entity(beginOffset="0")]}}, "beginOffset must be an integer"),
        ({"NER": {"annotations": [entity(content=3)]}}, "content must be a text"),
        (
            {
                "REL": {
                    "annotations": [{"categories": [{"name": "R"}], "startEntities": [{"mid": "x"}], "endEntities": []}]
                }
            },
            "no annotation has the mid 'x'",
        ),
        ({"TEXT": {"text": None}}, "text must be a text"),
        ({"FILE": {"fileName": "a"}}, "fileId must be a text"),
    ],
)
def test_responses_that_do_not_fit_are_refused_with_the_reason(response: Any, words: str) -> None:
    assert words in refusal(response)


def test_videos_are_checked_frame_by_frame() -> None:
    assert refusal({"0": {"RADIO": A}, "12": {"RADIO": A}, "assetLevel": {"TEXT": {"text": "x"}}}, is_video=True) == ""
    assert refusal({"RADIO": A}, is_video=True) == "'RADIO' is no frame number"
    assert refusal({"3": {"NOPE": A}}, is_video=True) == "frame 3, job 'NOPE' is not in the interface"
    assert refusal({"3": []}, is_video=True) == "frame 3 must be an object"


def test_mids_may_repeat_from_frame_to_frame() -> None:
    frame = {"BOX": {"annotations": [rectangle()]}}
    assert refusal({"0": frame, "1": frame}, is_video=True) == ""


@pytest.mark.parametrize("text", ["{", "[]", '{"jobs": []}', '{"jobs": {"J": 3}}'])
def test_an_interface_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InterfaceError, match="jsonInterface"):
        read_interface(text)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["A", "m", "rectangle"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *INTERFACE["jobs"],
                    *("categories", "annotations", "children", "name", "confidence", "mid", "type", "text", "0"),
                    *("boundingPoly", "normalizedVertices", "point", "points", "polyline", "x", "y", "fileId"),
                    *("beginOffset", "beginId", "content", "startEntities", "endEntities"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(
    response=st.dictionaries(st.sampled_from([*INTERFACE["jobs"], "0", "1"]), ANYTHING, max_size=3),
    is_video=st.booleans(),
)
def test_whatever_comes_is_refused_or_can_be_marked(response: dict[str, Any], is_video: bool) -> None:
    text = json.dumps(response)
    if not refusal(text, is_video=is_video):
        assert mark(text, text, JOBS, "documented") == pytest.approx(1)
        assert 0 <= mark(text, "{}", JOBS, "documented") <= 1
