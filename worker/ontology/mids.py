"""Identities of annotations: the same content at the same place always gets the same ``mid``."""

from __future__ import annotations

import hashlib


def mid_of(*parts: object) -> str:
    """Derive an annotation's identity: 20 hexadecimal digits over the ``repr`` of its parts."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=10).hexdigest()
