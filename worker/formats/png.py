"""Decode a grayscale PNG, the shape in which segmentation masks travel.

Own code rather than an imaging library: masks need one colour type of one container format, and everything
else (lossless rows, zlib) is in the standard library, so the core install stays free of native packages.
Reference: W3C, Portable Network Graphics (PNG) Specification, third edition, chapters 5, 7, 9 and 10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from worker.formats.checks import Path, fail

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 16_777_216
"""Largest mask that is decoded (4096 by 4096): a small file can claim a huge image."""


@dataclass(frozen=True, slots=True)
class Gray:
    """A grayscale image: one byte per pixel in rows from the top, 0 black to 255 white."""

    width: int
    height: int
    rows: tuple[bytes, ...]


def decode_gray(data: bytes, at: Path) -> Gray:
    """Decode a grayscale PNG of 1, 2, 4, 8 or 16 bits, not interlaced.

    Raises OutputError for any other PNG, a damaged file, or more than MAX_PIXELS pixels.
    """
    if not data.startswith(SIGNATURE):
        fail(at, "the mask is not a PNG file")
    header, body = b"", []
    for kind, content in _chunks(data, at):
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            body.append(content)
    width, height, depth = _read_header(header, at)
    stride = (width * depth + 7) // 8
    raw = _inflate(b"".join(body), height * (stride + 1), at)
    lines = _unfilter(raw, height, stride, 2 if depth == 16 else 1, at)
    return Gray(width, height, tuple(_widen(line, width, depth) for line in lines))


def _chunks(data: bytes, at: Path) -> Iterator[tuple[bytes, bytes]]:
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        kind, content = data[position + 4 : position + 8], data[position + 8 : end]
        if zlib.crc32(data[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            fail(at, f"damaged PNG: checksum of chunk {kind!r}")
        yield kind, content
        if kind == b"IEND":
            return
        position = end + 4
    fail(at, "truncated PNG")


def _read_header(header: bytes, at: Path) -> tuple[int, int, int]:
    if len(header) != 13:
        fail(at, "damaged PNG: no header")
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    if colour != 0 or depth not in (1, 2, 4, 8, 16) or interlace != 0:
        fail(at, "the mask must be a grayscale PNG without interlacing", "save it in mode L (or 1)")
    if not 0 < width * height <= MAX_PIXELS:
        fail(at, f"a mask of {width} by {height} pixels", f"send at most {MAX_PIXELS:,} pixels")
    return width, height, depth


def _inflate(data: bytes, size: int, at: Path) -> bytes:
    try:
        raw = zlib.decompressobj().decompress(data, size)
    except zlib.error as error:
        fail(at, f"damaged PNG: {error}")
    if len(raw) < size:
        fail(at, "truncated PNG: pixels are missing")
    return raw


def _unfilter(raw: bytes, height: int, stride: int, step: int, at: Path) -> Iterator[bytes]:
    above = bytes(stride)
    for start in range(0, height * (stride + 1), stride + 1):
        kind, line = raw[start], raw[start + 1 : start + 1 + stride]
        if kind > 4:
            fail(at, f"damaged PNG: filter {kind}")
        above = _FILTERS[kind](line, above, step)
        yield above


def _as_is(line: bytes, _above: bytes, _step: int) -> bytes:
    return line


def _add_left(line: bytes, _above: bytes, step: int) -> bytes:
    out = bytearray(line)
    for offset in range(step):
        out[offset::step] = bytes([total & 255 for total in accumulate(line[offset::step])])
    return bytes(out)


def _add_above(line: bytes, above: bytes, _step: int) -> bytes:
    if not any(line):
        return above
    return bytes([(a + b) & 255 for a, b in zip(line, above, strict=True)])


def _add_average(line: bytes, above: bytes, step: int) -> bytes:
    out = bytearray(line)
    for i, up in enumerate(above):
        left = out[i - step] if i >= step else 0
        out[i] = (out[i] + (left + up) // 2) & 255
    return bytes(out)


def _add_paeth(line: bytes, above: bytes, step: int) -> bytes:
    out = bytearray(line)
    for i, up in enumerate(above):
        left, corner = (out[i - step], above[i - step]) if i >= step else (0, 0)
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        up_or_corner = up if to_up <= to_corner else corner
        out[i] = (out[i] + (left if to_left <= min(to_up, to_corner) else up_or_corner)) & 255
    return bytes(out)


_FILTERS = (_as_is, _add_left, _add_above, _add_average, _add_paeth)


def _widen(line: bytes, width: int, depth: int) -> bytes:
    if depth == 8:
        return line
    if depth == 16:
        return line[::2]
    per_byte, top = 8 // depth, (1 << depth) - 1
    shifts = [8 - depth * (k + 1) for k in range(per_byte)]
    return bytes([(byte >> shift & top) * 255 // top for byte in line for shift in shifts][:width])
