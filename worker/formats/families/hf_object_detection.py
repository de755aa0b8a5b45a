"""Hugging Face (zero-shot) object detection: ``[{"label", "score", "box": {"xmin", "ymin", "xmax", "ymax"}}]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import DetectedObject, Detection, ModelOutput
from worker.formats.checks import Path, member, sides
from worker.formats.coordinates import Canvas, canvas_for
from worker.formats.families.items import Row, row_reader
from worker.formats.options import ReadOptions
from worker.formats.scores import label_of, probability
from worker.formats.selection import keep
from worker.formats.structure import LABEL, NUMBER, OBJECT, Family, Keys, detect_items, near_items, needed

_KEYS = Keys({"label": LABEL, "score": NUMBER, "box": OBJECT})
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _read_row(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    if not row:
        return options.output(Detection(()))
    canvas = canvas_for(options, at)
    kept = keep(row, lambda one: _object(one[0], options, canvas, one[1]), options)
    return options.output(Detection(tuple(kept.found)), evidence=kept.evidence())


def _object(item: Mapping[str, Any], options: ReadOptions, canvas: Canvas, at: Path) -> DetectedObject:
    place = (*at, "box")
    x1, y1, x2, y2 = sides(member(item, "box", at), _SIDES, place)
    return DetectedObject(
        label_of(member(item, "label", at), options, (*at, "label")),
        canvas.box(x1, y1, x2, y2, place),
        probability(item.get("score"), options, (*at, "score")),
    )


FAMILY = Family(
    name="hf-object-detection",
    title="Hugging Face object detection and zero-shot object detection",
    rule="a list (per image) of objects with `label`, `score` and a `box` object",
    detect=detect_items(_KEYS, "objects with label, score and box"),
    near=near_items(_KEYS),
    needs=needed(_KEYS),
    read=row_reader(_read_row, _KEYS),
    options=("image_size", "units", "classes"),
    limits="Boxes are in pixels unless `units` says otherwise.",
    sources=("https://huggingface.co/docs/inference-providers/tasks/object-detection",),
)
