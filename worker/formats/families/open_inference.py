"""Open Inference Protocol v2: KServe, Triton, MLServer, Seldon v2, TorchServe on KServe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.answer_text import looks_like_json, parse_json
from worker.formats.checks import ROOT, Path, mapping
from worker.formats.families.rows import as_indices, read_row, rows_of_columns
from worker.formats.families.tensors import BINARY, KEYS, Tensor, outputs_of, read_tensors, response_evidence
from worker.formats.families.triton import is_classification
from worker.formats.meaning import unused_keys, with_evidence, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.structure import Family, Match, Miss, refuse_foreign


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per row of the first axis; several tensors are read side by side."""
    response = mapping(payload, *at)
    refuse_foreign(response, ("outputs", "parameters"), at)
    tensors = read_tensors(response, options, at)
    rows, place = _rows(tensors, options, at)
    evidence = response_evidence(response)
    ignored = unused_keys([response], _KNOWN)
    ignored += _others(response, tensors)
    outputs = [with_evidence(read_row(row, options.of_item(i), (*place, i)), evidence) for i, row in enumerate(rows)]
    return tuple([with_ignored(output, ignored) for output in outputs])


_KNOWN = ("outputs", "parameters", "id", "model_name", "model_version")


def _rows(tensors: tuple[Tensor, ...], options: ReadOptions, at: Path) -> tuple[list[Any], Path]:
    if len(tensors) > 1:
        columns = {tensor.name: tensor.rows for tensor in tensors}
        if _is_one_image(tensors):
            return [columns], (*at, "outputs")
        return rows_of_columns(columns, at), (*at, "outputs")
    rows, place = tensors[0].rows, (*tensors[0].at, "data")
    together = _one_item(rows, options, place)
    return ([together], place) if together is not None else (as_indices(rows), place)


def _is_one_image(tensors: tuple[Tensor, ...]) -> bool:
    """Whether the first axis is that of the objects: boxes [N, 4] beside scores [N], without an axis for the batch."""
    sides = {tensor.name: tensor.shape for tensor in tensors if not tensor.name.startswith("num_")}
    boxes = [shape for name, shape in sides.items() if name.endswith("boxes")]
    scores = [shape for name, shape in sides.items() if name.endswith("scores")]
    if len(boxes) != 1 or len(scores) != 1:
        return False
    return len(boxes[0]) == 2 and boxes[0][1] == 4 and len(scores[0]) == 1 and boxes[0][0] == scores[0][0]


def _one_item(rows: list[Any], options: ReadOptions, at: Path) -> list[Any] | None:
    """Objects of class and score as texts, more of them than there are assets: the best classes of the only one."""
    if options.external_ids is None or len(options.external_ids) != 1 or len(rows) < 2:
        return None
    texts = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
    if not all(isinstance(text, str) and looks_like_json(text) for text in texts):
        return None
    return [parse_json(text, (*at, i)) for i, text in enumerate(texts)]


def _others(response: Mapping[str, Any], tensors: tuple[Tensor, ...]) -> list[str]:
    """Names of the tensors that were not chosen."""
    names = [tensor.name for tensor in tensors]
    return [str(output["name"]) for output in response["outputs"] if output["name"] not in names]


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
    needs=(("outputs",),),
    read=read,
    options=("classes", "score_kind", "exclusive", "field", "strings", "image_size", "units", "text"),
    limits=(
        "The first axis is the batch. Data may be flat or nested and must agree with the shape. With several "
        "tensors that are not understood together, `field` names one. Binary tensors are not JSON and are refused."
    ),
    sources=("https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md",),
)
