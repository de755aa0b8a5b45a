"""Masks: PNG, run lengths and grids become outlines that enclose exactly their pixels."""

from __future__ import annotations

import base64
import struct
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from worker.formats import OutputError, ReadOptions, read_payload, regions_of
from worker.formats.masks import MAX_PIXELS, decode_rle, shape_of_grid, shape_of_png, shape_of_rle, trace

AT = ("mask",)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def encode(lines: list[bytes], width: int, depth: int = 8) -> bytes:
    """A PNG whose rows are stored as they are."""
    raw = b"".join(b"\0" + line for line in lines)
    return SIGNATURE + header(width, len(lines), depth) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def outline(data: bytes) -> Any:
    return shape_of_png(base64.b64encode(data).decode(), AT)


SQUARE = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))


@pytest.mark.parametrize(
    ("depth", "inside"), [(1, 1), (2, 3), (4, 8), (8, 128), (8, 255), (8, 1), (16, 60_000), (16, 1)]
)
def test_a_png_of_any_depth_is_outlined(depth: int, inside: int) -> None:
    rows = []
    for y in range(4):
        bits = "".join(f"{inside if 1 <= y < 3 and 2 <= x < 6 else 0:0{depth}b}" for x in range(8))
        rows.append(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)))
    assert outline(encode(rows, 8, depth)).rings == (SQUARE,)


def test_a_mask_without_a_light_pixel_is_refused_and_one_without_any_is_empty() -> None:
    assert outline(encode([b"\0\0"], 2)) is None
    with pytest.raises(OutputError) as caught:
        outline(encode([b"\0\x05"], 2))
    assert caught.value.problem == "no pixel of the mask reaches 128; the lightest is 5"
    with pytest.raises(OutputError):
        outline(encode([b"\0\0\1\x2c"], 2, 16))


GOOD = encode([b"\0\xff", b"\xff\0"], 2)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"GIF89a", "not a PNG file"),
        (GOOD[:40], "damaged PNG"),
        (GOOD[:29] + b"\x07" + GOOD[30:], "damaged PNG"),
        (SIGNATURE + chunk(b"IEND", b""), "damaged PNG"),
        (SIGNATURE + header(2, 2, colour=2) + chunk(b"IEND", b""), "a mask of colour mode RGB"),
        (SIGNATURE + header(2, 2, colour=4) + chunk(b"IEND", b""), "a mask of colour mode LA"),
        (SIGNATURE + header(2, 2, depth=3) + chunk(b"IEND", b""), "damaged PNG"),
        (SIGNATURE + header(60_000, 60_000) + chunk(b"IEND", b""), "60000 by 60000 pixels"),
        (SIGNATURE + header(2, 2) + chunk(b"IDAT", b"junk") + chunk(b"IEND", b""), "damaged PNG"),
        (SIGNATURE + header(2, 2) + chunk(b"IDAT", zlib.compress(b"\0a")) + chunk(b"IEND", b""), "damaged PNG"),
    ],
)
def test_a_png_that_is_no_mask_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(OutputError) as caught:
        outline(data)
    assert caught.value.field == "mask"
    assert problem in caught.value.problem


def test_a_small_file_cannot_claim_more_memory_than_its_header_says() -> None:
    bomb = SIGNATURE + header(2, 2) + chunk(b"IDAT", zlib.compress(bytes(50_000_000))) + chunk(b"IEND", b"")
    before = tracemalloc_peak(lambda: outline(GOOD))
    assert tracemalloc_peak(lambda: outline(bomb)) < before + 5_000_000


