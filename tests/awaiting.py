"""What tests of real processes need of their machine: a condition that comes true in time, a port that is free."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable


def awaited(condition: Callable[[], object], what: str = "the condition", *, limit: float) -> None:
    """Wait for a condition. Raises AssertionError when it is not true within ``limit`` seconds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"not within {limit:g} s: {what}"
        time.sleep(0.01)


def free_port() -> int:
    """A port that nobody uses now, not even a connection that has just ended."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0
