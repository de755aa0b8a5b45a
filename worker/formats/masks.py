"""From a mask, in any of the encodings that models send, to a shape: outlines of its regions and of the holes in them.

Rings tell their part by their direction: with y down, an outline runs clockwise as seen, which makes its
shoelace sum Σ (x_i y_{i+1} - x_{i+1} y_i) positive; a hole runs the other way. Holes follow their outline.
"""

from __future__ import annotations

import math
from array import array as array_of
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from worker.contract.output import OutputError, Point, Shape
from worker.formats.checks import Path, array, decode_base64, describe, fail, integer, mapping, member, number

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


Ring = tuple[Point, ...]


def regions_of(shape: Shape) -> tuple[tuple[Ring, ...], ...]:
    """Split a shape's rings into regions, each an outline followed by its holes."""
    regions: list[tuple[Ring, ...]] = []
    for ring in shape.rings:
        if regions and doubled_area(ring) < 0:
            regions[-1] = (*regions[-1], ring)
        else:
            regions.append((ring,))
    return tuple(regions)


def as_outline(ring: Ring) -> Ring:
    """Turn a ring clockwise as seen, so that it is an outline."""
    return ring if doubled_area(ring) >= 0 else (ring[0], *reversed(ring[1:]))


def as_hole(ring: Ring) -> Ring:
    """Turn a ring counter-clockwise as seen, so that it is a hole."""
    return ring if doubled_area(ring) < 0 else (ring[0], *reversed(ring[1:]))


def doubled_area(ring: Sequence[tuple[float, float]]) -> float:
    """Return the shoelace sum: twice the area, positive for outlines and negative for holes."""
    pairs = zip(ring, (*ring[1:], ring[0]), strict=True)
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)


def decode_rle(value: Any, at: Path) -> tuple[int, int, list[bytes]]:
    """Return width, height and rows (one byte per pixel, 0 or 1) of ``{"size": [h, w], "counts": …}``."""
    segmentation = mapping(value, *at)
    height, width = _size(member(segmentation, "size", at), (*at, "size"))
    counts = member(segmentation, "counts", at)
    runs = _runs_of_text(counts, (*at, "counts"))
    if sum(runs) != width * height:
        fail((*at, "counts"), f"the runs cover {sum(runs)} pixels of {width * height}")
    columns = b"".join(bytes([i % 2]) * run for i, run in enumerate(runs))
    return width, height, [columns[y::height] for y in range(height)]


def _size(value: Any, at: Path) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        fail(at, "needs [height, width]")
    height, width = (integer(side, *at, i) for i, side in enumerate(value))
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        fail(at, f"a mask of {width} by {height} pixels", f"send 1 to {MAX_PIXELS:,} pixels")
    return height, width


def _runs_of_text(counts: Any, at: Path) -> Sequence[int]:
    if isinstance(counts, str):
        runs = _decompress(counts, at)
    elif isinstance(counts, list):
        runs = [integer(run, *at, i) for i, run in enumerate(counts)]
    else:
        fail(at, "neither a list of runs nor a compressed string")
    if any(not 0 <= run <= MAX_PIXELS for run in runs):
        fail(at, "a run outside the mask")
    return runs


def _decompress(text: str, at: Path) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 30:
            fail(at, "not a compressed run-length string")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        fail(at, "truncated run-length string")
    return runs


SIMPLIFY_PIXELS = 1.0
"""Farthest a point of the outline may lie from its simplified ring: the steps of a slanted edge vanish."""

MAX_PIXELS = 16_777_216
"""Largest mask that is outlined (4096 by 4096): a small file can claim a huge image."""

MAX_RINGS = 1_000
"""Most regions and holes of one mask; more is noise, not an object."""

MAX_EDGES = 200_000

CHUNK = 256
"""Vertices simplified at a time: bounds the quadratic worst case of the algorithm."""

Vertex = tuple[int, int]
PixelRing = list[Vertex]


def trace(rows: Sequence[bytes], width: int, at: Path, simplify: float = SIMPLIFY_PIXELS) -> list[PixelRing]:
    """Return the rings of a mask: each region's outline followed by its holes, large regions first.

    ``rows`` holds one byte per pixel, 0 outside and 1 inside. Vertices are pixel corners, x right and y down.
    ``simplify`` is in pixels; 0 keeps every corner.
    Raises OutputError for a mask too ragged to be an object.
    """
    rings = list(_follow(_edges(rows, width, at), at))
    areas = [doubled_area(ring) for ring in rings]
    groups = {i: [i] for i in sorted(range(len(rings)), key=lambda i: -areas[i]) if areas[i] > 0}
    for hole, outline in _outlines_of_holes(rings, areas, rows).items():
        groups[outline].append(hole)
    return [_simplified(_without_straight_points(rings[i]), simplify) for group in groups.values() for i in group]


