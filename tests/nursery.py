"""Processes of the worker and of the local Kili that start in milliseconds: forked from one that has imported them.

Each of them is a process of its own, as one that a shell starts: with its own id, files, environment and session, to be
killed, stopped and waited for. What it saves is the second of CPU that Python takes to import the product, some two
hundred times in a run of the suite. What the imports and the command line themselves are worth is shown by the cases
that start ``prediction-worker`` as a user does: of the demo, the pages, the checks at the start, the pipes.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from tests.awaiting import PATIENCE

PRELOADED = (
    "celery.app.amqp",
    "celery.app.builtins",
    "celery.app.control",
    "celery.app.events",
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.state",
    "kombu.transport.redis",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
    "worker.app",
    "worker.cli.exporter",
    "worker.cli.loading",
    "worker.cli.serve",
    "worker.cli.start",
    "worker.monitoring.checks",
    "worker.sandbox.server",
    "worker.sources.http",
)
ROOT = Path(__file__).parents[1]
ORDER_BYTES = 1_000_000
POLL_SECONDS = 0.01
STANDARD = (0, 1, 2)


class Child:
    """What ``subprocess.Popen`` is to its child: as much of it as the worker's and the sandbox's owners use."""

    def __init__(self, pid: int, args: Sequence[str], stdin: IO[Any] | None, stdout: IO[Any] | None) -> None:
        self.pid = pid
        self.args = args
        self.stdin = stdin
        self.stdout = stdout
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = _nursery().ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        end = time.monotonic() + (timeout if timeout is not None else float("inf"))
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    start_new_session: bool = False,
    text: bool = False,
) -> Any:
    """Start ``python -m MODULE ARGUMENTS``, as ``subprocess.Popen`` would; the module is one of this repository."""
    python, dash_m, *arguments = command
    assert (python, dash_m) == (sys.executable, "-m"), f"only python -m MODULE is forked, not {command}"
    ours: dict[int, IO[Any] | None] = {0: None, 1: None}
    theirs, opened = [], []
    for place, given in zip(STANDARD, (stdin, stdout, stderr), strict=True):
        if given == subprocess.PIPE:
            read, write = os.pipe()
            mine, its = (write, read) if place == 0 else (read, write)
            mode = "w" if place == 0 else "r"
            ours[place] = os.fdopen(mine, mode) if text else os.fdopen(mine, f"{mode}b")
        elif given == subprocess.DEVNULL:
            its = os.open(os.devnull, os.O_RDWR)
        else:
            theirs.append(place if given is None else given if isinstance(given, int) else given.fileno())
            continue
        opened.append(its)
        theirs.append(its)
    order = {
        "arguments": arguments,
        "environment": dict(os.environ if env is None else env),
        "folder": str(Path.cwd()),
        "session": start_new_session,
    }
    try:
        pid = _nursery().ask(order, theirs)
    finally:
        for its in opened:
            os.close(its)
    return Child(pid, list(command), ours[0], ours[1])


def printed(*arguments: str, env: Mapping[str, str]) -> str:
    """What ``python -m worker ARGUMENTS`` prints; it must end well."""
    command = [sys.executable, "-m", "worker", *arguments]
    child = spawn(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    with child.stdout as output:
        found: str = output.read()
    assert child.wait(PATIENCE) == 0, found
    return found


class Nursery:
    """The process that forks the others; it ends with its owner, at the latest when the socket between them closes."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.owner = os.getpid()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                start_new_session=True,
            )

    def ask(self, order: Mapping[str, Any], files: Sequence[int] = ()) -> Any:
        """Send an order; its answer."""
        with self._guard:
            socket.send_fds(self._socket, [json.dumps(order).encode()], files)
            answer = self._socket.recv(ORDER_BYTES)
        assert answer, "the nursery has ended"
        return json.loads(answer)

    def close(self) -> None:
        """End it; its children are their owners' to end."""
        self._socket.close()
        self._process.wait(PATIENCE)


_nurseries: list[Nursery] = []
_starting = threading.Lock()


def _nursery() -> Nursery:
    """The nursery of this process, started when it is first needed."""
    with _starting:
        if not _nurseries or _nurseries[0].owner != os.getpid():
            _nurseries[:] = [Nursery()]
            atexit.register(_nurseries[0].close)
    return _nurseries[0]


def serve(orders: socket.socket) -> None:
    """Take orders until the owner is gone."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        text, files, _, _ = socket.recv_fds(orders, ORDER_BYTES, len(STANDARD))
        if not text:
            return
        order = json.loads(text)
        if "poll" in order:
            answer = _ended(order["poll"])
        else:
            answer = os.fork()
            if answer == 0:
                orders.close()
                _be_born(order, files)
                return
        for file in files:
            os.close(file)
        orders.send(json.dumps(answer).encode())


def _ended(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _be_born(order: Mapping[str, Any], files: Sequence[int]) -> None:
    """Become what ``python -m MODULE ARGUMENTS`` is."""
    if order["session"]:
        os.setsid()
    for place, file in zip(STANDARD, files, strict=True):
        os.dup2(file, place)
    for file in files:
        os.close(file)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    gc.unfreeze()
    module, *arguments = order["arguments"]
    sys.argv = [module, *arguments]
    with suppress(KeyError):
        del sys.modules[f"{module}.__main__"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as found:
        serve(found)
