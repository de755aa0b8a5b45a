"""One simulation by its seed: who acts is drawn from it, then everybody lives, then the judge has the last word."""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, TextIO

from tests.simulation.actors import BELOW_HTTP, OF_REDIS, PASSING, Episode, Misfortune, Producer, Supervisor
from tests.simulation.actors import make_project as make
from tests.simulation.fleet import Broker, Complaints, Worker, settings_of
from tests.simulation.judge import Judge, Published
from tests.simulation.reverted import reverted
from tests.simulation.servers import SimulatedKili, SimulatedRedis, fakeredis_time
from tests.simulation.world import BEGIN, Violation, VirtualClock, World
from worker.environment import clock
from worker.kili import derived_asset_id
from worker.settings.tree import Settings

DAY = 86_400.0
KINDS = ("IMAGE", "IMAGE", "TEXT")
"""Of the projects."""

QUIET_SECONDS = 3600.0
"""After the last fault and the last message everything must be delivered within this time."""


SELDOM = 50_000
"""New objects before garbage is looked for among them: what Kili and Redis hold is no garbage, and grows for months."""


@dataclass(frozen=True)
class Plan:
    """What a seed makes happen; smaller plans are made of it when it fails."""

    seed: int
    days: float
    workers: int
    producers: tuple[tuple[int, str, str, float], ...]
    """Project number, model, version, messages a second."""
    episodes: tuple[Episode, ...]
    kinds: tuple[str, ...] = ("crash", "term", "freeze")
    pauses: float = 0.3
    refuses_uploads: bool = False
    omits_content: bool = False
    """Whether new answers about known assets may come without content."""
    forgets: bool = False
    """A planted fault of Kili."""
    mean_between_harm: float = 900.0
    reverted: str = ""
    """Name of a mending that is taken back."""

    PARTS: ClassVar[tuple[str, ...]] = ("episodes", "producers", "kinds")
    OPTION: ClassVar[str] = ""
    """What the command says for plans of this kind."""

    @property
    def end_of_faults(self) -> float:
        """When nothing goes wrong any more, and nothing more is sent."""
        return BEGIN + self.days * DAY

    def make(self, world: World) -> Simulation:
        """The world of this plan."""
        return Simulation(world, self)

    def parts(self) -> int:
        """How many parts may be left out."""
        return sum(len(getattr(self, name)) for name in self.PARTS)

    def without(self, part: int) -> Plan:
        """The plan without one of its parts."""
        for name in self.PARTS:
            known = getattr(self, name)
            if part < len(known):
                return replace(self, **{name: known[:part] + known[part + 1 :]})
            part -= len(known)
        raise IndexError(part)


def plan_of(
    seed: int, days: float = 1.0, messages: float = 4000.0, *, forgets: bool = False, bare: bool = False
) -> Plan:
    """What a seed makes happen: dense faults."""
    dice = random.Random(seed)
    producers = []
    count = dice.randint(1, 5)
    rates = [dice.expovariate(1) + 0.05 for _ in range(count)]
    for number, rate in enumerate(rates):
        share = messages * rate / sum(rates) / DAY
        producers.append((dice.randint(0, 2), f"m{number % 3}", str(dice.randint(1, 3)), share))
    return Plan(
        seed=seed,
        days=days,
        workers=dice.randint(2, 3),
        refuses_uploads=dice.random() < 0.5,
        forgets=forgets,
        omits_content=bare,
        producers=tuple(producers),
        episodes=tuple(_episodes(dice, days)),
        pauses=dice.choice((0.02, 0.1, 0.5)),
        mean_between_harm=dice.choice((120.0, 900.0, 3600.0)),
    )


def _episodes(dice: random.Random, days: float) -> Iterator[Episode]:
    kinds = [*PASSING, *BELOW_HTTP, *OF_REDIS]
    operations = ["*", "*", "filterExistingAssets", "assets", "appendManyAssets", "appendManyLabels"]
    operations += ["updatePropertiesInAssets", "upload"]
    for _ in range(max(dice.randint(4, 12), int(days * dice.randint(5, 40)))):
        seconds = dice.choice((dice.uniform(1, 60), dice.uniform(60, 1800), dice.uniform(1800, 4 * 3600)))
        kind = dice.choice(kinds)
        if kind in OF_REDIS:
            seconds = min(seconds, 600)
        begin = BEGIN + dice.uniform(0, max(1.0, days * DAY - seconds))
        chance = dice.choice((1.0, 0.5, 0.1))
        operation = dice.choice(operations)
        if operation == "upload" and kind not in OF_REDIS:  # of a bucket a 401 or 403 is a word about one upload
            kind = dice.choice(("500", "503", "504", "429 bare", "reset", "lost"))
        yield Episode(kind, begin, min(seconds, days * DAY), chance, operation)


@dataclass(frozen=True)
class Outcome:
    """How a simulation ended; ``problem`` is empty when all is well."""

    plan: Plan
    problem: str
    at: float
    fingerprint: str
    steps: int
    calls: int
    published: int


