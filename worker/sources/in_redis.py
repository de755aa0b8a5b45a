"""The sources that need no process of ours between producer and inbox.

Producers add to the inbox stream themselves, and a Celery queue in the same Redis is moved by the script that reads the
inbox: a message is written to the inbox before it leaves its list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from worker.environment import clock
from worker.sources.base import Put


class InRedis:
    """A source whose messages get into the inbox within Redis; running it is waiting for the end.

    Args:
        name: of the source.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ahead = 0

    def run(self, put: Put, may_take: Callable[[], bool], stop: threading.Event) -> None:  # noqa: ARG002
        """Wait for the end."""
        clock.wait(stop)
