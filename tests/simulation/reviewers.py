"""Reviewers: they work off the queue of a project in its order, by day and on weekdays, and are not always right."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.simulation.actors import COLOURS
from tests.simulation.models import DAY, truth_of
from tests.simulation.servers import SimulatedKili
from tests.simulation.world import World
from worker.sandbox.admin import queue

MISTAKES, SKIPS, EDITS, DELETIONS = 0.02, 0.01, 0.02, 0.01
BY_THE_WAY = 3
"""Assets without priority that a session looks at, too."""

SUBMIT = """
mutation ($where: AssetWhere!, $data: AppendManyLabelsData!) {
  data: appendManyLabels(where: $where, data: $data) { id }
}
"""
SKIP = 'mutation ($where: AssetWhere!) { data: skipAsset(reason: "cannot be answered", where: $where) { id } }'
DELETE = "mutation ($ids: [ID!]!) { data: deleteLabels(ids: $ids) }"


@dataclass
class Reviewers:
    """The people who look at one project.

    Attributes:
        a_day: assets that they look at on a working day, at most.
        holidays: days, since the beginning of the simulation, on which nobody works.
        has_nights: whether a few work at night and on weekends, too.
    """

    world: World
    kili: SimulatedKili
    project: str
    dice: random.Random
    a_day: int
    holidays: frozenset[int] = frozenset()
    has_nights: bool = False
    is_open: Callable[[], bool] = lambda: True
    sessions: int = 0
    labeled: list[tuple[str, str, str]] = field(default_factory=list)
    """Label, asset, external id; the last ones."""

    def live(self) -> None:
        """Work in sessions; look up every few hours."""
        while True:
            self.world.sleep(self.dice.uniform(2.0, 4.0) * 3600)
            share = self.share()
            if share and self.is_open():
                self.sessions += 1
                self._session(max(1, int(self.a_day * share)))

    def share(self) -> float:
        """How much of a day's work is done in the session that begins now."""
        now = datetime.fromtimestamp(self.world.now, UTC)
        day = int(self.world.now // DAY)
        if day in self.holidays:
            return 0.0
        if now.weekday() < 5 and 7 <= now.hour < 19:
            return 0.4
        return 0.05 if self.has_nights else 0.0

    def _session(self, most: int) -> None:
        self.kili.sandbox.store.settle()
        head = queue(self.kili.sandbox.store.tables, project_id=self.project, first=most)
        doubtful = [asset for asset in head if asset["priority"] > 0]
        chosen = [*doubtful, *head[len(doubtful) : len(doubtful) + BY_THE_WAY]]
        skipped = [asset for asset in chosen if self.dice.random() < SKIPS]
        for asset in skipped:
            self.kili.graphql(SKIP, {"where": {"id": asset["id"], "project": {"id": self.project}}})
        rows = [(asset["id"], asset["externalId"]) for asset in chosen if asset not in skipped]
        for begin in range(0, len(rows), 100):
            self._submit(rows[begin : begin + 100])
        self._think_again()

    def _submit(self, rows: list[tuple[str, str]]) -> None:
        answers = [{"assetID": asset, "jsonResponse": self._answer(name)} for asset, name in rows]
        where = {"project": {"id": self.project}, "idIn": [asset for asset, _ in rows]}
        taken = self.kili.graphql(SUBMIT, {"where": where, "data": {"labelType": "DEFAULT", "labelsData": answers}})
        self.world.say("reviewers", f"{self.project} {len(rows)}")
        found = [(label["id"], asset, name) for label, (asset, name) in zip(taken["data"], rows, strict=True)]
        self.labeled = [*self.labeled[-200:], *found]

    def _think_again(self) -> None:
        """Change some of the last answers, and delete others."""
        edited = [row for row in self.labeled if self.dice.random() < EDITS]
        if edited:
            self._submit([(asset, name) for _, asset, name in edited])
        deleted = [row for row in self.labeled if self.dice.random() < DELETIONS]
        known = self.kili.sandbox.store.tables.labels
        ids = sorted({row[0] for row in deleted if row[0] in known})
        if ids:
            self.kili.graphql(DELETE, {"ids": ids})
            self.labeled = [row for row in self.labeled if row[0] not in ids]

    def _answer(self, name: str) -> str:
        truth = truth_of(name)
        given = self.dice.choice(COLOURS) if self.dice.random() < MISTAKES else truth
        return json.dumps({"COLOUR": {"categories": [{"name": given}]}})
