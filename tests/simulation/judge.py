"""What must hold at every step, and in the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Any, TypeVar

from tests.simulation.servers import SimulatedKili, SimulatedRedis
from tests.simulation.world import Violation, World
from worker.sandbox.records import Asset, Label
from worker.spool import Ledger, Spool
from worker.spool.dead_letters import DeadLetters

Key = tuple[str, str, str]
Row = TypeVar("Row", Asset, Label)

THRESHOLD = 0.8
"""Of the review rule: what is less sure than this is given a priority."""


@dataclass
class Published:
    """What producers have sent.

    ``newest`` is the newest valid answer by (project, external id, model version): its moment, category and
    score. ``wrong`` messages must become letters, ``condemned`` external ids may.
    """

    count: int = 0
    wrong: int = 0
    newest: dict[Key, tuple[str, str, float]] = field(default_factory=dict)
    condemned: set[str] = field(default_factory=set)
    may_die: set[str] = field(default_factory=set)
    """Projects whose predictions may become letters, by an operator's word or a change of the interface."""

    def note(self, key: Key, at: str, answer: str, score: float) -> None:
        """A valid message was sent."""
        self.count += 1
        if key not in self.newest or (at, answer, score) > self.newest[key]:
            self.newest[key] = at, answer, score


class Judge:
    """Looks at Redis and Kili past all gates."""

    def __init__(self, world: World, store: SimulatedRedis, kili: SimulatedKili, published: Published) -> None:
        self._world = world
        self._redis = store.plain
        self._server = store.server
        self._kili = kili
        self._published = published
        self.spool = Spool(store.plain, prefix="pw:", lease_ms=30_000, remember_ms=1000)
        self.letters = DeadLetters(store.plain, "pw:")
        self.compare_priorities = self.compare_with_threshold
        self.keys: list[tuple[float, int, int]] = []
        self._looked = 0

    def ledger(self) -> Ledger:
        """The counters, whose sum must hold whenever they are read."""
        ledger = self._counted()
        if ledger.conservation_error != 0:
            raise Violation(f"conservation is off by {ledger.conservation_error}: {ledger}")
        if ledger.received > self._published.count:
            raise Violation(f"{ledger.received} received, {self._published.count} published")
        if min(ledger.waiting, ledger.leased, ledger.dead) < 0:
            raise Violation(f"a counter is negative: {ledger}")
        return ledger

    def _counted(self) -> Ledger:
        """As the spool reads it, but at once: this is looked at after every step."""
        item = self._server.dbs[0].get(b"pw:ledger")
        counts = item.value.getall() if item is not None else {}
        return Ledger(**{name.decode(): int(count) for name, count in counts.items()})

    def thorough(self) -> None:
        """What is too dear for every step."""
        ledger = self.ledger()
        in_lanes, dead = self.spool.measured()
        if (in_lanes, dead) != (ledger.waiting + ledger.leased, ledger.dead):
            raise Violation(f"the streams hold {in_lanes} and {dead} letters, the ledger says {ledger}")
        self._no_twins()
        size = self._size()
        self.keys.append((self._world.now, *size))

    def final(self) -> None:
        """When all faults have ended and time enough has passed."""
        ledger = self.ledger()
        published = self._published
        if ledger.received != published.count:
            raise Violation(f"{published.count} published, {ledger.received} received: {ledger}")
        if ledger.waiting or ledger.leased:
            raise Violation(f"not delivered although nothing is in the way: {ledger}, {self._waiting()}")
        self.thorough()
        letters = list(self.letters.letters())
        rightly = [letter for letter in letters if self._is_rightly_dead(letter.about)]
        wrongly = [letter for letter in letters if not self._is_rightly_dead(letter.about)]
        if wrongly:
            about = Counter((letter.cause, letter.about["problem"][:160]) for letter in wrongly)
            raise Violation(f"{len(wrongly)} valid predictions became dead letters: {about.most_common(3)}")
        own = [letter for letter in rightly if letter.about["kind"] == "message"]
        if len(own) < published.wrong and not ledger.dropped:
            raise Violation(f"{published.wrong} wrong messages, letters: {Counter(one.cause for one in letters)}")
        buried = {_key_of(letter.about) for letter in letters}
        self._compare(buried)
        self.compare_priorities(buried)

    def _is_rightly_dead(self, about: Mapping[str, Any]) -> bool:
        if about["kind"] == "message" or about["project_id"] in self._published.may_die:
            return True
        return about["external_id"] in self._published.condemned

    def _compare(self, buried: set[Key]) -> None:
        tables = self._kili.sandbox.store.tables
        found: dict[Key, str] = {}
        for label in tables.labels.values():
            if label.label_type == "INFERENCE":
                asset = tables.assets[label.asset_id]
                found[asset.project_id, asset.external_id, str(label.model_name)] = answer_of(label.json_response)
        gone = self._published.may_die
        wanted = {key: answer for key, (_, answer, _) in self._published.newest.items() if key[0] not in gone}
        found = {key: answer for key, answer in found.items() if key[0] not in gone}
        missing = [key for key in wanted if key not in found and key not in buried]
        other = [key for key in wanted if key in found and found[key] != wanted[key] and key not in buried]
        strange = [key for key in found if key not in wanted]
        if missing or other or strange:
            raise Violation(
                f"{len(missing)} labels are missing, {len(other)} not of the newest answer, {len(strange)} of nobody: "
                f"{(missing + other + strange)[:3]}"
            )

    def compare_with_threshold(self, buried: set[Key]) -> None:
        """An asset about which one model version has spoken has the priority of that version's newest word."""
        tables = self._kili.sandbox.store.tables
        versions = Counter((project, name) for project, name, _ in self._published.newest)
        wrong = []
        for (project, name, model), (_, _, score) in self._published.newest.items():
            if versions[project, name] > 1 or (project, name, model) in buried:
                continue
            asset = tables.assets_called(project, name)[0]
            if (asset.priority > 0) != (score < THRESHOLD):
                wrong.append((name, score, asset.priority))
        if wrong:
            raise Violation(f"{len(wrong)} priorities are not of the newest decision: {wrong[:3]}")

    def _no_twins(self) -> None:
        """Of two that are the same, one is new since the last look: only what is new is held against the others."""
        tables = self._kili.sandbox.store.tables
        doubles = [one for one in self._new(tables.assets) if len(tables.assets_called(*_name_of(one))) > 1]
        twins = [_name_of(one) for one in doubles]
        for label in self._new(tables.labels):
            others = [one.model_name for one in tables.labels_on(label.asset_id) if one.label_type == "INFERENCE"]
            if label.label_type == "INFERENCE" and others.count(label.model_name) > 1:
                twins.append((label.asset_id, str(label.model_name)))
        self._looked = max((row.sequence for rows in (tables.assets, tables.labels) for row in _last(rows)), default=0)
        if twins:
            raise Violation(f"twice in Kili: {twins[:3]}")

    def _new(self, rows: dict[str, Row]) -> Iterator[Row]:
        """Those that came since the last look, newest first; a changed one keeps its place."""
        return takewhile(lambda row: row.sequence > self._looked, reversed(rows.values()))

    def _waiting(self) -> dict[str, str]:
        pauses = {key.decode(): value.decode()[:160] for key, value in self._redis.hgetall("pw:pauses").items()}
        rows = [row for key in self._redis.keys("pw:lane:*") for row in self._redis.xrange(key, count=2)]
        tries = [word.decode() for key in self._redis.keys("pw:tries:*") for word in self._redis.hvals(key)[:3]]
        payloads = [row[1][b"payload"].decode()[:160] for row in rows[:3]]
        return {"pauses": str(pauses), "payloads": str(payloads), "tries": str(tries)}

    def _size(self) -> tuple[int, int]:
        keys = self._redis.keys("*")
        return len(keys), 0


def _name_of(asset: Asset) -> tuple[str, str]:
    return asset.project_id, asset.external_id


def _last(rows: dict[str, Row]) -> Iterator[Row]:
    return islice(reversed(rows.values()), 1)


def answer_of(response: str) -> str:
    """The category of a response."""
    return str(json.loads(response)["COLOUR"]["categories"][0]["name"])


def _key_of(about: Mapping[str, Any]) -> Key:
    return about["project_id"], about["external_id"], about["model"]
