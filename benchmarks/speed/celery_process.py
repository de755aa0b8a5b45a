"""An ordinary Celery worker as a child process: for the SDK inside tasks, and for tasks that do nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from celery import Celery

from benchmarks.speed.ground import Ground
from benchmarks.speed.processes import START_LIMIT, ChildFailed

BATCH = 500
ROOT = Path(__file__).parents[2]
"""Where ``benchmarks`` is found from any folder."""
READY = "bench:ready"


class CeleryProcess:
    """``celery worker`` for one of the benchmark's own applications.

    Args:
        ground: whose Redis is the broker.
        module: with the application; it counts ready processes under ``bench:ready``.
        queue: to consume.
        task: what the application is told.
        options: of the command.
        processes: that must be ready.
    """

    def __init__(
        self, ground: Ground, module: str, queue: str, task: Mapping[str, Any], options: Sequence[str], processes: int
    ) -> None:
        told = {"redis_url": ground.redis_url, **task}
        environment = {**os.environ, "BENCH_TASK": json.dumps(told), "HOME": str(ground.folder)}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        ground.redis.delete(READY)
        with (ground.folder / "celery.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "celery", "-A", module, "worker", "-Q", queue, "-l", "WARNING", *options],
                env=environment,
                cwd=ground.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._log = ground.folder / "celery.log"
        self._await_ready(lambda: int(ground.redis.get(READY) or 0) >= processes)

    @property
    def pid(self) -> int:
        """Of the parent process."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def _await_ready(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + START_LIMIT
        while not ready():
            if time.monotonic() > end or self._process.poll() is not None:
                self._kill()
                raise ChildFailed(f"celery did not start:\n{self._log.read_text('utf-8', 'replace')[-3000:]}")
            time.sleep(0.02)

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


def stage_tasks(ground: Ground, task: str, arguments: Sequence[Any], queue: str) -> Callable[[], None]:
    """Send tasks to a queue that nobody consumes; calling the result makes it the queue, all at once."""
    staged = f"{queue}.staged"
    with Celery(broker=ground.redis_url) as app, app.producer_or_acquire() as producer:
        for first in range(0, len(arguments), BATCH):
            with producer.batch(BATCH):
                for each in arguments[first : first + BATCH]:
                    app.send_task(task, [each], queue=staged, producer=producer, argsrepr="", kwargsrepr="")
    return lambda: ground.rename(staged, queue)
