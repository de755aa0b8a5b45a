"""Months with everybody: models, reviewers, operators, the feedback code and housekeeping, and faults now and then."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from tests.simulation.actors import BELOW_HTTP, PASSING, Episode
from tests.simulation.actors import make_project as make
from tests.simulation.decisions import compare_decisions
from tests.simulation.drifts import DriftJudge
from tests.simulation.fleet import settings_of
from tests.simulation.models import DAY, Change, Model, ModelProducer
from tests.simulation.operators import Act, Operators
from tests.simulation.reviewers import Reviewers
from tests.simulation.run import Plan, Simulation
from tests.simulation.world import BEGIN, Violation, World
from worker.settings.tree import Settings

PROJECTS = 3
"""Two that stay, and one that is deleted."""

RUN_LENGTH = 1e7
"""So few false alarms that a seed has none."""

THIN = 1000.0
"""With fewer predictions a day there are fewer models, so that a drift can be found in one of them."""

OUTAGES = ("503", "refused", "silence", "internal")
WORSE = (0.25, 0.3)


@dataclass(frozen=True)
class MonthsPlan(Plan):
    """What a seed makes happen over months."""

    models: tuple[Model, ...] = ()
    acts: tuple[Act, ...] = ()
    holidays: tuple[int, ...] = ()
    has_nights: bool = False

    PARTS: ClassVar[tuple[str, ...]] = ("episodes", "acts", "holidays", "models", "kinds")
    OPTION: ClassVar[str] = " --months"

    def make(self, world: World) -> Months:
        """The world of this plan."""
        return Months(world, self)


def months_of(seed: int, days: float, messages: float) -> MonthsPlan:
    """What a seed makes happen."""
    dice = random.Random(f"months {seed}")
    return MonthsPlan(
        seed=seed,
        days=days,
        workers=2,
        producers=(),
        episodes=tuple(_episodes(dice, days)),
        pauses=dice.choice((0.02, 0.1)),
        mean_between_harm=dice.choice((6.0, 24.0)) * 3600,
        models=tuple(_models(dice, days, messages)),
        acts=tuple(_acts(dice, days)),
        holidays=tuple(_holidays(dice, days)),
        has_nights=dice.random() < 0.5,
    )


def _models(dice: random.Random, days: float, messages: float) -> Iterator[Model]:
    """One that drifts again and again, one that is deployed anew, one that improves, one that stays as it is.

    Of thin traffic one that drifts has the most, with time enough between its drifts, and one other has the rest.
    """
    if messages < THIN:
        yield from _few_models(dice, days, messages)
        return
    share = messages * 0.24
    drifts = [12.0 + dice.uniform(0, 2) + 25.0 * number for number in range(3)]
    yield Model(0, "drifting", "1", share, changes=tuple(Change(one, dice.uniform(*WORSE)) for one in drifts))
    until = max(10.0, days * dice.uniform(0.35, 0.5))
    later = (Change(until + 20 + dice.uniform(0, 3), 0.3),)
    yield Model(0, "deployed", "1", share, end=until)
    yield Model(0, "deployed", "2", share, begin=until, changes=later)
    yield Model(1, "improving", "1", share, changes=(Change(days / 3, -0.5),))
    yield Model(1, "steady", "1", share)
    yield Model(2, "doomed", "1", messages * 0.04)


def _few_models(dice: random.Random, days: float, messages: float) -> Iterator[Model]:
    drifting = Model(0, "drifting", "1", messages * 0.6)
    first, later = 12.0 * drifting.slowness + dice.uniform(0, 2), 25.0 * drifting.slowness
    drifts = [first + later * number for number in range(3)]
    yield replace(drifting, changes=tuple(Change(one, dice.uniform(*WORSE)) for one in drifts if one < days))
    other, share = dice.choice(("deployed", "improving", "steady")), messages * 0.36
    if other == "deployed":
        until = days * dice.uniform(0.35, 0.5)
        yield Model(0, other, "1", share, end=until)
        yield Model(0, other, "2", share, begin=until)
    else:
        yield Model(1, other, "1", share, changes=(Change(days / 3, -0.5),) if other == "improving" else ())
    yield Model(2, "doomed", "1", messages * 0.04)


def _acts(dice: random.Random, days: float) -> Iterator[Act]:
    for kind, every in (("replay", 6), ("drop", 9), ("policy", 15), ("settings", 10), ("category", 25), ("marks", 12)):
        day = dice.uniform(0.5, every)
        while day < days:
            yield Act(kind, day)
            day += dice.uniform(0.5, 1.5) * every
    for _ in range(int(days // 40)):
        day = dice.uniform(0, days - 2)
        yield Act("broken policy", day)
        yield Act("policy", day + 0.1)
    yield Act("delete", days * dice.uniform(0.3, 0.6))


def _holidays(dice: random.Random, days: float) -> Iterator[int]:
    first = int(BEGIN // DAY)
    for day in range(int(days)):
        if dice.random() < 0.03:
            yield first + day


def _episodes(dice: random.Random, days: float) -> Iterator[Episode]:
    """Short ones twice a day, an outage of hours each week, one of a day or more each month."""
    for _ in range(int(days * 2)):
        seconds = dice.choice((dice.uniform(1, 60), dice.uniform(60, 900)))
        kind = dice.choice([*PASSING, *BELOW_HTTP, "redis away", "redis cuts"])
        chance = dice.choice((1.0, 0.5, 0.1))
        yield Episode(kind, BEGIN + dice.uniform(0, days * DAY - seconds), seconds, chance)
    for _ in range(int(days // 7)):
        yield Episode(dice.choice(OUTAGES), BEGIN + dice.uniform(0, days - 0.5) * DAY, dice.uniform(1, 6) * 3600)
    for _ in range(int(days // 30)):
        yield Episode(dice.choice(OUTAGES), BEGIN + dice.uniform(0, days - 3) * DAY, dice.uniform(20, 48) * 3600)


class Months(Simulation):
    """The world of such a plan."""

    plan: MonthsPlan
    quiet = 8 * 3600.0
    thorough_every = DAY
    adaptive_limit = 5.0
    slowest = 1800.0

    def _settings(self, dice: random.Random) -> Settings:
        settings = settings_of(
            delivery={"tick_seconds": 1.0, "missing_asset_grace_seconds": 7200.0, "interface_seconds": 3600.0},
            kili={"calls_per_minute": dice.choice((200, 500))},
            feedback={
                "every_seconds": 8 * 3600.0,
                "figures_seconds": DAY,
                "verify_seconds": DAY / 2,
                "horizon_days": 14,
                "report_days": 7.0,
                "drift_run_length": RUN_LENGTH,
                "webhook_url": None,
            },
            spool={"remember_hours": 48.0, "dead_letter_days": 20.0},
        )
        self._policy = settings.heartbeat_file.parent / "policy.json"
        review = settings.review.model_copy(update={"policy": self._policy})
        return settings.model_copy(update={"review": review})

    def _populate(self, dice: random.Random) -> list[str]:
        plan, world = self.plan, self.world
        projects = [make(self.kili, f"p{number}") for number in range(PROJECTS)]
        self.operators = Operators(
            world,
            self.store,
            self.kili,
            self.published,
            self.settings,
            self._policy,
            projects[:2],
            projects[2],
            plan.acts,
            random.Random(dice.random()),
            self._take_settings,
        )
        world.spawn("operators", self.operators.live)
        for model in plan.models:
            own = random.Random(dice.random())
            producer = ModelProducer(
                world,
                self.store,
                self.published,
                projects[model.project],
                (model.name, model.version),
                model.daily / DAY,
                own,
                self.broker.came,
                says=model,
            )
            producer.until = min(plan.end_of_faults, BEGIN + model.end * DAY)
            if model.project == PROJECTS - 1:  # its producers hear of it two days later
                gone = next((act.day for act in plan.acts if act.kind == "delete"), plan.days)
                producer.until = min(producer.until, BEGIN + (gone + 2) * DAY)
            delay = model.begin * DAY + own.uniform(0, 3600)
            if model.begin < plan.days:
                world.spawn(f"producer {model.label}", producer.live, delay=delay)
        for number, project in enumerate(projects):
            a_day = int(sum(one.daily for one in plan.models if one.project == number) * 0.35) + 5
            crew = Reviewers(
                world,
                self.kili,
                project,
                random.Random(dice.random()),
                a_day,
                frozenset(plan.holidays),
                plan.has_nights,
                lambda project=project: project in self.kili.sandbox.store.tables.projects,
            )
            world.spawn(f"reviewers {number}", crew.live)
        longest = max((one.seconds for one in plan.episodes), default=0.0)
        slack = 2 * longest / DAY + 1.0 * (len(plan.holidays) > 0)
        self.drifts = DriftJudge(world, self.store, self.kili, projects[:2], plan.models, plan.days, slack)
        self.drifts.disturbed = self._was_disturbed
        self.judge.compare_priorities = lambda buried: compare_decisions(self.kili, self.published, buried)
        return []

    def run(self) -> None:
        """Live until all is over."""
        log = logging.getLogger("worker")
        log.addHandler(self.drifts)
        try:
            super().run()
        finally:
            log.removeHandler(self.drifts)

    def _take_settings(self, settings: Settings) -> None:
        self.settings = settings

    def _was_disturbed(self, since: float) -> bool:
        """Whether workers may have ended, or Redis may have been away, between a moment and now."""
        harmed = bool(self.plan.kinds)
        faults = any(one.begin <= self.world.now and one.begin + one.seconds >= since for one in self.plan.episodes)
        return harmed or faults

    def _after_step(self) -> None:
        super()._after_step()
        if self.drifts.problem:
            raise Violation(self.drifts.problem)
        if self.world.now == self._checked:
            self.drifts.look()

    def _judge_end(self) -> None:
        super()._judge_end()
        self.drifts.final()
