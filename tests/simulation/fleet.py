"""The workers: the real runtime of each, its threads as tasks of the world."""

from __future__ import annotations

import logging
import random
import re
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.simulation.servers import API_KEY, ENDPOINT, Gate, SimulatedKili, SimulatedRedis
from tests.simulation.world import Crash, Process, Task, World
from worker.environment import clock
from worker.environment.connections import Environment
from worker.review.policy_file import PolicyError
from worker.runtime import Runtime
from worker.settings.tree import Settings

FOLDERS = "simulation-"
NEVER_IN_ORDER = frozenset({"wave_failed", "thread_failed", "feedback_failed", "call_failed", "fetch_failed"})
"""Log actions that no fault explains: our own code has failed."""


class Inline(Executor):
    """Runs what is submitted at once: there are no threads."""

    def __init__(self, *_: object) -> None:
        """Most at once and name do not matter."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it; the future is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Crash:
            raise
        except BaseException as error:  # noqa: BLE001 - as any executor
            future.set_exception(error)
        return future


class WaveThread(Executor):
    """Runs waves one after another in a task of the world, as the scheduler's pool does."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waves: deque[Callable[[], None]] = deque()
        self.task: Task | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have the task run it; nobody asks the future."""
        self._waves.append(lambda: fn(*args, **kwargs))
        if self.task is not None and self.task.is_idle and not self.task.is_over:
            self._world.wake(self.task)
        return Future()

    def take(self) -> Callable[[], None] | None:
        """What is to run next."""
        return self._waves.popleft() if self._waves else None


@dataclass
class Broker:
    """Tells the readers of the fleet that something came in."""

    world: World
    readers: list[Task] = field(default_factory=list)

    def came(self) -> None:
        """Something came in: a reader that looks all the time finds it soon."""
        idle = [task for task in self.readers if task.is_idle and not task.is_over]
        if idle:
            self.world.wake(self.world.dice.choice(idle))


class Worker(Process):
    """One worker process."""

    def __init__(
        self,
        name: str,
        world: World,
        store: SimulatedRedis,
        kili: SimulatedKili,
        broker: Broker,
        settings: Settings,
        *,
        pauses: float,
        adaptive_limit: float,
        slowest: float = 60.0,
    ) -> None:
        super().__init__(name)
        self._world = world
        self._broker = broker
        self._dice = random.Random(world.dice.random())
        self.adaptive_limit = adaptive_limit
        self.slowest = slowest
        self._slower = 2.5 if slowest <= 60.0 else 4.0
        self.gate = Gate(world, self, pauses, dice=random.Random(world.dice.random()))
        self._wave_thread = WaveThread(world)
        environment = Environment(
            connect=lambda _: store.client(self.gate),
            executor=lambda _, kind: self._wave_thread if kind == "wave" else Inline(),
            http=kili.http(self.gate),
            has_threads=False,
            name=name,
        )
        self.settings = settings
        self._make = lambda: Runtime(settings, environment)
        self.runtime: Runtime
        self.has_ended = False
        self.is_refused = False
        """Whether its settings were not taken."""
        self._delivers = False
        world.say(name, "starts")
        self._life = world.spawn(name, self._live, self)

    def drain(self) -> None:
        """SIGTERM."""
        self._world.say(self.name, "SIGTERM")
        self.runtime.drain()
        for task in self.tasks:
            self._world.wake(task)

    @property
    def is_up(self) -> bool:
        """Whether it works, or is about to."""
        return not (self.is_gone or self.has_ended)

    @property
    def may_drain(self) -> bool:
        """Whether it has begun and was not asked to end."""
        return self.is_up and hasattr(self, "runtime") and not self.runtime.stop_event.is_set()

    def _live(self) -> None:
        try:
            self.runtime = self._make()
        except PolicyError as error:  # as the process does: it says so and ends
            self._world.say(self.name, f"does not start: {_placeless(str(error))[:100]}")
            self.has_ended = self.is_refused = True
            if self.watcher is not None:
                self._world.wake(self.watcher)
            return
        runtime, world = self.runtime, self._world
        runtime.connected.set()
        bodies = {"intake": self._intake, "wave": self._waves, "keeper": self._keep}
        if self.settings.feedback.enabled:
            bodies["feedback"] = self._listen
        tasks = [world.spawn(f"{self.name}/{name}", run, self) for name, run in bodies.items()]
        while not runtime.stop_event.is_set():
            world.sleep(1e6)
        end = world.now + self.settings.delivery.drain_seconds
        while any(not task.is_over for task in tasks) and world.now < end:
            world.sleep(0.2)
        if any(not task.is_over for task in tasks):  # as the watchdog does
            world.kill(self)
            raise Crash
        try:
            runtime.close()
        finally:
            self.has_ended = True
        world.say(self.name, "ended")
        if self.watcher is not None:
            world.wake(self.watcher)

    def _intake(self) -> None:
        """The reader's loop and the scheduler's: at once when something came, and less and less often after that."""
        runtime, stop, task = self.runtime, self.runtime.stop_event, self._own("intake")
        self._broker.readers.append(task)
        runtime.reader.open()
        idle = self.adaptive_limit
        try:
            while not stop.is_set():
                busy = runtime.reader.step()
                runtime.scheduler.step()
                idle = self.adaptive_limit if busy else min(idle * self._slower, self.slowest)
                task.is_idle, before = True, self._world.now
                wait = self._dice.uniform(0.05, 0.5) if busy else self._dice.uniform(0.3, 1.0) * idle
                self._world.sleep(0.0 if stop.is_set() else wait)
                if self._world.now < before + wait:  # woken: something came
                    idle = self.adaptive_limit
                task.is_idle = False
            runtime.reader.leave()
        finally:
            self._broker.readers.remove(task)

    def _waves(self) -> None:
        task, keeper = self._own("wave"), self._own("keeper")
        self._wave_thread.task = task
        stop = self.runtime.stop_event
        try:
            while not stop.is_set():
                run = self._wave_thread.take()
                if run is not None:
                    self._delivers = True
                    self._world.wake(keeper)
                    run()
                    self._delivers = False
                    self.runtime.scheduler.look()  # its thread is woken when a wave ends
                    continue
                task.is_idle = True
                self._world.sleep(1e6)
                task.is_idle = False
        finally:
            self._delivers = False
            self._world.wake(keeper)

    def _keep(self) -> None:
        """Renews locks while a wave runs; sleeps otherwise."""
        keeper = self.runtime.deliverer.leases
        while True:
            self._world.sleep(keeper.every if self._delivers else 1e6)
            if keeper.held():
                keeper.renew()
            elif self.runtime.stop_event.is_set() and not self._delivers:
                return

    def _listen(self) -> None:
        stop = self.runtime.stop_event
        with self.runtime.collection_cycle() as rounds:
            rounds.begin()
            while not clock.wait(stop, rounds.pause):
                rounds.step()

    def _own(self, name: str) -> Task:
        return next(task for task in self.tasks if task.name == f"{self.name}/{name}")


def settings_of(**groups: Any) -> Settings:
    """Settings of a simulated worker."""
    memory = Path("/dev/shm")
    folder = Path(mkdtemp(prefix=FOLDERS, dir=memory if memory.is_dir() else None))
    known = {"redis_url": "redis://simulated:6379/0", "kili_api_key": API_KEY, "kili_api_endpoint": ENDPOINT}
    return Settings(**{**known, "heartbeat_file": folder / "heartbeat", **groups})


def _placeless(text: str) -> str:
    """The text without the folder of this run, so that a seed has the same trace each time."""
    return re.sub(rf"\S*/{FOLDERS}[^/]*/", "", text)


class Complaints(logging.Handler):
    """What the workers' logs say that nothing explains."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Put the action into the trace, and remember it when it should never be seen."""
        action = getattr(record, "action", record.name)
        self._world.say("log", f"{action} {_placeless(record.getMessage())[:300]}")
        if action in NEVER_IN_ORDER:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1]:
                text += f": {record.exc_info[1]!r}"
            self.found.append(f"{action}: {text}")


def running(workers: Iterable[Worker]) -> list[Worker]:
    """Those that work."""
    return [worker for worker in workers if worker.is_up]
