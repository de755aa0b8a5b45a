"""A RabbitMQ of a test's own: a free port, a node name and a folder of its own, ended with its node."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from tests.awaiting import free_port, listens
from tests.faults.tls import CERTIFICATE

RABBITMQ = shutil.which("rabbitmq-server", path=f"{os.environ.get('PATH', '')}:/usr/lib/rabbitmq/bin:/usr/sbin")
PLAIN = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Debian's script without the change of user: the node runs as whoever runs the tests."""

CONFIGURATION = """
listeners.tcp.default = 127.0.0.1:{port}
listeners.ssl.default = 127.0.0.1:{tls_port}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {certificate}
ssl_options.verify = verify_none
loopback_users = none
log.console = true
log.file = false
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
consumer_timeout = 1800000
"""


class RabbitServer:
    """The server; it listens when this returns."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rabbit-"))
        self.port, self.tls_port, distribution, mapper = (free_port() for _ in range(4))
        (self.folder / "rabbitmq.conf").write_text(
            CONFIGURATION.format(port=self.port, tls_port=self.tls_port, certificate=CERTIFICATE)
        )
        (self.folder / "enabled_plugins").write_text("[].\n")
        environment = {
            **os.environ,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"test-{uuid.uuid4().hex[:8]}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.log = self.folder / "console.log"
        with self.log.open("wb") as log:
            command = [PLAIN if Path(PLAIN).exists() else str(RABBITMQ)]
            self._server = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._await_listening()

    def stop(self) -> None:
        """End the node and the port mapper that it started: both are of the server's own session."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(10)
        self._end_mapper()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_mapper(self) -> None:
        """The port mapper leaves the session; it is known by the port that it was started with."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (process / "environ").read_bytes()
                if b"epmd" in (process / "cmdline").read_bytes() and str(self.folder).encode() in environment:
                    os.kill(int(process.name), signal.SIGKILL)

    def _await_listening(self, limit: float = 300) -> None:
        end = time.monotonic() + limit
        while time.monotonic() < end and self._server.poll() is None:
            if listens(self.port):
                return
            time.sleep(0.1)
        text = self.log.read_text("utf-8", "replace")[-3000:]
        self.stop()
        raise RuntimeError(f"rabbitmq-server did not start:\n{text}")


@functools.cache
def shared_server() -> RabbitServer:
    """One server for all cases of a process, which ends it: a start takes long. Cases have queues of their own."""
    server = RabbitServer()
    atexit.register(server.stop)
    return server
