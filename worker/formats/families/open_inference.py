"""Open Inference Protocol v2: KServe, Triton, MLServer, Seldon v2, TorchServe on KServe.

Its gRPC messages come as JSON too, with ``contents`` for ``data``, as Seldon Core 2 writes them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import (
    ROOT,
    Path,
    array,
    decode_base64,
    fail,
    integer,
    looks_like_json,
    mapping,
    member,
    parse_json,
)
from worker.formats.families.rows import as_indices, read_row, rows_of_columns
from worker.formats.families.tensors import (
    BINARY,
    KEYS,
    Tensor,
    is_classification,
    outputs_of,
    read_tensors,
    response_evidence,
)
from worker.formats.meaning import unused_keys, with_evidence, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.structure import Envelope, Family, Keys, Match, Miss, Unwrapped, ValueKind, needed, refuse_foreign


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


_CONTENTS = ("boolContents", "intContents", "int64Contents", "uintContents", "uint64Contents")
_FLOATS = ("fp32Contents", "fp64Contents")
_BYTES = "bytesContents"
_RAW: Mapping[str, str] = {
    "BOOL": "?",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}

_TENSOR = ValueKind(
    "a tensor", lambda value: isinstance(value, Mapping) and "data" not in value and "datatype" in value
)
_LISTED = ValueKind(
    "a list of tensors without data",
    lambda value: isinstance(value, list) and bool(value) and all(map(_TENSOR.test, value)),
)
_KEYS = Keys({"outputs": _LISTED}, open=True)


def unwrap_grpc(payload: Any, at: Path = ROOT) -> Unwrapped:
    """Return the same response in the protocol's REST form; paths stay those of the message."""
    response = mapping(payload, *at)
    raw = response.get("rawOutputContents") or response.get("raw_output_contents") or []
    outputs = [
        _tensor(mapping(tensor, *at, "outputs", i), raw[i] if i < len(raw) else None, (*at, "outputs", i))
        for i, tensor in enumerate(array(response["outputs"], *at, "outputs"))
    ]
    rest = {"model_name": "modelName", "model_version": "modelVersion", "id": "id"}
    kept = {name: response.get(key, response.get(name)) for name, key in rest.items()}
    return Unwrapped({**{name: value for name, value in kept.items() if value}, "outputs": outputs}, at)


def _tensor(tensor: Mapping[str, Any], raw: Any, at: Path) -> dict[str, Any]:
    shape = [_whole(side, (*at, "shape", i)) for i, side in enumerate(array(member(tensor, "shape", at), *at, "shape"))]
    datatype = member(tensor, "datatype", at)
    data = _unpacked(raw, str(datatype), at) if raw is not None else _data(tensor, at)
    return {"name": tensor.get("name", ""), "datatype": datatype, "shape": shape, "data": data}


def _whole(value: Any, at: Path) -> int:
    """A whole number; protobuf's JSON writes 64-bit ones as texts."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else integer(value, *at)


def _data(tensor: Mapping[str, Any], at: Path) -> list[Any]:
    contents, at = mapping(tensor.get("contents") or {}, *at, "contents"), (*at, "contents")
    plain = {_camel(key): value for key, value in contents.items()}
    for key in _FLOATS:
        if key in plain:
            return array(plain[key], *at, key)
    for key in _CONTENTS:
        if key in plain:
            return [_integer_of(value, (*at, key, i)) for i, value in enumerate(array(plain[key], *at, key))]
    if _BYTES in plain:
        return [_text(value, (*at, _BYTES, i)) for i, value in enumerate(array(plain[_BYTES], *at, _BYTES))]
    if contents:
        fail(at, f"holds none of {', '.join((*_FLOATS, *_CONTENTS, _BYTES))}")
    return []


def _camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _integer_of(value: Any, at: Path) -> Any:
    if isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else integer(value, *at)


def _text(value: Any, at: Path) -> str:
    try:
        return decode_base64(value, at).decode("utf-8")
    except UnicodeDecodeError:
        fail(at, "the decoded bytes are not UTF-8 text")


def _unpacked(value: Any, datatype: str, at: Path) -> list[Any]:
    """Little-endian values in base64; texts are preceded by their length in four bytes."""
    data = decode_base64(value, (*at, "rawOutputContents"))
    try:
        if datatype == "BYTES":
            return _texts(data)
        code = _RAW[datatype]
        return list(struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data))
    except (struct.error, KeyError, UnicodeDecodeError):
        fail((*at, "datatype"), f"raw contents do not hold values of {datatype[:20]!r}")


def _texts(data: bytes) -> list[str]:
    texts, place = [], 0
    while place < len(data):
        (length,) = struct.unpack_from("<I", data, place)
        texts.append(data[place + 4 : place + 4 + length].decode("utf-8"))
        place += 4 + length
    return texts


def _detect_grpc(payload: Any) -> Match | None:
    if not _KEYS.fits(payload):
        return None
    raw = payload.get("rawOutputContents") or payload.get("raw_output_contents")
    if raw or all("contents" in tensor for tensor in payload["outputs"]):
        return Match("a gRPC response whose tensors have contents")
    return None


GRPC = Envelope(
    name="open-inference-grpc",
    title="Open Inference Protocol, gRPC messages as JSON (Seldon Core 2, KServe)",
    rule="an object whose `outputs` have `contents` instead of `data`, or with `rawOutputContents`",
    detect=_detect_grpc,
    needs=needed(_KEYS),
    unwrap=unwrap_grpc,
    limits="What is inside is read as `open-inference` or `triton-classification`.",
    sources=(
        "https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto",
    ),
)
