"""How commands that serve come to their end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ended_by_signals(end: Callable[[], object], numbers: Sequence[signal.Signals] = ENDING) -> Iterator[None]:
    """Let signals, SIGTERM and SIGINT by default, call ``end`` meanwhile; afterwards they do what they did before."""
    before = {number: signal.signal(number, lambda *_: end()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
