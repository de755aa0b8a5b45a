"""Moto's server in a process of its own: ``python -m tests.conformance.sources.moto_server PORT``.

Moto counts all messages of a queue, three times, at each message that is sent, and asks for the time at each of them.
Here the counts, which SQS calls approximate, are those of a moment ago, so that thousands of messages cost no minutes.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from moto.server import ThreadedMotoServer
from moto.sqs import models

COUNTS = ("", "_delayed", "_not_visible")
AGE_SECONDS = 0.1


def now_in_milliseconds(moment: Any = None) -> float:
    """The time of moto's messages."""
    return in_milliseconds(moment) if moment is not None else time.time() * 1000


def approximate(name: str) -> property:
    """A count of a queue that is asked for again when it is old."""
    exact = getattr(models.Queue, name)

    def count(queue: Any) -> int:
        known: dict[str, tuple[float, int]] = queue.__dict__.setdefault("known_counts", {})
        if time.monotonic() - known.get(name, (float("-inf"), 0))[0] > AGE_SECONDS:
            known[name] = (time.monotonic(), exact.fget(queue))
        return known[name][1]

    return property(count)


in_milliseconds = models.unix_time_millis

if __name__ == "__main__":
    models.unix_time_millis = now_in_milliseconds
    for suffix in COUNTS:
        name = f"approximate_number_of_messages{suffix}"
        setattr(models.Queue, name, approximate(name))
    ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False).start()
    threading.Event().wait()
