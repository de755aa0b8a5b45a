"""TensorFlow Object Detection API outputs, as TensorFlow Serving and Triton return them per image.

Boxes are relative, as [ymin, xmin, ymax, xmax]; the lists are padded, ``num_detections`` tells how many count.
Source: tensorflow/models, research/object_detection/exporter_lib_v2.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import Path, array, fail, integer, same_length
from worker.formats.classes import name_of
from worker.formats.coordinates import canvas_for, numbers
from worker.formats.options import ReadOptions
from worker.formats.output import DetectedObject, Detection, ModelOutput
from worker.formats.scores import probability
from worker.formats.structure import LIST, Keys

KEYS = Keys({"detection_boxes": LIST, "detection_classes": LIST, "detection_scores": LIST}, open=True)


def read_image(row: Mapping[str, Any], options: ReadOptions, at: Path) -> ModelOutput:
    """Read one image's detections."""
    columns = {key: array(row[key], *at, key) for key in KEYS.required}
    count = _count(row, same_length(columns, at), at)
    canvas = canvas_for(options, (*at, "detection_boxes"), default="relative")
    objects = []
    for i in range(count):
        label = integer(columns["detection_classes"][i], *at, "detection_classes", i)
        place = (*at, "detection_boxes", i)
        top, left, bottom, right = numbers(columns["detection_boxes"][i], 4, place)
        name = name_of(label, options, (*at, "detection_classes", i))
        score = probability(columns["detection_scores"][i], options, (*at, "detection_scores", i))
        objects.append(DetectedObject(name, canvas.box(left, top, right, bottom, place), score))
    return options.output(Detection(tuple(objects)))


def _count(row: Mapping[str, Any], available: int, at: Path) -> int:
    if "num_detections" not in row:
        return available
    value = row["num_detections"]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    count = integer(value, *at, "num_detections")
    if not 0 <= count <= available:
        fail((*at, "num_detections"), f"{count} detections, but {available} boxes")
    return count
