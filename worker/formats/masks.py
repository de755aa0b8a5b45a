"""From a mask, in any of the encodings that models send, to a shape with outlines and holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.formats.checks import Path, array, fail, number
from worker.formats.contours import trace
from worker.formats.json_text import decode_base64
from worker.formats.output import Shape
from worker.formats.png import MAX_PIXELS, decode_gray
from worker.formats.rle import decode_rle

_INSIDE_FROM_GRAY = bytes(1 if level >= 128 else 0 for level in range(256))


def shape_of_png(value: Any, at: Path) -> Shape | None:
    """Outline a grayscale PNG in base64: pixels of 128 and lighter are inside. None when no pixel is."""
    image = decode_gray(decode_base64(value, at), at)
    rows = [row.translate(_INSIDE_FROM_GRAY) for row in image.rows]
    return _shape(rows, image.width, image.height, at)


def shape_of_rle(value: Any, at: Path) -> Shape | None:
    """Outline a COCO run-length mask. None when no pixel is inside."""
    width, height, rows = decode_rle(value, at)
    return _shape(rows, width, height, at)


def shape_of_grid(value: Any, at: Path) -> Shape | None:
    """Outline a nested list of rows of values from 0 to 1: above 0.5 is inside. None when no pixel is."""
    lines = [array(line, *at, y) for y, line in enumerate(array(value, *at))]
    width = len(lines[0]) if lines else 0
    if not width or any(len(line) != width for line in lines):
        fail(at, "the mask's rows differ in length, or there are none")
    if width * len(lines) > MAX_PIXELS:
        fail(at, f"a mask of {width} by {len(lines)} pixels", f"send at most {MAX_PIXELS:,} pixels")
    rows = [_threshold(line, (*at, y)) for y, line in enumerate(lines)]
    return _shape(rows, width, len(lines), at)


def _threshold(line: Sequence[Any], at: Path) -> bytes:
    return bytes([number(value, *at, x) > 0.5 for x, value in enumerate(line)])


def _shape(rows: Sequence[bytes], width: int, height: int, at: Path) -> Shape | None:
    rings = trace(rows, width, at)
    if not rings:
        return None
    return Shape("semantic", tuple(tuple((x / width, y / height) for x, y in ring) for ring in rings))


def placed(shape: Shape, box: Shape) -> Shape:
    """Move a shape that was drawn within a box to where the box lies in the image."""
    (left, top), (right, _), (_, bottom), _ = box.rings[0]
    rings = tuple(tuple((left + x * (right - left), top + y * (bottom - top)) for x, y in ring) for ring in shape.rings)
    return Shape(shape.tool, rings)
