"""Which local files a message may point at."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path


def allowed_path(path: str, roots: Sequence[Path]) -> Path | None:
    """The file with links and ``..`` resolved, or None when it is not below one of the roots, or is no path at all."""
    try:
        resolved = Path(path).resolve()
    except (OSError, ValueError, RuntimeError):  # a NUL, or links that lead to themselves
        return None
    return resolved if any(resolved.is_relative_to(root.resolve()) for root in roots) else None


MACHINE_ERRORS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN}
)


def is_machine_error(error: OSError) -> bool:
    """Whether a file cannot be read for want of something of the machine's or the file server's, not of the file's."""
    return error.errno in MACHINE_ERRORS
