"""All time comes from one clock."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker
from worker.environment import clock

ROOT = Path(worker.__file__).parent
WITH_TIME_OF_THEIR_OWN = ("cli", "demo", "sandbox")
"""They run processes and servers beside the worker, or speak to people."""
EXCEPT = {
    "environment/clock.py",  # it is the clock
    "environment/embedded_redis.py",  # waits for a process of the machine
    "formats/mappings/process.py",  # so does this
    "tracing/open_telemetry.py",  # spans have the time of the machine, in nanoseconds
}
WAITS_FOR_THREADS = {"delivery/in_flight.py"}
"""A condition of their own threads, not time: nothing is to be waited for where there are none."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT)
        if name.parts[0] not in WITH_TIME_OF_THEIR_OWN and str(name) not in EXCEPT:
            yield str(name), ast.parse(path.read_text("utf-8"))


def offences(name: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(one.name in ("time", "sched") for one in node.names):
            yield f"{name}:{node.lineno}: imports the module time"
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "sched"):
            yield f"{name}:{node.lineno}: imports from the module time"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            of_clock = isinstance(owner, ast.Name) and owner.id == "clock"
            if node.func.attr in ("utcnow", "today") or (node.func.attr == "now" and "date" in ast.unparse(owner)):
                yield f"{name}:{node.lineno}: {ast.unparse(node.func)}"
            if node.func.attr == "wait" and not of_clock and name not in WAITS_FOR_THREADS:
                yield f"{name}:{node.lineno}: {ast.unparse(node.func)} waits by itself"


def test_nobody_takes_time_from_elsewhere() -> None:
    read = {name for name, _ in modules()}
    assert {"runtime.py", "delivery/wave.py"} <= read
    assert all((ROOT / name).exists() for name in EXCEPT | WAITS_FOR_THREADS)
    found = [offence for name, tree in modules() for offence in offences(name, tree)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    ["import time", "from time import monotonic", "x = datetime.now(UTC)", "self._stop.wait(3)", "date.today()"],
)
def test_the_check_finds_what_it_looks_for(text: str) -> None:
    assert list(offences("some.py", ast.parse(text)))


def test_another_clock_is_used_until_the_former_is_put_back() -> None:
    class Still(clock.SystemClock):
        def now(self) -> float:
            return 12.0

    before = clock.use(Still())
    try:
        assert clock.now() == 12.0
        assert not clock.wait(threading.Event(), 0.0)
    finally:
        clock.use(before)
    assert clock.now() > 12.0
