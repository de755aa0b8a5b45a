"""The other end of a child process: get ready, wait for the word, answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

Run = Callable[[], Mapping[str, Any]]


def serve(prepare: Callable[[dict[str, Any]], Run]) -> None:
    """Read the task from standard input, prepare, and run it when told; stay until the owner ends this process."""
    run = prepare(json.loads(sys.stdin.readline()))
    _say({"ready": True})
    if sys.stdin.readline().strip() == "go":
        _say(run())
        sys.stdin.readline()


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
