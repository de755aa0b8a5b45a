"""From a mask, in any of the encodings that models send, to a shape with outlines and holes."""

from __future__ import annotations

from array import array as array_of
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from worker.contract.output import OutputError, Shape
from worker.formats.answer_text import decode_base64
from worker.formats.checks import Path, array, describe, fail, number
from worker.formats.contours import MAX_PIXELS, decode_rle, trace

if TYPE_CHECKING:
    from PIL.Image import Image

INSIDE_FROM = 128
"""Level of gray, of 0 to 255, from which a pixel is inside."""

_INSIDE = bytes(level >= INSIDE_FROM for level in range(256))
_NOT_BLACK = bytes(level > 0 for level in range(256))
_GRAY = ("1", "L", "I;16", "I;16B", "I")
_PNG = b"\x89PNG\r\n\x1a\n"


def shape_of_png(value: Any, at: Path) -> Shape | None:
    """Outline a grayscale PNG in base64: pixels of 128 and lighter are inside, of a mask of 0 and 1 alone those of 1.

    None when every pixel is 0. Raises OutputError for another file, for one that is too large or damaged, for a mask
    that has something in it and nothing that is inside, and where Pillow is not installed.
    """
    width, height, pixels, greatest = _decoded(decode_base64(value, at), at)
    if greatest == 0:
        return None
    if 1 < greatest < INSIDE_FROM:
        problem = f"no pixel of the mask reaches {INSIDE_FROM}; the lightest is {greatest}"
        fail(at, problem, "send 0 and 255 (or 0 and 1), one mask per object")
    inside = pixels.translate(_NOT_BLACK if greatest == 1 else _INSIDE)
    return _shape([inside[y * width : (y + 1) * width] for y in range(height)], width, height, at)


def _decoded(data: bytes, at: Path) -> tuple[int, int, bytes, int]:
    """Width, height, a byte per pixel and the greatest level, of 0 to 255, of a grayscale PNG."""
    if not data.startswith(_PNG):
        fail(at, "the mask is not a PNG file")
    try:
        from PIL import Image
    except ImportError:
        fail(at, "PNG masks are decoded with Pillow, which is not installed", "install the extra: masks")
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if width * height > MAX_PIXELS:
        fail(at, f"a mask of {width} by {height} pixels", f"send at most {MAX_PIXELS:,} pixels")
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            width, height = image.size
            if image.mode not in _GRAY:
                fail(at, f"a mask of colour mode {image.mode}", "it must be a grayscale PNG without transparency")
            return width, height, *_levels(image)
    except OutputError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        fail(at, f"a damaged PNG: {str(error)[:100]}")


def _levels(image: Image) -> tuple[bytes, int]:
    """A byte per pixel, and the greatest; of 16 bits the upper ones, unless all pixels are 0 or 1."""
    if image.mode in ("1", "L"):
        pixels = image.convert("L").tobytes()
        return pixels, max(set(pixels))
    samples = array_of("i", image.convert("I").tobytes())
    greatest = max(samples)
    if greatest <= 1:
        return bytes(samples.tolist()), greatest
    return bytes([word >> 8 & 0xFF for word in samples]), max(2, greatest >> 8)


def shape_of_rle(value: Any, at: Path) -> Shape | None:
    """Outline a COCO run-length mask. None when no pixel is inside."""
    width, height, rows = decode_rle(value, at)
    return _shape(rows, width, height, at)


def shape_of_grid(value: Any, at: Path) -> Shape | None:
    """Outline a nested list of rows of values from 0 to 1: above 0.5 is inside. None when no pixel is.

    Values of 0 and 255 alone are read too; others raise OutputError.
    """
    lines = [array(line, *at, y) for y, line in enumerate(array(value, *at))]
    width = len(lines[0]) if lines else 0
    if not width or any(len(line) != width for line in lines):
        fail(at, "the mask's rows differ in length, or there are none")
    if width * len(lines) > MAX_PIXELS:
        fail(at, f"a mask of {width} by {len(lines)} pixels", f"send at most {MAX_PIXELS:,} pixels")
    rows = [_threshold(line, (*at, y)) for y, line in enumerate(lines)]
    return _shape(rows, width, len(lines), at)


def _threshold(line: Sequence[Any], at: Path) -> bytes:
    row = bytearray(len(line))
    for x, value in enumerate(line):
        level = value if type(value) is bool else number(value, *at, x)
        if not 0 <= level <= 1 and level != WHITE:
            fail((*at, x), f"{describe(value)} is not a value from 0 to 1 (or 0 and 255 alone)")
        row[x] = level > 0.5
    return bytes(row)


WHITE = 255


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
