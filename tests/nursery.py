"""Processes of the worker and of the local Kili that start in milliseconds: forked from one that has imported them.

Each of them is a process of its own, as one that a shell starts: with its own id, files, environment and session, to be
killed, stopped and waited for. What it saves is the second of CPU that Python takes to import the product, some two
hundred times in a run of the suite. What the imports and the command line themselves are worth is shown by the cases
that start ``prediction-worker`` as a user does: of the demo, the pages, the checks at the start.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import io
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

from tests.awaiting import PATIENCE, pause_after

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
    "worker.cli.running",
    "worker.cli.serving",
    "worker.monitoring.checks",
    "worker.sandbox.server",
    "worker.sources.http",
)
ROOT = Path(__file__).parents[1]
ORDER_BYTES = 1_000_000
MOST_FILES = 32
STANDARD = (0, 1, 2)
ABOVE_THE_CHILDS = 200
"""Files come under numbers that may be those of others in the child: they are moved up here first."""


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
        begun = time.monotonic()
        while (code := self.poll()) is None:
            waited = time.monotonic() - begun
            if timeout is not None and waited > timeout:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(pause_after(waited))
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
    known = dict(os.environ if env is None else env)
    try:
        pid = forked(arguments, known, str(Path.cwd()), dict(zip(STANDARD, theirs, strict=True)), start_new_session)
    finally:
        for its in opened:
            os.close(its)
    return Child(pid, list(command), ours[0], ours[1])


def forked(
    arguments: Sequence[str], environment: Mapping[str, str], folder: str, files: Mapping[int, int], session: bool
) -> int:
    """Fork a module with its arguments; ``files`` has each number in the child with the file's number here."""
    order = {
        "arguments": list(arguments),
        "environment": dict(environment),
        "folder": folder,
        "session": session,
        "numbers": list(files),
    }
    return int(_nursery().ask(order, list(files.values())))


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
    atexit.register(_end_at_once)  # before any other, so that it comes last
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        text, files, _, _ = socket.recv_fds(orders, ORDER_BYTES, MOST_FILES)
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
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, ABOVE_THE_CHILDS) for file in files]
    for file in files:
        os.close(file)
    for number, file in zip(order["numbers"], moved, strict=True):
        os.dup2(file, number)
        os.close(file)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    _renew_standard_streams()
    module, *arguments = order["arguments"]
    sys.argv = [module, *arguments]
    with suppress(KeyError):
        del sys.modules[f"{module}.__main__"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            _codes.append((ended.code or 0) & 0xFF)
        raise
    else:
        _codes.append(0)


_codes: list[int] = []
"""What a child ends with, as soon as that is known."""


def _end_at_once() -> None:
    """The last thing that a child does: to take a thousand modules apart takes a third of a second."""
    if _codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_codes[-1])


def _renew_standard_streams() -> None:
    """As at the start of Python: whether a stream is a terminal, and whether it can be sought, it keeps in mind."""
    for place, name in enumerate(("stdin", "stdout", "stderr")):
        raw = io.FileIO(place, "w" if place else "r", closefd=False)
        raw.name = f"<{name}>"
        by_line = name == "stderr" or (bool(place) and raw.isatty())
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw) if place else io.BufferedReader(raw),
            encoding="utf-8",
            errors="backslashreplace" if name == "stderr" else "strict",
            newline="\n",
            line_buffering=by_line,
            write_through=bool(os.environ.get("PYTHONUNBUFFERED")),
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as found:
        serve(found)
