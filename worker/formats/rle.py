"""Decode COCO run-length masks: column by column, runs of 0 and 1 in turn, beginning with 0.

The compressed string holds each run as groups of five bits, low bits first, bit 5 set while more follow, with
48 added to make a printable character; from the fourth run on, the difference to the run two before is stored.
Reference: cocodataset/cocoapi, common/maskApi.c, rleFrString.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.formats.checks import Path, fail, integer, mapping, member
from worker.formats.contours import MAX_PIXELS


def decode_rle(value: Any, at: Path) -> tuple[int, int, list[bytes]]:
    """Return width, height and rows (one byte per pixel, 0 or 1) of ``{"size": [h, w], "counts": …}``."""
    segmentation = mapping(value, *at)
    height, width = _size(member(segmentation, "size", at), (*at, "size"))
    counts = member(segmentation, "counts", at)
    runs = _runs(counts, (*at, "counts"))
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


def _runs(counts: Any, at: Path) -> Sequence[int]:
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
