"""Open Inference Protocol v2: KServe, Triton, MLServer, Seldon v2, TorchServe on KServe."""

from __future__ import annotations

from typing import Any

from worker.formats.checks import ROOT, Path, mapping
from worker.formats.evidence import with_evidence
from worker.formats.families.rows import read_row, rows_of_columns
from worker.formats.families.tensors import BINARY, KEYS, outputs_of, read_tensors, response_evidence
from worker.formats.families.triton import is_classification
from worker.formats.options import ReadOptions
from worker.formats.output import ModelOutput
from worker.formats.structure import Family, Match, Miss


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per row of the first axis; several tensors are read side by side."""
    response = mapping(payload, *at)
    tensors = read_tensors(response, options, at)
    if len(tensors) == 1:
        rows, place = tensors[0].rows, (*tensors[0].at, "data")
    else:
        rows, place = rows_of_columns({tensor.name: tensor.rows for tensor in tensors}, at), (*at, "outputs")
    evidence = response_evidence(response)
    return tuple(with_evidence(read_row(row, options, (*place, i)), evidence) for i, row in enumerate(rows))


def _detect(payload: Any) -> Match | None:
    outputs = outputs_of(payload)
    if outputs is None or is_classification(payload):
        return None
    if not outputs:
        return Match("an object with an empty list of outputs")
    if all(KEYS.fits(output) or BINARY.fits(output) for output in outputs):
        return Match("an object whose outputs have name, shape, datatype and data")
    return None


def _near(payload: Any) -> Miss | None:
    misses = (KEYS.miss(output, (*ROOT, "outputs", i)) for i, output in enumerate(outputs_of(payload) or []))
    return next((miss for miss in misses if miss), None)


FAMILY = Family(
    name="open-inference",
    title="Open Inference Protocol v2: KServe, Triton, MLServer, Seldon",
    rule="an object whose `outputs` is a list of objects with `name`, `shape`, `datatype` and `data`",
    detect=_detect,
    near=_near,
    read=read,
    options=("classes", "score_kind", "exclusive", "field", "strings", "image_size", "units", "text"),
    limits=(
        "The first axis is the batch. Data may be flat or nested and must agree with the shape. With several "
        "tensors that are not understood together, `field` names one. Binary tensors are not JSON and are refused."
    ),
    sources=("https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md",),
)
