"""Hugging Face image segmentation: ``[{"label", "score", "mask": <base64 PNG>}]``."""

from __future__ import annotations

from worker.formats.checks import Path, member
from worker.formats.classes import label_of
from worker.formats.families.items import Row, row_reader
from worker.formats.masks import shape_of_png
from worker.formats.options import ReadOptions
from worker.formats.output import DetectedObject, Detection, ModelOutput
from worker.formats.scores import probability
from worker.formats.structure import LABEL, NUMBER_OR_NULL, TEXT, Family, Keys, detect_items, near_items

_KEYS = Keys({"label": LABEL, "mask": TEXT}, {"score": NUMBER_OR_NULL})


def _read_row(row: Row, options: ReadOptions, _at: Path) -> ModelOutput:
    objects: list[DetectedObject] = []
    for item, place in row:
        shape = shape_of_png(member(item, "mask", place), (*place, "mask"))
        label = label_of(member(item, "label", place), options, (*place, "label"))
        score = probability(item.get("score"), options, (*place, "score"))
        if shape is not None:
            objects.append(DetectedObject(label, shape, score))
    empty = len(row) - len(objects)
    return options.output(Detection(tuple(objects)), evidence={"empty_masks": empty} if empty else None)


FAMILY = Family(
    name="hf-segmentation",
    title="Hugging Face image segmentation",
    rule="a list (per image) of objects with `label`, `mask` and perhaps `score`",
    detect=detect_items(_KEYS, "objects with label and mask", empty="no segments found"),
    near=near_items(_KEYS),
    read=row_reader(_read_row),
    options=("classes",),
    limits=(
        "Masks are grayscale PNG in base64, 16 megapixels at most; 128 and lighter is inside. Outlines are "
        "simplified by at most 1 pixel. A mask without a pixel is left out and counted in the evidence."
    ),
    sources=("https://huggingface.co/docs/inference-providers/tasks/image-segmentation",),
)