def simulate(plan: Plan, trace: TextIO | None = None) -> Outcome:
    """Live through a plan."""
    world = World(plan.seed, trace)
    with demo_environment(world), reverted(plan.reverted):
        simulation = plan.make(world)
        problem = ""
        try:
            simulation.run()
        except Violation as error:
            problem = str(error)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            logging.getLogger(__name__).debug("died", exc_info=True)
            if trace is not None:
                raise
        finally:
            simulation.end()
        published = simulation.published.count
        return Outcome(
            plan, problem, world.now - BEGIN, world.fingerprint, world.steps, simulation.kili.calls, published
        )


class Simulation:
    """The world of one plan.

    ``quiet`` seconds after the last fault everything must be delivered; every ``thorough_every`` seconds the judge
    looks at what is too dear for every step; ``adaptive_limit`` and ``slowest`` are how often an idle worker looks.
    """

    quiet = QUIET_SECONDS
    thorough_every = 3600.0
    adaptive_limit = 1.0
    slowest = 60.0

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.store = SimulatedRedis(world)
        dice = random.Random(plan.seed + 1)
        self.settings = self._settings(dice)
        self.kili = SimulatedKili(
            world,
            plan.seed,
            calls_per_minute=self.settings.kili.calls_per_minute,
            resent_id=dice.choice(("upsert", "refuse")),
            batches=dice.choice(("atomic", "partial")),
            read_lag=dice.choice((0.0, 0.0, 1.0, 2.5)),
        )
        self.kili.forgets = plan.forgets
        self.published = Published()
        self.judge = Judge(world, self.store, self.kili, self.published)
        self.broker = Broker(world)
        self.workers: list[Worker] = []
        self.complaints = Complaints(world)
        refused = self._populate(dice)
        for number in range(plan.workers):
            keeper = Supervisor(
                world,
                f"w{number + 1}",
                self._start,
                random.Random(dice.random()),
                plan.end_of_faults,
                plan.mean_between_harm,
                plan.kinds,
            )
            keeper.task = world.spawn(f"supervisor {number + 1}", keeper.live)
        Misfortune(world, self.kili, self.store, list(plan.episodes), sorted(set(refused)))
        self._checked = 0.0
        self._counted = 0

    def _settings(self, dice: random.Random) -> Settings:
        return settings_of(
            delivery={"tick_seconds": 1.0, "missing_asset_grace_seconds": 1200.0},
            kili={"calls_per_minute": dice.choice((60, 200, 500))},
            spool={"lease_seconds": dice.choice((5.0, 30.0))},
            feedback={"enabled": False},
            review={"threshold": 0.8},
        )

    def _populate(self, dice: random.Random) -> list[str]:
        """Projects and producers; the ids of assets whose uploads are refused."""
        plan, world = self.plan, self.world
        projects = [make(self.kili, f"p{number}", kind) for number, kind in enumerate(KINDS)]
        refused: list[str] = []
        for project, model, version, rate in plan.producers:
            own = random.Random(dice.random())
            producer = Producer(
                world, self.store, self.published, projects[project], (model, version), rate, own, self.broker.came
            )
            producer.until = plan.end_of_faults
            producer.omits_content = plan.omits_content
            producer.of_texts = KINDS[project] == "TEXT"
            if producer.of_texts and plan.refuses_uploads:
                names = [f"{model}/{number}.jpg" for number in (3, 4, 11)]
                self.published.condemned |= set(names)
                refused += [derived_asset_id(projects[project], name) for name in names]
            world.spawn(f"producer {project}/{model}:{version}", producer.live, delay=own.uniform(0, 60))
        return refused

    def run(self) -> None:
        """Live until all is over."""
        handler, log = self.complaints, logging.getLogger("worker")
        log.addHandler(handler)
        level, propagate = log.level, log.propagate
        log.setLevel(logging.WARNING)
        log.propagate = False
        try:
            self.world.run(self.plan.end_of_faults, self._after_step)
            self.world.say("world", "nothing goes wrong any more")
            self.world.run(self.plan.end_of_faults + self.quiet, self._after_step)
            self._judge_end()
        finally:
            log.removeHandler(handler)
            log.setLevel(level)
            log.propagate = propagate

    def _judge_end(self) -> None:
        self.judge.final()

    def end(self) -> None:
        """Nobody lives on."""
        for worker in self.workers:
            worker.is_gone = True
            self.world._bury(worker)

    def _start(self, name: str) -> Worker:
        worker = Worker(
            name,
            self.world,
            self.store,
            self.kili,
            self.broker,
            self.settings,
            pauses=self.plan.pauses,
            adaptive_limit=self.adaptive_limit,
            slowest=self.slowest,
        )
        self.workers = [*(one for one in self.workers if one.is_up), worker]
        return worker

    def _after_step(self) -> None:
        if self.store.was_touched:
            self.store.was_touched = False
            self.judge.ledger()
        if self.complaints.found:
            raise Violation(self.complaints.found[0])
        if self.world.now - self._checked >= self.thorough_every:
            self._checked = self.world.now
            self.judge.thorough()


@contextmanager
def demo_environment(world: World) -> Iterator[None]:
    """The world's clock and its dice for all of the worker's code, meanwhile."""
    before, state, often = clock.use(VirtualClock(world)), random.getstate(), gc.get_threshold()
    random.seed(world.seed)
    gc.set_threshold(SELDOM, *often[1:])
    try:
        with fakeredis_time(world):
            yield
    finally:
        gc.set_threshold(*often)
        clock.use(before)
        random.setstate(state)
