"""``python -m tests.simulation.memory --days 120``: thin traffic for months, and what Redis holds of it.

One worker, no faults: everything is stepped a few times a simulated hour. Projects and model versions come and go, some
messages are wrong, people label. Once the longest retention has passed, keys and bytes must no longer grow.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from tests.simulation.actors import COLOURS, make_project, moment
from tests.simulation.fleet import Inline, settings_of
from tests.simulation.judge import Judge, Published
from tests.simulation.run import DAY, demo_environment
from tests.simulation.servers import Gate, SimulatedKili, SimulatedRedis
from tests.simulation.world import BEGIN, Process, World
from worker.environment.connections import Environment
from worker.runtime import Runtime

HORIZON = 20
"""Days of each retention: dead letters, verdicts, silent projects."""

STEPS = 6
"""A day."""

CHANGE = 15
"""Days after which a project and a model version are replaced."""

LABELS = """
mutation ($where: AssetWhere!, $data: AppendManyLabelsData!) {
  appendManyLabels(where: $where, data: $data) { id }
}"""


@dataclass
class Sizes:
    """Keys and bytes by kind, at the end of each day."""

    keys: list[Counter[str]] = field(default_factory=list)
    bytes: list[Counter[str]] = field(default_factory=list)

    def note(self, store: SimulatedRedis) -> None:
        """Add a day."""
        keys, sizes = Counter[str](), Counter[str]()
        for key, size in sizes_of(store):
            keys[key] += 1
            sizes[key] += size
        self.keys.append(keys)
        self.bytes.append(sizes)

    def growth(self, begin: int, days: int) -> dict[str, float]:
        """Of keys and bytes: the mean of the last days over the mean of as many days from a day on, less 1."""
        found = {}
        for name, rows in (("keys", self.keys), ("bytes", self.bytes)):
            early = mean(row.total() for row in rows[begin : begin + days])
            found[name] = mean(row.total() for row in rows[-days:]) / early - 1
        return found

    def growing(self, begin: int, days: int) -> list[tuple[str, float, float]]:
        """The kinds whose bytes have grown most: kind, mean of the early days, mean of the last."""
        kinds = {kind for row in self.bytes for kind in row}
        rows = [
            (
                kind,
                mean(row[kind] for row in self.bytes[begin : begin + days]),
                mean(row[kind] for row in self.bytes[-days:]),
            )
            for kind in sorted(kinds)
        ]
        return sorted(rows, key=lambda row: row[1] - row[2])[:6]


def sizes_of(store: SimulatedRedis) -> Iterator[tuple[str, int]]:
    """Of every key its kind (its name without ids, days and numbers) and the bytes of its name and value."""
    client = store.plain
    readers: dict[bytes, Any] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"list": lambda key: client.lrange(key, 0, -1),
        b"stream": client.xrange,
    }
    for key in sorted(client.keys("*")):
        size = len(key) + _size(readers[client.type(key)](key))
        yield re.sub(r"\d[\w-]*|\bc[a-z0-9]{20,}", "*", key.decode()), size


def _size(value: Any) -> int:
    match value:
        case bytes():
            return len(value)
        case dict():
            return sum(_size(one) for pair in value.items() for one in pair)
        case list() | tuple() | set():
            return sum(map(_size, value))
    return 8


class Months:
    """A worker, its projects and its people.

    Args:
        days: simulated.
        seed: of traffic.
        daily: predictions a day of each of the two projects that are alive.
    """

    def __init__(self, days: int, seed: int = 1, daily: int = 18) -> None:
        self.days = days
        self.world = World(seed)
        self.store = SimulatedRedis(self.world)
        self.kili = SimulatedKili(self.world, seed, calls_per_minute=500)
        self.published = Published()
        self.judge = Judge(self.world, self.store, self.kili, self.published)
        self.sizes = Sizes()
        self._each = daily // STEPS
        self._dice = random.Random(seed)
        self._number = 0
        self._projects = [make_project(self.kili, "for ever"), make_project(self.kili, "first")]
        self._unlabelled: dict[str, set[str]] = {}
        settings = settings_of(
            spool={"dead_letter_days": HORIZON, "dead_letter_notice_hours": 24, "project_days": HORIZON},
            feedback={"horizon_days": HORIZON, "report_days": HORIZON / 2},
        )
        gate = Gate(self.world, Process("worker"), pauses=0.0)
        environment = Environment(
            connect=lambda _: self.store.client(gate),
            executor=Inline,
            http=self.kili.http(gate),
            has_threads=False,
            name="worker",
        )
        self._make = lambda: Runtime(settings, environment)

    def run(self) -> Sizes:
        """Live through all days; what Redis held at the end of each."""
        with demo_environment(self.world):
            self.world.spawn("months", self._live)
            self.world.run(BEGIN + (self.days + 1) * DAY, lambda: None)
        return self.sizes

    def _live(self) -> None:
        runtime = self._make()
        runtime.connected.set()
        runtime.reader.open()
        with runtime.collection_cycle() as rounds:
            rounds.begin()
            for day in range(self.days):
                self._change(day)
                for _ in range(STEPS):
                    self._publish(f"v{day // CHANGE}")
                    self._work(runtime)
                    rounds.step()
                    self._label()
                    self.world.sleep(DAY / STEPS - 20)
                self.judge.thorough()
                self.sizes.note(self.store)

    def _change(self, day: int) -> None:
        if day and day % CHANGE == 0:
            self._projects[1] = make_project(self.kili, f"from day {day} on")

    def _publish(self, version: str) -> None:
        for project in self._projects:
            for _ in range(self._each):
                self._number += 1
                name, at = f"{self._number}.jpg", moment(self.world.now)
                answer, score = self._dice.choice(COLOURS), self._dice.choice((0.97, 0.9, 0.55))
                rest = COLOURS[(COLOURS.index(answer) + 1) % len(COLOURS)]
                self._send(project, name, at, version, {"scores": {answer: score, rest: round(1 - score, 4)}})
                self.published.note((project, name, f"m:{version}"), at, answer, score)
        self._send(self._projects[0], "wrong.jpg", "yesterday", version, {})
        self.published.count += 1

    def _send(self, project: str, name: str, at: str, version: str, output: dict[str, Any]) -> None:
        message = {
            "project_id": project,
            "external_id": name,
            "asset": {"url": f"https://example.com/{name}"},
            "model": {"name": "m", "version": version},
            "output": output,
            "predicted_at": at,
        }
        self.store.plain.xadd("predictions:inbox", {"payload": json.dumps(message).encode()})

    def _work(self, runtime: Runtime) -> None:
        """Take what came, and deliver it."""
        for _ in range(10):
            while runtime.reader.step():
                pass
            runtime.scheduler.step()
            self.world.sleep(2.0)

    def _label(self) -> None:
        """People answer a third of what has come since the last time."""
        tables = self.kili.sandbox.store.tables
        for project in self._projects:
            known = self._unlabelled.setdefault(project, set())
            new = [one for one in tables.assets.values() if one.project_id == project and one.id not in known]
            known |= {one.id for one in new}
            chosen = [one.id for one in new if self._dice.random() < 1 / 3]
            rows = [{"assetID": one, "jsonResponse": self._answer(), "secondsToLabel": 5} for one in chosen]
            if rows:
                where = {"project": {"id": project}, "idIn": chosen}
                data = {"labelType": "DEFAULT", "labelsData": rows}
                self.kili.graphql(LABELS, {"where": where, "data": data})

    def _answer(self) -> str:
        return json.dumps({"COLOUR": {"categories": [{"name": self._dice.choice(COLOURS)}]}})


def main() -> int:
    """Print keys and bytes every ten days; 1 when they have grown by more than a tenth since the horizon passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.memory", description=__doc__)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--daily", type=int, default=18)
    options = parser.parse_args()
    if options.days < 4 * CHANGE:
        parser.error(f"--days: at least {4 * CHANGE}, so that the last {CHANGE} can be compared with earlier ones")
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation.memory", *sys.argv[1:]])
    logging.getLogger("worker").setLevel(logging.ERROR)  # every wrong message is said otherwise
    sizes = Months(options.days, options.seed, options.daily).run()
    for day in range(9, len(sizes.keys), 10):
        print(f"day {day + 1}: {sizes.keys[day].total()} keys, {sizes.bytes[day].total():,} bytes")
    begin, span = 3 * CHANGE, CHANGE
    growth = sizes.growth(begin, span)
    for kind, early, late in sizes.growing(begin, span):
        print(f"  {kind}: {early:,.0f} → {late:,.0f} bytes")
    print(
        f"from days {begin}-{begin + span} to the last {span}: " + ", ".join(f"{k} {v:+.1%}" for k, v in growth.items())
    )
    return int(max(growth.values()) > 0.1)


if __name__ == "__main__":
    sys.exit(main())
