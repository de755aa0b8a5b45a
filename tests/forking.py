"""Serves tests/forked_command.py: forks the commands that a shell asks for."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import forked_command
from tests.nursery import MOST_FILES, Child, forked


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """What stands in a shell for ``prediction-worker``, as long as this is open."""
    address = str(folder / "commands")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(address)
        server.listen()
        threading.Thread(target=_take, args=(server,), daemon=True).start()
        yield shlex.join([sys.executable, "-I", "-S", forked_command.__file__, address])
        server.shutdown(socket.SHUT_RDWR)


def _take(server: socket.socket) -> None:
    while True:
        try:
            one, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_run, args=(one,), daemon=True).start()


def _run(asked: socket.socket) -> None:
    with asked:
        text, files, _, _ = socket.recv_fds(asked, forked_command.LONGEST, MOST_FILES)
        order = json.loads(text)
        try:
            arguments = ["worker", *order["arguments"]]
            given = dict(zip(order["files"], files, strict=True))
            pid = forked(arguments, order["environment"], order["folder"], given, session=False)
        finally:
            for file in files:
                os.close(file)
        code = Child(pid, arguments, None, None).wait()
        asked.send(str(code if code >= 0 else 128 - code).encode())
