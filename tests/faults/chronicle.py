"""What the workers of a house have written in their logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.faults.house import House
from worker.demo.environment import WorkerProcess

FAREWELL = "worker: Warm shutdown (MainProcess)"


def lines(worker: WorkerProcess) -> Iterator[dict[str, Any]]:
    """Every line of a worker's log that is written to its end.

    Each must be one JSON object, but for what Celery prints on standard output.
    """
    *whole, _ = worker.log.read_text("utf-8", "replace").split("\n")
    for line in whole:
        if line not in ("", FAREWELL):
            yield json.loads(line)


def said_by(worker: WorkerProcess, action: str) -> list[dict[str, Any]]:
    """The lines of one worker with an action."""
    return [line for line in lines(worker) if line["action"] == action]


def said(house: House, action: str) -> list[dict[str, Any]]:
    """The lines with an action, of all workers that the house ever had."""
    return [line for worker in house.workers for line in said_by(worker, action)]
