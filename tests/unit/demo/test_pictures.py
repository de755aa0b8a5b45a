"""A picture that is written is the picture that is read."""

from __future__ import annotations

import struct
import zlib

import pytest

from worker.demo.plan import png

CHECKERED = bytes([0, 16, 4, 8] * 16)


def decode(data: bytes) -> tuple[int, int, list[bytes]]:
    """Read an unfiltered 8-bit grey PNG; checks signature, order and checksums of the chunks."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, rest = [], data[8:]
    while rest:
        (length,) = struct.unpack(">I", rest[:4])
        kind, content, checksum = rest[4:8], rest[8 : 8 + length], rest[8 + length : 12 + length]
        assert struct.unpack(">I", checksum) == (zlib.crc32(kind + content),)
        chunks.append((kind, content))
        rest = rest[12 + length :]
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
    assert form == [8, 0, 0, 0, 0]
    stream = zlib.decompress(chunks[1][1])
    lines = [stream[start : start + width + 1] for start in range(0, len(stream), width + 1)]
    assert {line[0] for line in lines} == {0}
    return width, height, [line[1:] for line in lines]


@pytest.mark.parametrize("scale", [1, 3, 16])
def test_every_pixel_becomes_a_square_of_its_grey(scale: int) -> None:
    width, height, lines = decode(png(CHECKERED, scale=scale))

    grey = {0: 255, 16: 0, 4: 192, 8: 128}
    assert (width, height, len(lines)) == (8 * scale, 8 * scale, 8 * scale)
    for y, line in enumerate(lines):
        assert list(line) == [grey[CHECKERED[8 * (y // scale) + x // scale]] for x in range(width)]


def test_an_image_need_not_be_square() -> None:
    assert decode(png(bytes(6), width=3, scale=2))[:2] == (6, 4)


def test_the_same_image_gives_the_same_file_and_another_one_another() -> None:
    assert png(CHECKERED) == png(CHECKERED)
    assert png(CHECKERED) != png(CHECKERED[::-1])


@pytest.mark.parametrize("image", [b"", bytes(63), bytes([17] * 64)])
def test_what_is_not_an_image_is_refused(image: bytes) -> None:
    with pytest.raises(ValueError, match="full rows of 8 bytes from 0 to 16"):
        png(image)
