"""Options that say how a payload is read: sizes of a batch, what lies outside, wrong objects, classes, least scores."""

from __future__ import annotations

from typing import Any

import pytest
from format_cases import plain

from worker.contract.output import Classification, Nothing, Several
from worker.formats import OutputError, ReadOptions, read_payload

SIZE = (1000, 500)


def box(x1: float, y1: float, x2: float, y2: float, label: str = "cat", score: float = 0.9) -> dict[str, Any]:
    return {"label": label, "score": score, "box": {"xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2}}


def objects(payload: Any, **options: Any) -> list[dict[str, Any]]:
    (output,) = read_payload(payload, ReadOptions(image_size=SIZE, **options)).outputs
    return plain(output)["objects"]


def evidence(payload: Any, **options: Any) -> dict[str, Any]:
    (output,) = read_payload(payload, ReadOptions(image_size=SIZE, **options)).outputs
    return output.evidence


def rejection(payload: Any, **options: Any) -> OutputError:
    with pytest.raises(OutputError) as caught:
        read_payload(payload, ReadOptions(**options))
    return caught.value


GOOD, OVER, FAR, EMPTY = box(10, 10, 100, 100), box(-19, 10, 100, 100), box(-21, 10, 100, 100), box(10, 10, 10, 20)


def test_each_image_of_a_batch_has_its_own_size() -> None:
    options = ReadOptions(image_sizes=[(100, 100), (200, 200)])
    found = [
        plain(output)["objects"][0]["box"] for output in read_payload([[box(10, 10, 50, 50)]] * 2, options).outputs
    ]
    assert found == [[0.1, 0.1, 0.5, 0.5], [0.05, 0.05, 0.25, 0.25]]


@pytest.mark.parametrize("sizes", [[(100, 100)], [(100, 100)] * 3])
def test_as_many_sizes_as_images_are_needed(sizes: list[tuple[int, int]]) -> None:
    assert rejection([[box(10, 10, 50, 50)]] * 2, image_sizes=sizes).field == "image_sizes"


def test_images_that_are_named_find_their_size_by_name() -> None:
    result = {"category_id": 1, "bbox": [10, 10, 40, 40], "score": 0.9}
    options = ReadOptions(classes={1: "cat"}, image_sizes=[(100, 100), (200, 200)], external_ids=["a", "b"])
    (output,) = read_payload([{**result, "image_id": "b"}], options).outputs
    assert plain(output)["objects"][0]["box"] == [0.05, 0.05, 0.25, 0.25]


def test_what_reaches_over_the_edge_by_two_per_cent_is_clipped_dropped_or_refused() -> None:
    assert objects([OVER])[0]["box"] == [0, 0.02, 0.1, 0.2]
    assert [one["box"] for one in objects([OVER, GOOD], outside="drop")] == [[0.01, 0.02, 0.1, 0.2]]
    assert evidence([OVER, GOOD], outside="drop") == {"outside": 1}
    assert "lies outside" in rejection([OVER], image_size=SIZE, outside="refuse").problem
    assert objects([box(-1, 10, 100, 100)], outside="refuse")[0]["box"][0] == 0


@pytest.mark.parametrize("outside", ["clip", "drop", "refuse"])
def test_what_reaches_farther_says_that_the_size_is_wrong(outside: str) -> None:
    error = rejection([GOOD, FAR], image_size=SIZE, outside=outside)
    assert (error.field, error.fix) == ("payload[1].box", "check image_size and units")
    assert objects([FAR], outside_tolerance=0.1)[0]["box"][0] == 0


def test_a_wrong_object_is_dropped_and_counted_where_the_options_say_so() -> None:
    assert rejection([GOOD, EMPTY], image_size=SIZE).field == "payload[1].box"
    assert len(objects([GOOD, EMPTY, FAR], on_bad_object="drop")) == 1
    told = evidence([GOOD, EMPTY, FAR], on_bad_object="drop")
    assert told["dropped_objects"] == 2
    assert told["bad_objects"][0].startswith("payload[1].box: the box (10, 10, 10, 20) has no area")


def test_where_every_object_is_wrong_the_payload_is_refused_all_the_same() -> None:
    assert rejection([EMPTY, FAR], image_size=SIZE, on_bad_object="drop").field == "payload[0].box"


def test_objects_below_the_least_score_are_left_out_and_their_scores_kept_as_candidates() -> None:
    payload = [box(10, 10, 100, 100, "cat", 0.9), box(10, 10, 100, 100, "dog", 0.2), box(1, 1, 9, 9, "cat", 0.25)]
    assert [one["label"] for one in objects(payload, min_score=0.3)] == ["cat"]
    assert [one["label"] for one in objects(payload, min_score={"Dog": 0.1, "*": 0.3})] == ["cat", "dog"]
    told = evidence(payload, min_score=0.3)
    assert (told["left_out"], told["candidate_scores"]) == ({"below_min_score": 2}, [0.2, 0.25])


def test_ignored_classes_are_left_out_of_objects_and_of_scores() -> None:
    payload = [box(10, 10, 100, 100, "cat"), box(10, 10, 100, 100, "dog")]
    assert [one["label"] for one in objects(payload, ignored_classes=["DOG"])] == ["cat"]
    options = ReadOptions(classes=["cat", "other"], ignored_classes=["other"])
    answer = read_payload({"predictions": [[0.3, 0.7]]}, options).outputs[0].answer
    assert isinstance(answer, Classification)
    assert [one.label for one in answer.scores] == ["cat"]
    assert not answer.complete


def test_the_first_class_may_have_index_one() -> None:
    found = {"boxes": [[10, 10, 100, 100]], "labels": [2], "scores": [0.9]}
    assert objects(found, classes=["cat", "dog"], first_class=1)[0]["label"] == "dog"
    assert "begin with 0 or with 1" in rejection(found, classes=["cat", "dog"], image_size=SIZE).problem
    assert objects(found, classes=["background", "cat", "dog"])[0]["label"] == "dog"


def test_an_index_of_the_number_of_classes_asks_whether_they_begin_with_one() -> None:
    error = rejection({"predictions": [2]}, classes=["cat", "dog"])
    assert error.problem == "class index 2 of 2 classes: does the model count from 1?"
    assert error.fix == "set first_class: 1, or complete classes"


def test_the_order_of_corners_is_asked_for_where_two_conventions_share_a_key() -> None:
    row = {"detection_boxes": [[0.1, 0.2, 0.3, 0.5]], "detection_classes": [1], "detection_scores": [0.9]}
    payload = {"predictions": [row]}
    assert rejection(payload, classes={1: "cat"}).fix == "set box_order: yxyx or xyxy"
    assert objects(payload, classes={1: "cat"}, box_order="xyxy")[0]["box"] == [0.1, 0.2, 0.3, 0.5]
    assert objects(payload, classes={1: "cat"}, box_order="yxyx")[0]["box"] == [0.2, 0.1, 0.5, 0.3]


@pytest.mark.parametrize("payload", [{}, {"predictions": []}, {"objects": [], "took": 3}])
def test_an_empty_payload_says_that_nothing_was_found_where_the_options_say_so(payload: Any) -> None:
    assert [one.answer for one in read_payload(payload, ReadOptions(nothing_found=True)).outputs] == [Nothing()]
    assert rejection(payload)


def test_units_may_be_percent_or_thousandths() -> None:
    assert objects([box(10, 20, 30, 40)], units="percent")[0]["box"] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert objects([box(100, 200, 300, 400)], units="per_mille")[0]["box"] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_a_mask_beside_its_box_lies_within_the_box() -> None:
    row = {
        "detection_boxes": [[0.2, 0.4, 0.8, 0.8]],
        "detection_classes": [1.0],
        "detection_scores": [0.9],
        "detection_masks": [[[0.9, 0.1], [0.9, 0.1]]],
    }
    (found,) = objects({"predictions": [row]}, classes={1: "cat"})
    assert found["tool"] == "semantic"
    xs = [x for x, _ in found["rings"][0]]
    assert (min(xs), max(xs)) == pytest.approx((0.4, 0.6))


@pytest.mark.parametrize("payload", [{"vest": 1}, {"vest": 3, "ladder": 1}, [{"vest": 1}, {"ladder": 1}]])
def test_counts_are_no_probabilities(payload: Any) -> None:
    error = rejection(payload)
    assert "counts" in error.problem
    assert "logit" not in error.fix


def test_several_answers_of_a_language_model_are_answers_to_several_jobs() -> None:
    payload = {"choices": [{"message": {"content": '{"topic": "Billing", "tone": "Angry"}'}}]}
    answer = read_payload(payload).outputs[0].answer
    assert isinstance(answer, Several)
    assert list(answer.answers) == ["topic", "tone"]
    (one,) = read_payload(payload, ReadOptions(job="TOPIC", strings="label")).outputs
    assert (one.answer.scores[0].label, one.evidence) == ("Billing", {"ignored": ["tone"]})


def test_names_beside_a_chosen_list_of_scores_are_not_passed_over() -> None:
    row = {"kinds": ["vest", "crate"], "weights": [0.9, 0.1]}
    error = rejection({"predictions": [row]}, field="weights", classes=["crate", "vest"])
    assert "kinds" in error.problem


def test_what_is_not_used_is_told() -> None:
    (output,) = read_payload([{"label": "cat", "score": 0.9, "id": 7, "rank": None}]).outputs
    assert output.evidence == {"ignored": ["id"]}


@pytest.mark.parametrize(("word", "start"), [("Port Aldine", 34), ("▁Port", 34)])
def test_the_space_before_a_word_is_no_part_of_an_entity(word: str, start: int) -> None:
    text = "Marlow Freight opened a depot near Port Aldine in May."
    span = {"entity_group": "LOC", "score": 0.9, "word": word, "start": start, "end": start + len(word.lstrip("▁")) + 1}
    (output,) = read_payload([span], ReadOptions(text=text)).outputs
    assert (output.answer.entities[0].begin, output.answer.entities[0].text) == (35, word.lstrip("▁"))


@pytest.mark.parametrize(
    ("payload", "problem", "never"),
    [
        ([{"label": "vest", "score": 2}], "counts", "logit"),
        ([{"label": "vest", "score": 93.5}], "is not a probability", "counts"),
        ([[80.0, 60.0, 240.0, 300.0, 0.87, 5.0]], "looks like a box", "logit"),
        ([[0.5, 0.5, 0.2, 0.4, 0.87, 1.0]], "looks like a box", "logit"),
        ({"predictions": [[[80.0, 60.0, 240.0, 300.0, 0.9, 0.0]]]}, "look like boxes", "logit"),
        ({"predictions": [[[1.0, 2.0]] * 8]}, "before NMS", "one list of scores"),
        ({"predictions": [{"dets": [[1.0, 2.0, 3.0, 4.0, 0.9]], "labels": [1]}]}, "dets", "field"),
    ],
)
def test_numbers_that_are_no_scores_are_called_what_they_seem_to_be(payload: Any, problem: str, never: str) -> None:
    error = rejection(payload, classes=["a", "b", "c", "d", "e", "f"])
    assert problem in f"{error.field} {error.problem}"
    assert never not in str(error)


def test_the_name_of_the_only_column_is_completed_by_the_project() -> None:
    payload = {"data": {"names": ["defect"], "ndarray": [[0.01]]}}
    (output,) = read_payload(payload, ReadOptions(exclusive=False)).outputs
    assert [(one.label, one.score) for one in output.answer.scores] == [("defect", 0.01)]
