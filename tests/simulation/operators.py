"""Operators: they acknowledge alarms, replay and drop letters, and change the policy, the settings and projects."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import redis

from tests.simulation.actors import INTERFACE
from tests.simulation.fleet import Inline
from tests.simulation.judge import Published
from tests.simulation.servers import Gate, SimulatedKili, SimulatedRedis
from tests.simulation.world import BEGIN, Process, World
from worker.delivery import LeaseKeeper
from worker.delivery.waiting import ProjectBusy, dead_letter, wait_of
from worker.environment.connections import Environment
from worker.feedback.alarms import AlarmName
from worker.feedback.reading import KiliReader
from worker.kili import KiliError
from worker.kili.interfaces import interface_of
from worker.settings.tree import Settings
from worker.spool.dead_letters import DeadLetters
from worker.wiring import access_of, admitter_of, budget_of, feedback_of, file_rules_of, kili_of, spool_of

DAY = 86_400.0
UPDATE = """
mutation ($where: ProjectWhere!, $data: ProjectData!) {
  data: updatePropertiesInProject(where: $where, data: $data) { id }
}
"""
REMOVE = "mutation ($where: ProjectWhere!) { data: deleteProject(where: $where) { id } }"


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody does on a day: ``replay``, ``drop``, ``policy``, ``broken policy``, ``settings``, ``category``,
    ``marks`` or ``delete``.
    """

    kind: str
    day: float


@dataclass
class Operators:
    """The people who run the workers; each working morning they look at alarms, and at a time each act is done.

    Attributes:
        restart: takes other settings into force at the next start of a worker.
        doomed: the project that is deleted.
    """

    world: World
    store: SimulatedRedis
    kili: SimulatedKili
    published: Published
    settings: Settings
    policy: Path
    projects: list[str]
    doomed: str
    acts: tuple[Act, ...]
    dice: random.Random
    restart: Callable[[Settings], None]
    acknowledged: dict[str, float] = field(default_factory=dict)
    deleted: bool = False
    replayed: int = 0
    dropped: int = 0
    _category: int = 0
    _version: int = 1

    def __post_init__(self) -> None:
        gate = Gate(self.world, Process("operator"), 0.0, dice=random.Random(self.dice.random()))
        self._environment = Environment(
            connect=lambda _: self.store.client(gate), executor=Inline, http=self.kili.http(gate), has_threads=False
        )
        self.write_policy(0.1)

    def live(self) -> None:
        """Do what is to be done, in its turn; what fails is done an hour later."""
        waiting = sorted(self.acts, key=lambda act: act.day)
        while True:
            self.world.sleep(3600.0)
            day = (self.world.now - BEGIN) / DAY
            while waiting and waiting[0].day <= day and self._done(lambda: self._do(waiting[0].kind)):
                self.world.say("operator", waiting.pop(0).kind)
            now = datetime.fromtimestamp(self.world.now, UTC)
            if self.deleted:
                self._done(self._end_wait)
            if now.weekday() < 5 and now.hour == 9:
                self._done(self._acknowledge)

    def _done(self, what: Callable[[], None]) -> bool:
        try:
            what()
        except (redis.RedisError, KiliError, ProjectBusy) as error:
            self.world.say("operator", f"tries later: {type(error).__name__}")
            return False
        return True

    def _do(self, kind: str) -> None:
        match kind:
            case "replay":
                self._replay()
            case "drop":
                self._drop()
            case "policy":
                self.write_policy(self.dice.choice((0.08, 0.1, 0.12)))
            case "broken policy":
                self.policy.write_text("{ this is no policy", "utf-8")
            case "settings":
                self._change_settings()
            case "category":
                self._add_category()
            case "marks":
                self.kili.sandbox.switch({"mark_delay": self.dice.choice((0.0, 3600.0, 20 * 3600.0))})
            case "delete":
                self._delete()

    def write_policy(self, capacity: float) -> None:
        """A policy file, as a deployment writes it."""
        self._version += 1
        rule = {"name": "all", "capacity": {"share": capacity}, "audit": {"rate": 0.05}}
        given = {"version": self._version, "scorer": "off", "rules": [rule]}
        self.policy.write_text(json.dumps(given), "utf-8")

    def _acknowledge(self) -> None:
        """As ``report --acknowledge`` does, every alarm of which people were told."""
        for project in self.projects:
            spool = spool_of(self.settings, self._environment)
            told = {one.decode() for one in spool.redis.hkeys(f"{spool.prefix}feedback:{project}:told")}
            accepted = {one.decode() for one in spool.redis.hkeys(f"{spool.prefix}feedback:{project}:acknowledged")}
            names = sorted(one for one in told - accepted if AlarmName.of(one))
            if not names:
                continue
            budget = budget_of(self.settings, spool)
            kili = kili_of(self.settings, budget, environment=self._environment)
            reader = KiliReader(
                access_of(self.settings),
                budget=budget,
                http=self._environment.http,
                files=file_rules_of(self.settings),
                executor=Inline,
            )
            interface = interface_of(kili.project_interface(project))
            feedback = feedback_of(self.settings, spool, project, reader, interface)
            for name in names:
                feedback.acknowledge(name)
                self.acknowledged[name] = self.world.now
                self.world.say("operator", f"acknowledges {name}")

    def _replay(self) -> None:
        """As ``dead-letters replay --cause`` does, the most frequent cause."""
        spool = spool_of(self.settings, self._environment)
        letters = DeadLetters(spool.redis, spool.prefix)
        cause = next(iter(letters.causes()), None)
        if cause is None:
            return
        admitter = admitter_of(self.settings, spool)
        for letter_id in letters.ids(cause, 50):
            letter = letters.get(letter_id)
            if letter is not None:
                admitter.replay(letter)
                self.replayed += 1
        admitter.keep()

    def _drop(self) -> None:
        """As ``dead-letters drop --cause`` does, the oldest letters of the rarest cause."""
        spool = spool_of(self.settings, self._environment)
        letters = DeadLetters(spool.redis, spool.prefix)
        causes = list(letters.causes())
        for letter_id in letters.ids(causes[-1], 20) if causes else []:
            self.dropped += spool.drop(letter_id)

    def _end_wait(self) -> None:
        """As ``waiting dead-letter`` does: what waits for the project that is gone, each time something does."""
        spool = spool_of(self.settings, self._environment)
        wait = wait_of(spool, self.doomed, None)
        if wait.waiting and not wait.leased:
            dead_letter(spool, wait, keeper=LeaseKeeper(spool, has_thread=False))

    def _change_settings(self) -> None:
        delivery = self.settings.delivery.model_copy(
            update={
                "batch_items": self.dice.choice((20, 50, 100)),
                "wave_items": self.dice.choice((200, 1000)),
                "one_document": self.dice.random() < 0.5,
            }
        )
        self.settings = self.settings.model_copy(update={"delivery": delivery})
        self.restart(self.settings)

    def _add_category(self) -> None:
        """One more category: what was an answer before is one still."""
        self._category += 1
        interface = json.loads(json.dumps(INTERFACE))
        for number in range(self._category):
            name = f"NEW_{number}"
            interface["jobs"]["COLOUR"]["content"]["categories"][name] = {"children": [], "name": name.title()}
        for project in self.projects:
            data = {"jsonInterface": json.dumps(interface)}
            self.kili.graphql(UPDATE, {"where": {"id": project}, "data": data})

    def _delete(self) -> None:
        self.published.may_die.add(self.doomed)
        self.kili.graphql(REMOVE, {"where": {"id": self.doomed}})
        self.deleted = True
