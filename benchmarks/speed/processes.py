"""Processes that are measured: their processor time, their memory, and a start on command."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

START_LIMIT = 60.0


def cpu_seconds(pid: int) -> float:
    """Processor time, user and system, of a process and its children so far."""
    root = psutil.Process(pid)
    return sum(_own_seconds(process) for process in (root, *root.children(recursive=True)))


def _own_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    return int(psutil.Process(pid).memory_info().rss)


class ChildFailed(RuntimeError):
    """A competitor's process ended without an answer, or did not come up in time."""


class Child:
    """A Python module that gets ready, waits for the word, does its work and answers with one line of JSON.

    Args:
        module: run as ``python -m``; it uses ``serve`` of this module.
        spec: what it is told, as JSON.
        folder: its home, and where its standard error goes.
    """

    def __init__(self, module: str, spec: Mapping[str, Any], folder: Path) -> None:
        self._log = folder / f"{module.rpartition('.')[2]}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "HOME": str(folder)},
                text=True,
            )
        self._say(json.dumps(spec))
        self.answer(START_LIMIT)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def go(self) -> None:
        """Let it work."""
        self._say("go")

    def answer(self, limit: float) -> dict[str, Any]:
        """What it answers when it is done.

        Raises:
            ChildFailed: no answer within ``limit`` seconds.
        """
        line = self._line(time.monotonic() + limit)
        if not line:
            self._process.kill()
            words = self._log.read_text("utf-8", "replace")[-2000:]
            raise ChildFailed(f"no answer within {limit:g} s, or it ended:\n{words}")
        found: dict[str, Any] = json.loads(line)
        return found

    def run(self, limit: float) -> tuple[float, float]:
        """Let it work until it answers: (seconds that it tells, processor seconds that the work took)."""
        before = cpu_seconds(self.pid)
        self.go()
        seconds = float(self.answer(limit)["seconds"])
        return seconds, cpu_seconds(self.pid) - before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        if self._process.stdin is None:
            raise ChildFailed("the child has no standard input")
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _line(self, deadline: float) -> str:
        if self._process.stdout is None:
            return ""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    break
                line = self._process.stdout.readline()
                if not line or line.startswith("{"):
                    return line
        return ""
