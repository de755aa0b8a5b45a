"""The Open Inference Protocol's gRPC messages as JSON, as Seldon Core 2 writes them: ``contents`` for ``data``."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from worker.formats.answer_text import decode_base64
from worker.formats.checks import ROOT, Path, array, fail, integer, mapping, member
from worker.formats.structure import Envelope, Keys, Match, Miss, Unwrapped, ValueKind, needed

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


def unwrap(payload: Any, at: Path = ROOT) -> Unwrapped:
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


def _detect(payload: Any) -> Match | None:
    if not _KEYS.fits(payload):
        return None
    raw = payload.get("rawOutputContents") or payload.get("raw_output_contents")
    if raw or all("contents" in tensor for tensor in payload["outputs"]):
        return Match("a gRPC response whose tensors have contents")
    return None


def _near(_payload: Any) -> Miss | None:
    return None


ENVELOPE = Envelope(
    name="open-inference-grpc",
    title="Open Inference Protocol, gRPC messages as JSON (Seldon Core 2, KServe)",
    rule="an object whose `outputs` have `contents` instead of `data`, or with `rawOutputContents`",
    detect=_detect,
    near=_near,
    needs=needed(_KEYS),
    unwrap=unwrap,
    limits="What is inside is read as `open-inference` or `triton-classification`.",
    sources=(
        "https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto",
    ),
)
