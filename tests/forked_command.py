"""``prediction-worker`` as a command of a shell that starts in milliseconds: forked from tests/nursery.py.

What a shell runs is this file, as a program without the product: it sends its arguments, its folder, its environment
and every file that the shell has opened for it to the process of the tests. That has a process forked with them. The
program ends when that one has ended, with the same code.
"""

from __future__ import annotations

import json
import os
import socket
import sys

LONGEST = 150_000
"""Bytes of an order, the environment included."""


def send_on(address: str, arguments: list[str]) -> int:
    """Have the command forked with what this process was started with; its exit code."""
    files = [number for number in map(int, os.listdir("/dev/fd")) if _is_open(number)]  # noqa: PTH208 - pathlib is slow to import
    order = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ), "files": files}  # noqa: PTH109
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(address)
        socket.send_fds(server, [json.dumps(order).encode()], files)
        return int(server.recv(16) or b"70")


def _is_open(number: int) -> bool:
    """Whether it is still there: the listing itself was a file too."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(send_on(sys.argv[1], sys.argv[2:]))
