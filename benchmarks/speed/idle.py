"""What a worker costs that has nothing to do: ``python -m benchmarks.speed.idle --seconds 30``.

Processor time of the worker and of its Redis, in milliseconds a second, and that of each thread of the worker. Another
source tree (``--tree``) is measured at the same time, beside this one and on a Redis of its own, so that both share the
machine's load.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.speed.ground import Ground
from worker.demo.environment import WorkerProcess

WARM_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Spent:
    """Milliseconds of processor time a second, of the worker, its threads (dearest first) and Redis."""

    worker: float
    redis: float
    threads: tuple[float, ...]


@contextmanager
def idle_worker(tree: Path) -> Iterator[tuple[int, int]]:
    """A worker of a source tree with nothing to do: its process id and that of its Redis."""
    with ExitStack() as stack:
        ground = stack.enter_context(Ground())
        environment = {
            "REDIS_URL": ground.redis_url,
            "KILI_API_KEY": ground.kili.api_key,
            "KILI_API_ENDPOINT": ground.kili.endpoint,
            "WORKER_HTTP__LISTEN": "127.0.0.1:0",
            "PYTHONPATH": str(tree),
        }
        spawn: Any = partial(subprocess.Popen, cwd=tree)
        worker = stack.enter_context(WorkerProcess(environment, ground.folder, spawn=spawn))
        yield worker.pid, ground.redis_pid


def measure(trees: list[Path], seconds: float) -> list[Spent]:
    """Let one worker of each tree be idle side by side."""
    with ExitStack() as stack:
        pids = [stack.enter_context(idle_worker(tree)) for tree in trees]
        time.sleep(WARM_SECONDS)
        before = [(_threads(worker), _threads(server)) for worker, server in pids]
        begun = time.monotonic()
        time.sleep(seconds)
        after = [(_threads(worker), _threads(server)) for worker, server in pids]
        passed = time.monotonic() - begun
    return [_spent(*one, *two, passed) for one, two in zip(before, after, strict=True)]


def _threads(pid: int) -> dict[str, int]:
    """Nanoseconds of processor time of each thread of a process."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return {thread.name: int((thread / "schedstat").read_text().split()[0]) for thread in threads}


def _spent(
    worker: dict[str, int],
    server: dict[str, int],
    worker_after: dict[str, int],
    server_after: dict[str, int],
    passed: float,
) -> Spent:
    def per_second(before: dict[str, int], after: dict[str, int]) -> list[float]:
        return [(spent - before.get(name, 0)) / 1e6 / passed for name, spent in after.items()]

    threads = sorted(per_second(worker, worker_after), reverse=True)
    return Spent(sum(threads), sum(per_second(server, server_after)), tuple(threads))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--tree", type=Path, action="append", default=[], help="of another commit, to compare with")
    options = parser.parse_args()
    trees = [Path.cwd(), *(tree.resolve() for tree in options.tree)]
    sys.stdout.write("| tree | worker ms/s | Redis ms/s | threads |\n|---|---|---|---|\n")
    for tree, spent in zip(trees, measure(trees, options.seconds), strict=True):
        threads = ", ".join(f"{one:.2f}" for one in spent.threads if one >= 0.01)
        name = "this" if tree == trees[0] else tree.name
        sys.stdout.write(f"| {name} | {spent.worker:.1f} | {spent.redis:.1f} | {threads} |\n")


if __name__ == "__main__":
    main()
