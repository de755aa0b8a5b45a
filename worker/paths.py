"""Which local files a message may point at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def allowed_path(path: str, roots: Sequence[Path]) -> Path | None:
    """The file with links and ``..`` resolved, or None when it is not below one of the roots, or is no path at all."""
    try:
        resolved = Path(path).resolve()
    except (OSError, ValueError, RuntimeError):  # a NUL, or links that lead to themselves
        return None
    return resolved if any(resolved.is_relative_to(root.resolve()) for root in roots) else None
