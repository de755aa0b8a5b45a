"""Coordinates: the unit is known or asked for, and nothing outside the image gets in."""

from __future__ import annotations

from typing import Any

import pytest
from format_cases import plain

from worker.formats import OutputError, ReadOptions, read_payload

SIZE = (100, 50)


def hf(x1: float, y1: float, x2: float, y2: float) -> list[dict[str, Any]]:
    return [{"label": "cat", "score": 0.9, "box": {"xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2}}]


def yolo(**item: Any) -> list[dict[str, Any]]:
    return [{"name": "cat", "class": 0, "confidence": 0.9, **item}]


def box_of(payload: Any, **options: Any) -> list[float]:
    (output,) = read_payload(payload, ReadOptions(**options)).outputs
    return plain(output)["objects"][0]["box"]


def rejection(payload: Any, **options: Any) -> OutputError:
    with pytest.raises(OutputError) as caught:
        read_payload(payload, ReadOptions(**options))
    return caught.value


@pytest.mark.parametrize(
    "payload",
    [
        hf(1, 2, 3, 4),
        yolo(box={"x1": 1, "y1": 2, "x2": 3, "y2": 4}),
        [{"cat": [1, 2, 3, 4], "score": 0.9}],
        {"boxes": [[1, 2, 3, 4]], "labels": [0], "scores": [0.9]},
        [{"image_id": 1, "category_id": 0, "bbox": [1, 2, 3, 4], "score": 0.9}],
    ],
)
def test_pixels_need_an_image_size(payload: Any) -> None:
    error = rejection(payload, classes={"0": "cat"})
    assert error.problem == "coordinates in pixels need the image's size"
    assert error.fix == "set image_size: [width, height]"


def test_relative_units_can_be_declared_for_any_box_format() -> None:
    assert box_of(hf(0.1, 0.2, 0.3, 0.4), units="relative") == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("options", [{}, {"image_size": SIZE}])
def test_coordinates_that_may_be_relative_or_pixels_are_not_guessed(options: dict[str, Any]) -> None:
    error = rejection(yolo(box={"x1": 0.1, "y1": 0.2, "x2": 0.3, "y2": 0.4}), **options)
    assert error.problem == "coordinates up to 1 may be relative or pixels"
    assert "units" in error.fix


@pytest.mark.parametrize(
    "payload",
    [
        hf(0.1, 0.2, 0.3, 0.4),
        [{"cat": [0.1, 0.2, 0.3, 0.4], "score": 0.9}],
        {"boxes": [[0.1, 0.2, 0.3, 0.4]], "labels": [0], "scores": [0.9]},
        [{"image_id": 1, "category_id": 0, "bbox": [0.1, 0.2, 0.2, 0.2], "score": 0.9}],
    ],
)
def test_a_box_within_one_pixel_is_taken_for_pixels_only_when_told(payload: Any) -> None:
    options = {"classes": {"0": "cat"}, "image_size": SIZE}
    error = rejection(payload, **options)
    assert "may be relative or within one pixel" in error.problem
    assert error.fix == "set units: relative (or pixel)"
    assert box_of(payload, **options, units="pixel") == pytest.approx([0.001, 0.004, 0.003, 0.008])
    assert box_of(payload, **options, units="relative") == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_declared_pixels_below_one_are_pixels() -> None:
    found = box_of(yolo(box={"x1": 0.1, "y1": 0.2, "x2": 0.5, "y2": 1.0}), image_size=SIZE, units="pixel")
    assert found == pytest.approx([0.001, 0.004, 0.005, 0.02])


@pytest.mark.parametrize(("right", "fits"), [(100, True), (101, True), (105, True), (105.01, False), (640, False)])
def test_a_box_may_overhang_by_five_pixels_and_is_clipped(right: float, fits: bool) -> None:
    if fits:
        assert box_of(hf(10, 10, right, 20), image_size=SIZE)[2] == 1.0
    else:
        error = rejection(hf(10, 10, right, 20), image_size=SIZE)
        assert error.field == "payload[0].box"
        assert "lies outside the image, which is 100 wide" in error.problem


def test_a_box_above_or_left_of_the_image_is_refused() -> None:
    assert "y = -6.0 lies outside" in rejection(hf(1, -6, 3, 4), image_size=SIZE).problem
    assert box_of(hf(-1, -1, 3, 4), image_size=SIZE)[:2] == [0.0, 0.0]


@pytest.mark.parametrize(("low", "high", "fits"), [(-0.04, 0.5, True), (-0.06, 0.5, False)])
def test_relative_overhang_is_five_pixels_where_the_size_is_known(low: float, high: float, fits: bool) -> None:
    payload = yolo(box={"x1": low, "y1": 0.1, "x2": high, "y2": 0.2})
    if fits:
        assert box_of(payload, units="relative", image_size=SIZE)[0] == 0.0
    else:
        assert "outside the image" in rejection(payload, units="relative", image_size=SIZE).problem


@pytest.mark.parametrize("corners", [(3, 2, 1, 4), (1, 4, 3, 2), (1, 2, 1, 4)])
def test_a_box_without_area_is_refused(corners: tuple[float, ...]) -> None:
    assert "has no area" in rejection(hf(*corners), image_size=SIZE).problem


def test_a_box_of_which_nothing_is_left_after_clipping_is_refused() -> None:
    assert "very edge" in rejection(hf(100.2, 10, 100.9, 20), image_size=SIZE).problem


def test_a_class_index_without_a_name_is_refused() -> None:
    error = rejection({"boxes": [[1, 2, 3, 4]], "labels": [3], "scores": [0.9]}, classes=["a", "b"], image_size=SIZE)
    assert (error.field, error.problem) == ("payload.labels[0]", "class index 3 has no name: classes has 2")


def test_category_ids_are_not_positions() -> None:
    payload = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}]
    assert "mapping from id to name" in rejection(payload, classes=["a", "b"], image_size=SIZE).fix


@pytest.mark.parametrize(
    ("payload", "field", "problem"),
    [
        (yolo(box={"x1": 1, "y1": 2, "x2": 30}), "payload[0].box.y2", "missing"),
        (yolo(box={"x1": "1", "y1": 2, "x2": 30, "y2": 9}), "payload[0].box.x1", "not a number"),
        (
            yolo(box={"x1": 1, "y1": 2, "x2": 3, "y2": 4}, segments={"x": [1, 2], "y": [1, 2]}),
            "payload[0].segments",
            "a polygon of 2 points",
        ),
        (
            yolo(box={"x1": 1, "y1": 2, "x2": 3, "y2": 4}, segments={"x": [1, 2], "y": [1]}),
            "payload[0].segments",
            "different length",
        ),
        (
            yolo(box={"x1": 1, "y1": 2, "x2": 3, "y2": 4}, keypoints={"x": [1], "y": [1]}),
            "payload[0].keypoints",
            "1 points without names",
        ),
        ([{"cat": [1, 2, 3], "score": 0.9}], "payload[0].cat", "3 numbers where 4 are needed"),
        ({"boxes": [[1, 2, 3, 4]], "labels": [], "scores": [0.9]}, "payload", "labels has 0"),
    ],
)
def test_a_broken_geometry_names_its_field(payload: Any, field: str, problem: str) -> None:
    error = rejection(payload, image_size=SIZE, classes=["cat"])
    assert error.field == field
    assert problem in error.problem


def test_every_point_of_a_pose_needs_a_name() -> None:
    payload = yolo(box={"x1": 1, "y1": 2, "x2": 3, "y2": 4}, keypoints={"x": [1, 2], "y": [1, 2]})
    assert "2 points for 1 names" in rejection(payload, image_size=SIZE, point_names=["NOSE"]).problem


def test_a_closed_polygon_loses_its_repeated_point() -> None:
    item = {"image_id": 1, "category_id": 0, "score": 0.5, "segmentation": [[0, 0, 10, 0, 10, 10, 0, 0]]}
    (output,) = read_payload([item], ReadOptions(classes={"0": "a"}, image_size=(10, 10))).outputs
    assert output.answer.objects[0].shape.rings == (((0, 0), (1, 0), (1, 1)),)


def test_label_studio_percent_needs_no_size_but_keeps_to_the_image() -> None:
    value = {"x": 90, "y": 10, "width": 13, "height": 10, "rectanglelabels": ["a"]}
    result = {"type": "rectanglelabels", "from_name": "t", "to_name": "i", "value": value}
    assert "lies outside the image, which is 100 wide" in rejection({"result": [result]}).problem
    small = {**result, "original_width": 50, "original_height": 50}
    assert box_of({"result": [small]})[2] == 1.0
