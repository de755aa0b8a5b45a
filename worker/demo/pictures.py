"""Small grey images as PNG files, with the standard library alone."""

from __future__ import annotations

import struct
import zlib

FULL_INK = 16
SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREYSCALE_8_BIT = bytes((8, 0, 0, 0, 0))
"""Bit depth, colour type, compression, filter and interlace method of the header chunk."""


def png(image: bytes, *, width: int = 8, scale: int = 16) -> bytes:
    """Draw an image as PNG, dark ink on white paper, each pixel as a square of ``scale`` by ``scale``.

    ``image`` has one byte per pixel, row by row, from 0 (paper) to 16 (full ink). The format is that of ISO/IEC 15948.
    Raises ValueError for an ink value above 16 or an image that is not made of full rows.
    """
    if not image or len(image) % width or max(image) > FULL_INK:
        raise ValueError(f"image must be full rows of {width} bytes from 0 to {FULL_INK}")
    rows = [image[start : start + width] for start in range(0, len(image), width)]
    lines = b"".join(_line(row, scale) * scale for row in rows)
    header = struct.pack(">II", width * scale, len(rows) * scale) + GREYSCALE_8_BIT
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _line(row: bytes, scale: int) -> bytes:
    """One line of pixels, after the byte that says that no filter is applied."""
    return b"\0" + b"".join(bytes([255 - ink * 255 // FULL_INK]) * scale for ink in row)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
