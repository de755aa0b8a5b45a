"""How commands say numbers of things."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """``1 prediction``, ``2 predictions``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
