"""Runs a sandbox: `python -m worker.sandbox` with the defaults, `python -m worker.sandbox -` as a child.

As a child it reads its options as one line of JSON from standard input, prints the endpoint, and ends when standard
input closes: a sandbox never outlives the process that started it, even one killed without a chance to clean up.
"""

from __future__ import annotations

import os
import select
import sys
import threading

from worker.sandbox.process import SandboxConfig
from worker.sandbox.server import serve

#: How often a child looks whether its parent is still the same, for pipes that a third process holds open.
PATIENCE = 1.0


def main(arguments: list[str]) -> None:
    """Run until a signal comes, or as a child until the parent is gone."""
    if arguments not in ([], ["-"]):
        sys.exit("usage: python -m worker.sandbox [-]")
    config = SandboxConfig()
    if arguments:
        config = SandboxConfig.from_json(sys.stdin.readline())
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    serve(config, announce=_announce)


def _announce(endpoint: str) -> None:
    sys.stdout.write(f"{endpoint}\n")
    sys.stdout.flush()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], PATIENCE)
        if readable and not os.read(sys.stdin.fileno(), 4096):
            break
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
