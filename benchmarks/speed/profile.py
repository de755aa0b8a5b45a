"""Where a worker's Python spends its time, by py-spy: taking predictions in, and delivering them.

    python -m benchmarks.speed.profile

writes ``profile.md`` beside the bench's results. A share counts samples in which a thread held the interpreter's lock.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT
from tempfile import TemporaryDirectory

from benchmarks import RESULTS
from benchmarks.speed.competitors.us import await_that, fill, hold, let_go, workers
from benchmarks.speed.ground import Ground
from benchmarks.speed.predictions import Work
from benchmarks.speed.tables import Table

PREDICTIONS = 40_000
PER_SECOND = "250"
LIMIT_SECONDS = 120.0
OTHER = "everything else"

INTAKE: Mapping[str, tuple[str, ...]] = {
    "Redis: take from the inbox, admit to the spool, ledger": ("redis/", "worker/spool/", "worker/intake/inbox.py"),
    "read and validate the message": ("worker/contract/", "pydantic"),
    "format, scores, asset id": (
        "worker/formats/",
        "worker/projects/outputs.py",
        "worker/review/decision.py",
        "worker/kili/ids.py",
    ),
    "decide, write the decision": ("worker/review/",),
    "admission around these": ("worker/intake/",),
}
DELIVERY: Mapping[str, tuple[str, ...]] = {
    "Redis: lease, settle, call budget": ("redis/", "worker/spool/", "worker/kili/budget.py"),
    "HTTP: httpx and httpcore": ("httpx/", "httpcore/"),
    "compose the json_response and validate it": (
        "worker/ontology/",
        "worker/projects/responses.py",
        "worker/formats/",
    ),
    "read and validate the stored message": ("worker/contract/", "pydantic"),
    "request bodies and answers": ("worker/kili/", "json/"),
    "waves, batches, fates, metadata": ("worker/delivery/", "worker/review/", "worker/projects/outputs.py"),
}
"""Parts by the files they run in; a sample belongs to the first part that one of its frames names."""


def main() -> None:
    """Profile one worker and write the tables."""
    with TemporaryDirectory() as folder, Ground() as ground:
        hold(ground)
        with workers(ground) as (worker,):
            intake = _profile(worker.pid, Path(folder), lambda: fill(ground, Work(PREDICTIONS)))
            delivery = _profile(worker.pid, Path(folder), lambda: _deliver(ground))
    text = "\n\n".join(
        [
            "# Where the worker's Python spends its time",
            f"Shares of the samples that `python -m benchmarks.speed.profile` took with py-spy, {PREDICTIONS:,} "
            "classifications, threads that held the interpreter's lock.",
            _table("Taking in, stream door", intake, INTAKE),
            _table("Delivering, no latency", delivery, DELIVERY),
        ]
    )
    sys.stdout.write(text + "\n")
    (RESULTS / "profile.md").write_text(text + "\n", encoding="utf-8")


def _deliver(ground: Ground) -> None:
    let_go(ground)
    if not await_that(lambda: ground.spool.ledger().delivered >= PREDICTIONS, LIMIT_SECONDS):
        raise TimeoutError(f"{PREDICTIONS} predictions are not delivered after {LIMIT_SECONDS:g} s")


def _profile(pid: int, folder: Path, work: Callable[[], object]) -> Counter[str]:
    """Stacks and how often each was seen while the work went on."""
    found = folder / "stacks"
    with _watched(pid, found):
        work()
    stacks: Counter[str] = Counter()
    for line in found.read_text("utf-8").splitlines():
        stack, count = line.rsplit(" ", 1)
        stacks[stack] += int(count)
    return stacks


@contextmanager
def _watched(pid: int, found: Path) -> Iterator[None]:
    program = str(Path(sys.executable).with_name("py-spy"))
    options = ["--gil", "--nonblocking", "--rate", PER_SECOND, "--format", "raw", "--output", str(found)]
    command = [program, "record", *options, "--pid", str(pid)]
    watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        yield
    finally:
        watcher.send_signal(SIGINT)
        watcher.wait()


def _table(title: str, stacks: Counter[str], parts: Mapping[str, tuple[str, ...]]) -> str:
    shares: Counter[str] = Counter()
    for stack, count in stacks.items():
        shares[_part(stack, parts)] += count
    total = max(1, shares.total())
    rows = [(part, f"{count / total:.0%}") for part, count in shares.most_common()]
    return Table(title, ("part", "share"), rows, f"{total:,} samples.").markdown()


def _part(stack: str, parts: Mapping[str, tuple[str, ...]]) -> str:
    """Nearest frame first: what a part calls belongs to the callee's part, where it has one."""
    for frame in reversed(stack.split(";")):
        for part, files in parts.items():
            if any(name in frame for name in files):
                return part
    return OTHER


if __name__ == "__main__":
    main()
