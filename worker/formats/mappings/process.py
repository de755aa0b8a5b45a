"""Run jq where it can do no harm: in a process of its own, with a limit on time, memory and size.

jq runs in C and cannot be interrupted by a thread, so an expression that never ends would stop the worker. The process
is started when a mapping is first needed, serves one request at a time, and is ended when a request takes too long.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.contract.output import OutputError

SECONDS = 2.0
"""Longest that the mappings tried on one payload may take together."""

MOST_BYTES = 4 * 1024 * 1024
"""Largest payload that is given to mappings, and largest answer that is taken from them."""

MEMORY_BYTES = 512 * 1024 * 1024
"""Address space of the jq process, its programs included."""

START_SECONDS = 20.0
READ_BYTES = 1 << 16
"""What is read of an answer at a time: as much as a pipe holds."""

_STRICT = json.JSONEncoder(allow_nan=False)
_NOISE = re.compile(r"jq: error: | at <top-level>(?=,)|\n?jq: \d+ compile errors?")
_LINE = re.compile(r"\bline (\d+)")
_CHILD = Path(__file__).with_name("child.py")


class JqUnavailable(OutputError):
    """The jq process does not start, so that nothing can be said of the payload."""

    def __init__(self, reason: str) -> None:
        fix = "have the jq package installed and memory free, then replay the dead letters"
        super().__init__("payload", f"the process in which mappings run does not start: {reason}", fix)


@dataclass(frozen=True, slots=True)
class MappingJob:
    """A program to run; when it fails and ``first`` fails alone, ``first`` is blamed."""

    program: str
    first: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The value that a program gave, or at which ``stage`` (``when``, ``read``, ``limit``) it failed and how."""

    value: Any = None
    stage: str = ""
    error: str = ""


@dataclass(slots=True)
class JqProcess:
    """One jq process, shared by the threads of this process; another process starts its own."""

    seconds: float = SECONDS
    memory_bytes: int = MEMORY_BYTES
    most_bytes: int = MOST_BYTES
    _child: subprocess.Popen[bytes] | None = None
    _answers: select.poll = field(default_factory=select.poll)
    _numbers: dict[str, int] = field(default_factory=dict)
    _requests: dict[tuple[MappingJob, ...], bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def run(self, jobs: Sequence[MappingJob], payload: Any) -> list[RunResult]:
        """Run every program on the payload: one outcome each, in order."""
        try:
            text = _STRICT.encode(payload).encode()
        except ValueError:
            return [
                RunResult(stage="limit", error="the payload holds NaN or Infinity, which mappings cannot read")
            ] * len(jobs)
        if len(text) > self.most_bytes:
            problem = f"the payload has {len(text):,} bytes; mappings read up to {self.most_bytes:,}"
            return [RunResult(stage="limit", error=problem)] * len(jobs)
        with self._lock:
            answer = self._asked(jobs, text)
        if isinstance(answer, str):
            return self._one_by_one(jobs, text) if len(jobs) > 1 else [RunResult(stage="limit", error=answer)]
        return [RunResult(one.get("value"), one.get("stage", ""), one.get("error", "")) for one in answer]

    def _one_by_one(self, jobs: Sequence[MappingJob], text: bytes) -> list[RunResult]:
        """Find out which of several programs went over a limit."""
        found = []
        for job in jobs:
            with self._lock:
                one = self._asked([job], text)
            answer = {"stage": "limit", "error": one} if isinstance(one, str) else one[0]
            found.append(RunResult(answer.get("value"), answer.get("stage", ""), answer.get("error", "")))
        return found

    def compile_error(self, expression: str, prelude: str = "") -> str:
        """What jq says against an expression that may use a prelude; an empty text when it compiles."""
        before = " ".join(prelude.split())
        with self._lock:
            answer = self._asked([MappingJob(f"{before}\n{expression}" if before else expression)], b"")
        error = answer if isinstance(answer, str) else str(answer[0].get("error", ""))
        message = _NOISE.sub("", error).strip()
        return _LINE.sub(lambda line: f"line {int(line[1]) - bool(before)}", message)

    def close(self) -> None:
        """End the process, if one runs."""
        with self._lock:
            self._end()

    def _asked(self, jobs: Sequence[MappingJob], text: bytes) -> list[dict[str, Any]] | str:
        """Send a request and wait for its answer; a text says which limit it broke."""
        child = self._running()
        try:
            line = self._exchange(child, b"%b\n%b\n" % (self._request(tuple(jobs)), text))
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        if line is None:
            self._end()
            return f"took more than {self.seconds:g} seconds"
        if not line:
            self._end()
            return f"used more than {self.memory_bytes // 1024**2} MB of memory, or broke jq"
        answer: list[dict[str, Any]] = json.loads(line)
        return answer[0]["error"] if answer and answer[0].get("stage") == "size" else answer

    def _request(self, jobs: tuple[MappingJob, ...]) -> bytes:
        """The jobs by the numbers of their programs, and those programs that the child does not know yet."""
        if jobs in self._requests:
            return self._requests[jobs]
        new: dict[int, str] = {}
        for program in [text for job in jobs for text in (job.program, job.first)]:
            if program not in self._numbers:
                self._numbers[program] = len(self._numbers)
                new[self._numbers[program]] = program
        numbers = [[self._numbers[job.program], self._numbers[job.first]] for job in jobs]
        request = json.dumps([new, numbers]).encode()
        if not new:
            self._requests[jobs] = request
        return request

    def _exchange(self, child: subprocess.Popen[bytes], request: bytes) -> bytes | None:
        """The line that the child answers; None when it takes too long, nothing when it has ended."""
        assert child.stdin is not None  # noqa: S101
        descriptor, left = child.stdin.fileno(), memoryview(request)
        while left:
            left = left[os.write(descriptor, left) :]
        return self._line(child, self.seconds)

    def _line(self, child: subprocess.Popen[bytes], seconds: float) -> bytes | None:
        assert child.stdout is not None  # noqa: S101
        descriptor, deadline, parts = child.stdout.fileno(), time.monotonic() + seconds, b""
        while not parts.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not self._answers.poll(left * 1000):
                return None
            more = os.read(descriptor, READ_BYTES)
            if not more:
                return b""
            parts += more
        return parts

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._numbers.clear()
        self._requests.clear()
        command = [sys.executable, "-S", "-P", str(_CHILD), str(self.memory_bytes), str(self.most_bytes)]
        try:
            self._child = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,
            )
        except OSError as error:
            raise JqUnavailable(str(error)) from error
        assert self._child.stdout is not None  # noqa: S101
        self._answers = select.poll()
        self._answers.register(self._child.stdout, select.POLLIN | select.POLLHUP)
        if self._line(self._child, START_SECONDS) != b"ready\n":
            self._end()
            raise JqUnavailable("it ends at once, or takes too long")
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.communicate()

    def _forget(self) -> None:
        """In a forked process: the parent keeps its jq process, this one starts its own."""
        if self._child is not None:
            self._child.returncode = 0
        self._child, self._lock, self._numbers, self._requests = None, threading.Lock(), {}, {}
