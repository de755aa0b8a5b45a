"""Identities of annotations: the same content at the same place always gets the same ``mid``."""

from __future__ import annotations

import hashlib
import struct

from worker.formats.output import Point


def mid_of(*parts: object) -> str:
    """Derive an annotation's identity: 20 hexadecimal digits over the ``repr`` of its parts."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=10).hexdigest()


def content_of(rings: tuple[tuple[Point, ...], ...]) -> tuple[bytes, ...]:
    """Give a shape's rings as parts of an identity: each as its coordinates' IEEE 754 doubles, little endian."""
    return tuple(struct.pack(f"<{2 * len(ring)}d", *(value for point in ring for value in point)) for ring in rings)
