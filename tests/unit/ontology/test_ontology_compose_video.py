from __future__ import annotations

from typing import Any

import pytest
from ontology_fixtures import an_object, choice, detection, objects, parsed, project, read_by_sdk, ring_of, scores

from worker.contract.output import Classification, ClassScore, DetectedObject, Detection, Frame, Frames, ModelOutput
from worker.ontology import OntologyError, to_json_response

TRACKING = project(CARS=detection("TAXI", "BUS", tools=["rectangle"], required=1))
OPENING = project(OPEN=choice("YES", "NO", required=1))
CARS = parsed(TRACKING, "VIDEO")
OPEN = parsed(OPENING, "VIDEO")


def tracked(label: str, left: float, track: str | None = None) -> DetectedObject:
    return an_object(label, "rectangle", ring_of(left, 0.1, left + 0.1, 0.3), track_id=track)


def seen(*by_frame: list[DetectedObject]) -> ModelOutput:
    return ModelOutput(Frames(tuple(Frame(n, Detection(tuple(found))) for n, found in enumerate(by_frame))))


def mids(response: dict[str, Any]) -> list[list[str]]:
    return [[item["mid"] for item in frame["CARS"]["annotations"]] for frame in response.values()]


def refused(output: ModelOutput, interface: Any) -> OntologyError:
    with pytest.raises(OntologyError) as caught:
        to_json_response(output, interface)
    return caught.value


def test_choices_are_keyed_by_frame_and_marked_as_key_frames() -> None:
    answers = [Classification((ClassScore(name, 0.8),)) for name in ("YES", "YES", "NO")]
    frames = tuple(Frame(index, answer, key=index != 1) for index, answer in enumerate(answers))
    response = to_json_response(ModelOutput(Frames(frames)), OPEN)
    assert response["1"] == {"OPEN": {"categories": [{"name": "YES", "confidence": 80}], "isKeyFrame": False}}
    read = read_by_sdk(response, OPENING, "VIDEO").jobs["OPEN"].frames
    assert [frame.category.name for frame in read] == ["YES", "YES", "NO"]
    assert [frame.is_key_frame for frame in read] == [True, False, True]


def test_objects_are_keyed_by_frame_and_marked_each() -> None:
    response = to_json_response(seen([tracked("BUS", 0.1)], [], [tracked("TAXI", 0.2)]), CARS)
    assert list(response) == ["0", "1", "2"]
    assert response["1"] == {"CARS": {"annotations": []}}
    read = read_by_sdk(response, TRACKING, "VIDEO").jobs["CARS"].frames
    assert [[item.category.name for item in frame.annotations] for frame in read] == [["BUS"], [], ["TAXI"]]
    assert read[0].annotations[0].is_key_frame is True


def test_a_tracked_object_keeps_its_mid_through_the_frames() -> None:
    response = to_json_response(
        seen([tracked("BUS", 0.1, "7"), tracked("BUS", 0.5, "8")], [tracked("BUS", 0.2, "7")]), CARS
    )
    (seven, eight), (again,) = mids(response)
    assert seven == again != eight


def test_an_object_without_track_has_a_mid_of_its_own_in_every_frame() -> None:
    response = to_json_response(seen([tracked("BUS", 0.1)], [tracked("BUS", 0.1)]), CARS)
    assert len({mid for frame in mids(response) for mid in frame}) == 2


def test_one_track_twice_in_a_frame_is_refused() -> None:
    output = seen([tracked("BUS", 0.1, "7"), tracked("BUS", 0.5, "7")])
    error = refused(output, CARS)
    assert (error.cause, error.field) == ("duplicate_mid", "answer.frames[0].answer.objects[1].track_id")


def test_a_frame_answered_twice_is_refused() -> None:
    frame = Frame(4, Detection(()))
    error = refused(ModelOutput(Frames((frame, frame))), CARS)
    assert (error.cause, error.field) == ("duplicate_frame", "answer.frames[1].index")


def test_a_negative_frame_is_refused() -> None:
    assert refused(ModelOutput(Frames((Frame(-1, Detection(())),))), CARS).cause == "bad_frame"


def test_a_refusal_names_the_frame() -> None:
    assert refused(seen([], [tracked("TRAM", 0.1)]), CARS).field == "answer.frames[1].answer.objects[0].label"


@pytest.mark.parametrize("output", [scores(YES=0.9), objects()], ids=["classification", "detection"])
def test_an_answer_without_frames_does_not_fit_a_video(output: ModelOutput) -> None:
    interface = parsed(TRACKING | {"jobs": TRACKING["jobs"] | OPENING["jobs"]}, "VIDEO")
    assert refused(output, interface).cause == "frames_missing"


def test_frames_do_not_fit_an_image() -> None:
    assert refused(seen([]), parsed(TRACKING)).cause == "not_expressible"


def test_frames_with_answers_of_two_kinds_are_refused() -> None:
    frames = (Frame(0, Detection(())), Frame(1, Classification(())))
    assert refused(ModelOutput(Frames(frames)), CARS).cause == "no_fitting_job"


def test_no_frames_do_not_answer_a_required_job() -> None:
    assert refused(ModelOutput(Frames(()), job="CARS"), CARS).cause == "missing_required_job"