def _edges(rows: Sequence[bytes], width: int, at: Path) -> dict[Vertex, list[Vertex]]:
    """Directed edges with the mask on their right-hand side, by start."""
    edges: dict[Vertex, list[Vertex]] = {}
    blank = bytes(width)
    above = blank
    for y, row in enumerate((*rows, blank)):
        for x1, x2 in _runs(row):
            edges.setdefault((x1, y + 1), []).append((x1, y))
            edges.setdefault((x2, y), []).append((x2, y + 1))
        if row != above:
            for x1, x2 in _runs(_minus(row, above)):
                edges.setdefault((x1, y), []).append((x2, y))
            for x1, x2 in _runs(_minus(above, row)):
                edges.setdefault((x2, y), []).append((x1, y))
        if len(edges) > MAX_EDGES:
            fail(at, "the mask is too ragged to outline", "send a smoother mask")
        above = row
    return edges


def _runs(row: bytes) -> Iterator[tuple[int, int]]:
    start = row.find(1)
    while start >= 0:
        end = row.find(0, start)
        if end < 0:
            end = len(row)
        yield start, end
        start = row.find(1, end)


def _minus(row: bytes, other: bytes) -> bytes:
    difference = int.from_bytes(row) & ~int.from_bytes(other)
    return difference.to_bytes(len(row))


def _follow(edges: dict[Vertex, list[Vertex]], at: Path) -> Iterator[PixelRing]:
    count = 0
    while edges:
        count += 1
        if count > MAX_RINGS:
            fail(at, f"the mask falls into more than {MAX_RINGS:,} pieces", "send one object per mask")
        yield _follow_one(edges, next(iter(edges)))


def _follow_one(edges: dict[Vertex, list[Vertex]], start: Vertex) -> PixelRing:
    first = _take(edges, start, None)
    ring, came, here = [start], start, first
    while here != start or (start in edges and _orientation(came, start, first) < 0):
        ring.append(here)
        here, came = _take(edges, here, came), here
    return ring


def _take(edges: dict[Vertex, list[Vertex]], here: Vertex, came: Vertex | None) -> Vertex:
    """Leave a vertex; where regions touch at a corner, turn right and so stay on the same region."""
    ways = edges[here]
    choice = 0
    if len(ways) > 1 and came is not None:
        choice = 0 if _orientation(came, here, ways[0]) > 0 else 1
    way = ways.pop(choice)
    if not ways:
        del edges[here]
    return way


def _orientation(a: Vertex, b: Vertex, c: Vertex) -> int:
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])


def _without_straight_points(ring: PixelRing) -> PixelRing:
    """Keep the corners, beginning with the topmost (of these the leftmost)."""
    count = len(ring)
    corners = [ring[i] for i in range(count) if _orientation(ring[i - 1], ring[i], ring[(i + 1) % count]) != 0]
    first = min(range(len(corners)), key=lambda i: (corners[i][1], corners[i][0]))
    return corners[first:] + corners[:first]


def _outlines_of_holes(rings: list[PixelRing], areas: Sequence[float], rows: Sequence[bytes]) -> dict[int, int]:
    """The outline around each hole: left of a hole's top corner lies its region, up to a ring on the left."""
    holes = [i for i, area in enumerate(areas) if area < 0]
    if not holes:
        return {}
    on_left = {(x, y): i for i, ring in enumerate(rings) for x, y in _left_edges(ring)}
    outlines: dict[int, int] = {}
    for hole in sorted(holes, key=lambda i: _top(rings[i])):
        y, x = _top(rings[hole])
        ring = on_left[(rows[y].rfind(0, 0, x) + 1, y)]
        outlines[hole] = outlines.get(ring, ring)
    return outlines


def _left_edges(ring: PixelRing) -> Iterator[Vertex]:
    for (_, y1), (x2, y2) in zip(ring, (*ring[1:], ring[0]), strict=True):
        if y2 < y1:
            yield x2, y2


def _top(ring: PixelRing) -> tuple[int, int]:
    return min((y, x) for x, y in ring)


def _simplified(ring: PixelRing, tolerance: float) -> PixelRing:
    """Douglas-Peucker between fixed vertices: the first, the one farthest from it, and every CHUNK-th."""
    x0, y0 = ring[0]
    far = max(range(len(ring)), key=lambda i: (ring[i][0] - x0) ** 2 + (ring[i][1] - y0) ** 2)
    closed = [*ring, ring[0]]
    keep = {0, far, *range(0, len(ring), CHUNK)}
    fixed = [*sorted(keep), len(ring)]
    waiting = list(pairwise(fixed))
    while waiting:
        first, last = waiting.pop()
        index, distance = _farthest(closed, first, last)
        if distance > tolerance:
            keep.add(index)
            waiting += [(first, index), (index, last)]
    kept = [ring[i] for i in sorted(keep)]
    return kept if doubled_area(kept) * doubled_area(ring) > 0 else ring


def _farthest(line: PixelRing, first: int, last: int) -> tuple[int, float]:
    (x1, y1), (x2, y2) = line[first], line[last]
    dx, dy = x2 - x1, y2 - y1
    length = math.hypot(dx, dy)
    best, distance = first, 0.0
    for i in range(first + 1, last):
        x, y = line[i][0] - x1, line[i][1] - y1
        away = abs(dx * y - dy * x) / length if length else math.hypot(x, y)
        if away > distance:
            best, distance = i, away
    return best, distance
