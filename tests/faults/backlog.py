"""A backlog larger than a worker's memory should ever be: ``python -m tests.faults.backlog --messages 200000``.

Everything waits at both doors before the first worker starts. The conservation sum is read until all is delivered;
then the judge decides. The most memory that a worker ever had is the system's own count.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from tests.faults.house import House, predictions
from worker.producer import Publisher

PROJECTS = 4
BY_CELERY = 10
"""One in so many thousands of messages comes through the Celery door, in lists of a hundred."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run showed: seconds until all was delivered, and the most memory a worker had, in megabytes."""

    messages: int
    workers: int
    seconds: float
    idle_megabytes: float
    most_megabytes: float
    calls: int


def publish(house: House, messages: int) -> None:
    """Put the backlog at the doors."""
    per_project = messages // PROJECTS
    for project in [house.project() for _ in range(PROJECTS)]:
        found = iter(predictions(project, per_project))
        for number in range(0, per_project, 1000):
            part = list(islice(found, 1000))
            if number // 1000 % BY_CELERY:
                house.publish(part)
            else:
                _publish_lists(house, part)


def _publish_lists(house: House, messages: list[dict[str, Any]]) -> None:
    with Publisher(house.redis.url, via="celery", chunk=100) as publisher:
        for message in messages:
            house.published.count += 1
            house.published.note(message)
            publisher.send(message)


def work_off(messages: int, workers: int, limit: float) -> Found:
    """Build the backlog, start the workers, and judge when nothing waits any more.

    Args:
        messages: of the backlog.
        workers: that work it off together.
        limit: seconds they may take.
    """
    with House() as house:
        publish(house, messages)
        begun = time.monotonic()
        together = [house.worker(wait=False) for _ in range(workers)]
        watched = [psutil.Process(worker.wait_ready().pid) for worker in together]
        idle = max(one.memory_info().rss for one in watched)
        house.await_that(lambda: house.ledger().delivered >= house.published.count, "all is delivered", limit)
        seconds = time.monotonic() - begun
        house.judge()
        most = max(most_memory(worker.pid) for worker in together)
        calls = sum(one["count"] for one in house.calls().values())
        return Found(messages, workers, round(seconds, 1), idle / 1e6, most / 1e6, calls)


def most_memory(pid: int) -> int:
    """Bytes that a process has ever had in RAM at most."""
    (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return 1024 * int(kilobytes)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(json.dumps(asdict(work_off(options.messages, options.workers, limit=3600)), indent=2))


if __name__ == "__main__":
    main()
