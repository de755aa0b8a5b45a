"""Hugging Face image segmentation: ``[{"label", "score", "mask": <base64 PNG>}]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import DetectedObject, Detection, ModelOutput
from worker.formats.checks import Path, member
from worker.formats.families.items import Row, row_reader
from worker.formats.masks import shape_of_png
from worker.formats.options import ReadOptions
from worker.formats.scores import label_of, probability
from worker.formats.selection import LeftOut, keep
from worker.formats.structure import LABEL, NUMBER_OR_NULL, OBJECT, TEXT, Family, Keys, detect_items, near_items, needed

_KEYS = Keys({"label": LABEL, "mask": TEXT}, {"score": NUMBER_OR_NULL, "box": OBJECT})
_USED = frozenset(("label", "mask", "score"))


def _read_row(row: Row, options: ReadOptions, _at: Path) -> ModelOutput:
    kept = keep(row, lambda one: _object(*one, options), options)
    return options.output(Detection(tuple(kept.found)), evidence=kept.evidence())


def _object(item: Mapping[str, Any], at: Path, options: ReadOptions) -> DetectedObject:
    label = label_of(member(item, "label", at), options, (*at, "label"))
    score = probability(item.get("score"), options, (*at, "score"))
    shape = shape_of_png(member(item, "mask", at), (*at, "mask"))
    if shape is None:
        raise LeftOut("empty_masks")
    return DetectedObject(label, shape, score)


FAMILY = Family(
    name="hf-segmentation",
    title="Hugging Face image segmentation",
    rule="a list (per image) of objects with `label`, `mask` and perhaps `score`",
    detect=detect_items(_KEYS, "objects with label and mask"),
    near=near_items(_KEYS),
    needs=needed(_KEYS),
    read=row_reader(_read_row, _KEYS, _USED),
    options=("classes",),
    limits=(
        "Masks are grayscale PNG in base64, 16 megapixels at most; 128 and lighter is inside, in a mask of 0 and 1 "
        "alone 1. Outlines are simplified by at most 1 pixel. A mask without a pixel is left out and counted in the "
        "evidence."
    ),
    sources=("https://huggingface.co/docs/inference-providers/tasks/image-segmentation",),
)
