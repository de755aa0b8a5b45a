"""A sandbox in a child process, for tests and demos."""

from __future__ import annotations

import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from worker.sandbox.config import SandboxConfig

#: How long a sandbox may take to start, and to stop before it is killed, in seconds.
START_LIMIT = 60.0
STOP_LIMIT = 5.0


class SandboxProcess:
    """Runs `python -m worker.sandbox` on a free port until stopped; ends by itself with its parent."""

    def __init__(
        self,
        config: SandboxConfig | None = None,
        *,
        spawn: Callable[..., subprocess.Popen[str]] = subprocess.Popen,
        **options: Any,
    ) -> None:
        """Start with a config, or with single options of `SandboxConfig`; wait until it listens.

        `spawn` starts the process, with the arguments of `subprocess.Popen`.

        Raises RuntimeError when it ends instead, with its own message on standard error.
        """
        self.config = replace(config or SandboxConfig(), **options)
        self._child = spawn(
            [sys.executable, "-m", "worker.sandbox", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint = self._start()

    @property
    def api_key(self) -> str:
        """The first API key."""
        return self.config.api_keys[0]

    @property
    def base_url(self) -> str:
        """The server's address without a path."""
        return self.endpoint.partition("/api/")[0]

    @property
    def admin_url(self) -> str:
        """The address of the admin surface; append /state, /calls, /faults, /config."""
        return f"{self.base_url}/sandbox"

    @property
    def pid(self) -> int:
        """The id of the child process."""
        return self._child.pid

    def stop(self) -> None:
        """End the child and wait for it."""
        if self._child.poll() is None:
            self._child.terminate()
        try:
            self._child.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """End the child at once, as a crash would."""
        self._child.kill()
        self._child.wait()
        self._close()

    def __enter__(self) -> Self:
        """Return the running sandbox."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the sandbox."""
        self.stop()

    def _start(self) -> str:
        stdin = self._child.stdin
        if stdin is None:
            raise RuntimeError("the child has no standard input")
        stdin.write(f"{self.config.to_json()}\n")
        stdin.flush()
        endpoint = self._first_line(time.monotonic() + START_LIMIT)
        if not endpoint:
            self.kill()
            raise RuntimeError(f"the sandbox did not start; it ended with {self._child.returncode}")
        return endpoint

    def _first_line(self, deadline: float) -> str:
        with selectors.DefaultSelector() as selector:
            if self._child.stdout is None:
                return ""
            selector.register(self._child.stdout, selectors.EVENT_READ)
            ready = selector.select(deadline - time.monotonic())
            return self._child.stdout.readline().strip() if ready else ""

    def _close(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
