"""What the signals that end a worker do: the first drains it, the next ends it at once.

Celery's own handlers write to standard output before they do anything else; where nobody reads it, that fails and the
signal is lost. And a second SIGTERM means nothing to them.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

from celery.apps import worker as celery_worker
from celery.worker import state

logger = logging.getLogger(__name__)

ENDING = (signal.SIGTERM, signal.SIGINT)


def say_safely() -> None:
    """Let the handlers that stay Celery's (and its own until ours are there) survive that nobody hears them."""
    say = celery_worker.safe_say

    def safe_say(*args: Any, **options: Any) -> None:
        try:
            say(*args, **options)
        except OSError as error:
            logger.debug("not said: %s", error, extra={"action": "not_said"})

    celery_worker.safe_say = safe_say


def drain_on_signals(drain: Callable[[], None], end_at_once: Callable[[], None]) -> None:
    """Install the handlers, when Celery has installed its own; a worker in a thread leaves them to its host.

    Args:
        drain: called with the first signal, or never when ``SIGQUIT`` comes first; must not wait.
        end_at_once: called with the next, and with ``SIGQUIT``; does not return.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    asked = False

    def ask(number: int, _: object) -> None:
        nonlocal asked
        if asked or number == signal.SIGQUIT:
            end_at_once()
        asked = True
        state.should_stop = 0
        drain()

    for number in (*ENDING, signal.SIGQUIT):
        signal.signal(number, ask)