def tracemalloc_peak(read: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_without_pillow_a_png_mask_is_refused_and_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(OutputError) as caught:
        outline(GOOD)
    assert "Pillow" in caught.value.problem
    assert "masks" in caught.value.fix


def test_a_mask_of_four_megapixels_takes_a_moment() -> None:
    row = b"\0" * 500 + b"\xff" * 1000 + b"\0" * 500
    data = encode([bytes(2000)] * 500 + [row] * 1000 + [bytes(2000)] * 500, 2000)
    begun = time.process_time()
    assert outline(data).rings == (SQUARE,)
    assert time.process_time() - begun < 1.0


def fill(rings: list[list[tuple[int, int]]], width: int, height: int) -> list[bytes]:
    """Even-odd fill of pixel centres, the plain way."""
    rows = []
    for y in range(height):
        row = bytearray(width)
        for ring in rings:
            for (x1, y1), (_, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
                if min(y1, y2) <= y < max(y1, y2):
                    for x in range(x1, width):
                        row[x] ^= 1
        rows.append(bytes(row))
    return rows


@st.composite
def masks(draw: st.DrawFn) -> list[bytes]:
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    bits = st.lists(st.integers(0, 1), min_size=width, max_size=width).map(bytes)
    return draw(st.lists(bits, min_size=height, max_size=height))


def area(ring: list[tuple[int, int]]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)) / 2


@given(masks())
@settings(max_examples=examples(100))
def test_the_rings_enclose_exactly_the_pixels_of_the_mask(rows: list[bytes]) -> None:
    rings = trace(rows, len(rows[0]), AT, simplify=0)
    assert fill(rings, len(rows[0]), len(rows)) == rows
    assert sum(map(area, rings)) == sum(map(sum, rows))


@given(masks())
@settings(max_examples=examples(100))
def test_every_hole_follows_the_outline_around_it(rows: list[bytes]) -> None:
    rings = trace(rows, len(rows[0]), AT, simplify=0)
    outline: list[tuple[int, int]] = []
    for ring in rings:
        if area(ring) > 0:
            outline = ring
            continue
        box = [
            (min(x for x, _ in r), min(y for _, y in r), max(x for x, _ in r), max(y for _, y in r))
            for r in (outline, ring)
        ]
        assert box[0][0] <= box[1][0] < box[1][2] <= box[0][2]
        assert box[0][1] <= box[1][1] < box[1][3] <= box[0][3]


@given(masks())
@settings(max_examples=examples(100))
def test_simplification_keeps_every_region_and_hole(rows: list[bytes]) -> None:
    exact = trace(rows, len(rows[0]), AT, simplify=0)
    simple = trace(rows, len(rows[0]), AT)
    assert [area(ring) > 0 for ring in simple] == [area(ring) > 0 for ring in exact]
    assert all(set(few) <= set(many) for few, many in zip(simple, exact, strict=True))


def test_a_round_object_needs_few_points_and_keeps_its_area() -> None:
    radius, size = 100, 220
    rows = [bytes((x - 110) ** 2 + (y - 110) ** 2 < radius**2 for x in range(size)) for y in range(size)]
    (ring,) = trace(rows, size, AT)
    assert len(ring) < 60
    assert area(ring) == pytest.approx(sum(map(sum, rows)), rel=0.01)


@pytest.mark.parametrize("rows", [[b"\1"], [b"\1\1\1\1\1\1\1\1"], [b"\1"] * 8, [b"\1\0", b"\0\1"]])
def test_the_smallest_objects_survive_simplification(rows: list[bytes]) -> None:
    rings = trace(rows, len(rows[0]), AT)
    assert sum(map(area, rings)) == sum(map(sum, rows))


def test_noise_is_no_object() -> None:
    checkerboard = [bytes((x + y) % 2 for x in range(60)) for y in range(60)]
    with pytest.raises(OutputError, match="more than 1,000 pieces"):
        trace(checkerboard, 60, AT)
    comb = [bytes(x % 2 for x in range(2000))] * 200
    with pytest.raises(OutputError, match="too ragged"):
        trace(comb, 2000, AT)


def test_an_empty_mask_has_no_shape() -> None:
    assert shape_of_grid([[0.2, 0.5], [0.0, 0.1]], AT) is None
    assert shape_of_png(base64.b64encode(encode([b"\0\0"], 2)).decode(), AT) is None
    assert shape_of_rle({"size": [2, 2], "counts": [4]}, AT) is None


def test_a_png_may_come_as_a_data_url() -> None:
    url = "data:image/png;base64," + base64.b64encode(encode([b"\x80\0"], 2)).decode()
    shape = shape_of_png(url, AT)
    assert shape is not None
    assert shape.rings == (((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),)


def test_an_object_in_parts_is_split_into_regions_with_their_holes() -> None:
    grid = [[1, 1, 1, 0, 1, 1], [1, 0, 1, 0, 1, 1], [1, 1, 1, 0, 0, 0]]
    shape = shape_of_grid(grid, AT)
    assert shape is not None
    first, second = regions_of(shape)
    assert (len(first), len(second)) == (2, 1)
    assert first == shape.rings[:2]


def test_coco_parts_are_outlines_whichever_way_they_run() -> None:
    parts = [[0, 0, 10, 0, 10, 10], [30, 20, 20, 20, 30, 30]]
    item = {"image_id": 1, "category_id": 0, "score": 0.5, "segmentation": parts}
    (output,) = read_payload([item], ReadOptions(classes={"0": "a"}, image_size=(100, 100))).outputs
    regions = regions_of(output.answer.objects[0].shape)
    assert [len(region) for region in regions] == [1, 1]


def compress(runs: list[int]) -> str:
    """The reference encoder of cocoapi, in Python."""
    text = ""
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            code = value & 31
            value >>= 5
            more = value != (-1 if code & 16 else 0)
            text += chr((code | (32 if more else 0)) + 48)
    return text


def test_the_documented_run_lengths_and_their_compressed_form_are_the_same_mask() -> None:
    runs = [6, 1, 40, 4, 5, 4, 5, 4, 21]
    plain = decode_rle({"size": [9, 10], "counts": runs}, AT)
    assert plain == decode_rle({"size": [9, 10], "counts": "61X13mN000`0"}, AT)
    assert compress(runs) == "61X13mN000`0"


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12))
def test_compressed_runs_are_read_back(runs: list[int]) -> None:
    total = sum(runs) or 1
    padded = runs if sum(runs) else [1]
    assert decode_rle({"size": [total, 1], "counts": compress(padded)}, AT) == decode_rle(
        {"size": [total, 1], "counts": padded}, AT
    )


@pytest.mark.parametrize(
    ("value", "field", "problem"),
    [
        ({"size": [2, 2], "counts": [1, 2]}, "mask.counts", "cover 3 pixels of 4"),
        ({"size": [2, 2], "counts": [-1, 5]}, "mask.counts", "outside the mask"),
        ({"size": [2, 2], "counts": "\x7f\x7f"}, "mask.counts", "not a compressed"),
        ({"size": [2, 2], "counts": "P"}, "mask.counts", "truncated"),
        ({"size": [2, 2], "counts": 4}, "mask.counts", "neither a list"),
        ({"size": [MAX_PIXELS, 2], "counts": [1]}, "mask.size", "a mask of 2 by"),
        ({"size": [2], "counts": [1]}, "mask.size", "needs [height, width]"),
        ({"counts": [1]}, "mask.size", "missing"),
    ],
)
def test_broken_run_lengths_name_their_field(value: Any, field: str, problem: str) -> None:
    with pytest.raises(OutputError) as caught:
        decode_rle(value, AT)
    assert caught.value.field == field
    assert problem in caught.value.problem


@pytest.mark.parametrize("grid", [[], [[]], [[0.1], [0.1, 0.2]]])
def test_a_ragged_grid_is_refused(grid: Any) -> None:
    with pytest.raises(OutputError, match="differ in length"):
        shape_of_grid(grid, AT)
