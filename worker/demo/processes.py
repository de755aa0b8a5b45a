"""A real worker in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.health import read_heartbeat

WATCHER = """
read -r _
kill -TERM "$1"
for _ in $(seq 100); do kill -0 "$1" || exit; sleep 0.1; done
kill -KILL "$1"
"""
"""Reads a pipe that the owner holds open; however the owner dies, the pipe closes and the worker is ended."""


class WorkerProcess:
    """``prediction-worker start`` as a child process, with its log in a file; it ends when its owner does.

    Args:
        environment: settings, on top of this process' own environment.
        folder: for the log and the heartbeat; two workers of one folder need different names.
        name: of this worker.
        output: a descriptor that takes what the worker writes, instead of the log.
    """

    def __init__(
        self, environment: Mapping[str, str], folder: Path, name: str = "worker", *, output: int | None = None
    ) -> None:
        self.log = folder / f"{name}.log"
        self._heartbeat = folder / f"{name}.heartbeat"
        self._heartbeat.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", "start"],
                env={**os.environ, **environment, "WORKER_HEARTBEAT_FILE": str(self._heartbeat)},
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log if output is None else output,
                start_new_session=True,
            )
        self._watcher = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", WATCHER, "watch", str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def wait_ready(self, limit: float = 30.0) -> Self:
        """Wait until the worker has beaten once.

        Raises:
            RuntimeError: it ended, or did not start within ``limit`` seconds; with the end of its log.
        """
        end = time.monotonic() + limit
        while time.monotonic() < end:
            beat = read_heartbeat(self._heartbeat)
            if beat is not None and beat.pid == self.pid:
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the worker did not start:\n{self.tail()}")

    def tail(self, size: int = 4000) -> str:
        """The end of the log."""
        return self.log.read_text("utf-8", "replace")[-size:]

    def stop(self, limit: float = 40.0) -> int:
        """SIGTERM, then SIGKILL after ``limit`` seconds; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            return self.kill()
        self._dismiss_watcher()
        return code

    def kill(self) -> int:
        """SIGKILL; the exit code."""
        if self.process.poll() is None:
            self.process.kill()
        code = self.process.wait(10)
        self._dismiss_watcher()
        return code

    def _dismiss_watcher(self) -> None:
        self._watcher.kill()
        self._watcher.communicate()

    def __enter__(self) -> Self:
        return self.wait_ready()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
