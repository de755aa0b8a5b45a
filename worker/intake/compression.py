"""Undo what Celery's ``compression`` option did to a body, no further than a limit."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from worker.messages import MessageError

FIX = "send it with gzip, bzip2, lzma or uncompressed"
_CODECS: dict[str, Callable[[], Any]] = {
    name: codec
    for names, codec in (
        (("application/x-gzip", "gzip", "zlib"), zlib.decompressobj),
        (("application/x-bz2", "bzip2", "bzip"), bz2.BZ2Decompressor),
        (("application/x-lzma", "lzma", "xz"), lzma.LZMADecompressor),
    )
    for name in names
}
"""kombu's names of the codecs that Python itself has."""


def decompressed(raw: bytes, compression: Any, *, max_bytes: int) -> bytes:
    """The body as it was before compression.

    Raises:
        MessageError: unknown compression, broken or incomplete data, or more than ``max_bytes``.
    """
    codec = _CODECS.get(compression) if isinstance(compression, str) else None
    if codec is None:
        raise MessageError("broken_envelope", "headers.compression", f"{compression!r} is not known here", FIX)
    worker = codec()
    try:
        found: bytes = worker.decompress(raw, max_bytes + 1)
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError) as error:
        raise MessageError("broken_envelope", "body", f"{compression} cannot be undone: {error}", FIX) from None
    if len(found) > max_bytes:
        raise MessageError("too_large", "body", f"more than {max_bytes:,} bytes uncompressed", "send fewer at once")
    if not worker.eof:
        raise MessageError("broken_envelope", "body", f"{compression} data end too soon", FIX)
    return found
