"""Hugging Face text, image and audio classification: ``[{"label": …, "score": …}]``."""

from __future__ import annotations

from worker.contract.output import ModelOutput
from worker.formats.checks import Path, member
from worker.formats.families.items import Row, row_reader
from worker.formats.options import ReadOptions
from worker.formats.scores import label_of, label_scores
from worker.formats.structure import LABEL, NUMBER, Family, Keys, detect_items, near_items, needed

_KEYS = Keys({"label": LABEL, "score": NUMBER})


def read_row(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    """Read the class scores of one item."""
    labels = [label_of(member(item, "label", place), options, (*place, "label")) for item, place in row]
    scores = [member(item, "score", place) for item, place in row]
    return options.output(label_scores(labels, scores, options, at, lambda i: (*row[i][1], "score")))


FAMILY = Family(
    name="hf-classification",
    title="Hugging Face text, image and audio classification",
    rule="a list (per item) of objects with `label` and `score` and no geometry",
    detect=detect_items(_KEYS, "objects with label and score"),
    near=near_items(_KEYS),
    needs=needed(_KEYS),
    read=row_reader(read_row, _KEYS),
    options=("classes", "score_kind", "exclusive"),
    limits=(
        "A flat list is one item with several classes; send a batch as a list of lists. "
        "Unnamed labels (LABEL_0) are named by `classes`."
    ),
    sources=("https://huggingface.co/docs/inference-providers/tasks/text-classification",),
)
