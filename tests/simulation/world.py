"""Virtual time and the tasks that live in it: one runs at a time, and who goes next is decided by the seed."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from typing import Any, TextIO

from greenlet import getcurrent, greenlet

from worker.environment import clock

BEGIN = 1_790_000_000.0
"""The moment at which every simulation begins (September 2026)."""


class Crash(BaseException):
    """The process of the running task is gone; not an Exception, so that no code of the worker handles it."""


class Violation(AssertionError):
    """An invariant does not hold."""


class Process:
    """What tasks may belong to: when it is gone they are, and while it stands still they do."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_gone = False
        self.frozen_until = 0.0
        self.thawed_at = float("-inf")
        self.tasks: list[Task] = []
        self.watcher: Task | None = None
        """Woken when it is gone."""


class Task:
    """One thread of control."""

    def __init__(self, name: str, run: Callable[[], None], process: Process | None, hub: greenlet) -> None:
        self.name = name
        self.process = process
        self.turn = 0
        self.is_over = False
        self.is_idle = False
        self.greenlet = greenlet(self._run, hub)
        self._body = run

    def _run(self) -> None:
        try:
            self._body()
        except Crash:
            pass
        finally:
            self.is_over = True


class World:
    """The scheduler.

    Args:
        seed: decides everything.
        trace: gets a line for every event, when given; its hash is kept in any case.
    """

    def __init__(self, seed: int, trace: TextIO | None = None) -> None:
        self.seed = seed
        self.now = BEGIN
        self.dice = random.Random(seed)
        self.steps = 0
        self._trace = trace
        self._hash = hashlib.sha256()
        self._agenda: list[tuple[float, float, int, Task | Callable[[], None], int]] = []
        self._count = 0
        self._hub = getcurrent()
        self._task: Task | None = None

    # what happens

    def say(self, who: str, what: str) -> None:
        """Put a line into the trace."""
        line = f"{self.now - BEGIN:.6f} {who} {what}\n"
        self._hash.update(line.encode())
        if self._trace is not None:
            self._trace.write(line)

    @property
    def fingerprint(self) -> str:
        """Of everything that has happened."""
        return self._hash.hexdigest()[:16]

    # who goes when

    def spawn(self, name: str, run: Callable[[], None], process: Process | None = None, delay: float = 0.0) -> Task:
        """Begin a task."""
        task = Task(name, run, process, self._hub)
        if process is not None:
            process.tasks.append(task)
        self._put(self.now + delay, task)
        return task

    def at(self, moment: float, do: Callable[[], None]) -> None:
        """Do something at a moment, outside of all tasks."""
        self._push(moment, do, 0)

    def sleep(self, seconds: float) -> None:
        """Let so much time pass for the running task."""
        task = self._task
        if task is None:
            raise RuntimeError("nobody may wait outside of a task")
        if task.process is not None and task.process.is_gone:
            raise Crash
        self._put(self.now + seconds, task)
        self._hub.switch()

    def wake(self, task: Task) -> None:
        """Let a waiting task go on now; whatever it waits for it looks at again."""
        if not task.is_over and task is not self._task:
            self._put(self.now, task)

    def kill(self, process: Process) -> None:
        """End a process between two of its steps, or in the one that runs."""
        process.is_gone = True
        self.say(process.name, "gone")
        self.at(self.now, lambda: self._bury(process))

    def freeze(self, process: Process, seconds: float) -> None:
        """Let a process stand still."""
        self.say(process.name, f"stands still for {seconds:.1f}")
        process.frozen_until = self.now + seconds
        process.thawed_at = process.frozen_until

    def run(self, until: float, after_step: Callable[[], None]) -> None:
        """Let everybody live until a moment."""
        while self._agenda and self._agenda[0][0] <= until:
            moment, _, _, what, turn = heapq.heappop(self._agenda)
            if isinstance(what, Task):
                if what.is_over or turn != what.turn:
                    continue
                if what.process is not None and what.process.frozen_until > moment:
                    self._put(what.process.frozen_until, what)
                    continue
                self.now = max(self.now, moment)
                self._step(what)
            else:
                self.now = max(self.now, moment)
                what()
            self.steps += 1
            after_step()
        self.now = max(self.now, until)

    def _step(self, task: Task) -> None:
        self._task = task
        try:
            task.greenlet.switch()
        finally:
            self._task = None

    def _bury(self, process: Process) -> None:
        for task in process.tasks:
            self._task = task
            while not task.is_over and not task.greenlet.dead:
                if not task.greenlet:  # never begun
                    task.is_over = True
                else:
                    task.greenlet.throw(Crash)
        self._task = None
        if process.watcher is not None:
            self.wake(process.watcher)

    def _put(self, moment: float, task: Task) -> None:
        task.turn += 1
        self._push(moment, task, task.turn)

    def _push(self, moment: float, what: Task | Callable[[], None], turn: int) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (moment, self.dice.random(), self._count, what, turn))


class VirtualClock:
    """The world's time as the worker's clock."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._world.now

    def monotonic(self) -> float:
        """Seconds since the beginning, and some."""
        return self._world.now - BEGIN + 1000.0

    def wait(self, event: clock.Waitable, seconds: float | None) -> bool:
        """Let time pass until the event is set."""
        world = self._world
        end = world.now + (1e9 if seconds is None else max(0.0, seconds))
        while not event.is_set() and world.now < end:
            world.sleep(end - world.now)
        return event.is_set()


class ClockModule:
    """Stands in for the module ``time`` where fakeredis, which has no seam for it, asks what time it is."""

    def __init__(self, world: World) -> None:
        self._world = world

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._world.now

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"fakeredis asks the simulated clock for {name}")
