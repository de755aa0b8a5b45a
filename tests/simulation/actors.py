"""Who acts on the workers: producers, supervisors that start them and signals that end them, and faults of Kili."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.simulation.fleet import Worker, running
from tests.simulation.judge import Published
from tests.simulation.servers import Harm, SimulatedKili, SimulatedRedis
from tests.simulation.world import Task, World

COLOURS = ("RED", "BLACK", "GREY", "WHITE")
INTERFACE = {
    "jobs": {
        "COLOUR": {
            "content": {
                "categories": {name: {"children": [], "name": name.title()} for name in COLOURS},
                "input": "radio",
            },
            "instruction": "Which colour?",
            "mlTask": "CLASSIFICATION",
            "required": 1,
            "isChild": False,
        }
    }
}
CREATE = "mutation ($data: CreateProjectData!) { data: createProject(data: $data) { id } }"


def make_project(kili: SimulatedKili, title: str, input_type: str = "IMAGE") -> str:
    """A project in Kili; its id."""
    data = {"title": title, "inputType": input_type, "jsonInterface": json.dumps(INTERFACE)}
    return str(kili.graphql(CREATE, {"data": data})["data"]["id"])


REPEATED_SECONDS = 86_400.0
"""A message comes again within this time: what is older than the spool's memory would be taken for news."""


def moment(seconds: float) -> str:
    """A moment as producers write it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class Producer:
    """Sends the predictions of one model version to one project."""

    world: World
    store: SimulatedRedis
    published: Published
    project: str
    model: tuple[str, str]
    rate: float
    dice: random.Random
    came: Callable[[], None]
    of_texts: bool = False
    omits_content: bool = False
    number: int = 0
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    until: float = 0.0
    """Messages a second."""

    def live(self) -> None:
        """Send until the end: single messages and bursts, wrong ones, repeats, new answers about old assets."""
        while self.world.now < self.until:
            burst, wait = self._burst()
            for message in [self._message() for _ in range(burst)]:
                self._send(message)
            self.came()
            self.world.sleep(wait)

    def _burst(self) -> tuple[int, float]:
        """How many come at once, and after how many seconds the next do."""
        burst = self.dice.choices((1, self.dice.randint(2, 40), self.dice.randint(100, 600)), (65, 33, 2))[0]
        return burst, self.dice.expovariate(self.rate / burst)

    def _answer(self, name: str) -> tuple[str, float]:
        """What the model says of an asset, and how sure it is."""
        return self.dice.choice(COLOURS), self.dice.choice((0.97, 0.95, 0.9, 0.55))

    def _message(self) -> bytes:
        kind = self.dice.random()
        if kind < 0.02:
            return self._wrong()
        lately = [message for at, message in self.sent if at > self.world.now - REPEATED_SECONDS]
        if kind < 0.06 and lately:  # the same once more
            self.published.count += 1
            return self.dice.choice(lately)
        is_new = kind > 0.2 or not self.number
        recent = max(0, self.number - self.dice.choice((5, 1_000_000)))
        number = self.number if is_new else self.dice.randrange(recent, self.number)
        name = f"{self.model[0]}/{number}.jpg"
        has_content = is_new or not self.omits_content or self.dice.random() < 0.5 or name in self.published.condemned
        self.number += is_new
        late = self.dice.expovariate(1 / 30) if self.dice.random() < 0.1 else 0.0
        answer, score = self._answer(name)
        at = moment(self.world.now - late + self.dice.uniform(0, 0.5))  # no two of an asset have the same moment
        asset = {"text": f"text of {name}"} if self.of_texts else {"url": f"https://example.com/{name}"}
        message = self._written(name, at, answer, score, asset=asset if has_content else None)
        self.published.note((self.project, name, ":".join(self.model)), at, answer, score)
        self.sent = [*self.sent[-50:], (self.world.now, message)]
        return message

    def _written(self, name: str, at: str, answer: str, score: float, **changes: Any) -> bytes:
        rest = COLOURS[(COLOURS.index(answer) + 1) % len(COLOURS)]
        message = {
            "project_id": self.project,
            "external_id": name,
            "asset": {"url": f"https://example.com/{name}"},
            "model": {"name": self.model[0], "version": self.model[1]},
            "output": {"scores": {answer: score, rest: round(1 - score, 4)}},
            "predicted_at": at,
        }
        return json.dumps({key: one for key, one in {**message, **changes}.items() if one is not None}).encode()

    def _wrong(self) -> bytes:
        self.published.count += 1
        self.published.wrong += 1
        at = moment(self.world.now)
        return self.dice.choice(
            (
                b"no json",
                self._written("wrong.jpg", at, "RED", 0.9, output={"scores": {}}),
                self._written("wrong.jpg", at, "RED", 0.9, predicted_at="yesterday"),
                self._written("", at, "RED", 0.9),
            )
        )

    def _send(self, message: bytes) -> None:
        if self.dice.random() < 0.7 or message == b"no json":
            self.store.plain.xadd("predictions:inbox", {"payload": message})
        else:
            self.store.plain.lpush("predictions", _celery(message))


def _celery(message: bytes) -> bytes:
    body = base64.b64encode(json.dumps([[json.loads(message)], {}, {}]).encode()).decode()
    headers = {"task": "predictions.ingest", "id": "0"}
    envelope = {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": {"body_encoding": "base64"},
    }
    return json.dumps(envelope).encode()


@dataclass
class Supervisor:
    """Keeps one worker running, and makes its life hard until the faults end."""

    world: World
    name: str
    start: Callable[[str], Worker]
    dice: random.Random
    harm_until: float
    mean: float
    kinds: tuple[str, ...] = ("crash", "term", "freeze")
    worker: Worker | None = None
    incarnation: int = 0
    task: Task | None = None

    def live(self) -> None:
        """Start a worker again whenever it is gone; crash it at some call, ask it to stop, let it stand still."""
        while True:
            if self.worker is None or not self.worker.is_up:
                self.incarnation += 1
                self.worker = self.start(f"{self.name}.{self.incarnation}")
                self.worker.watcher = self.task
            wait = self.dice.expovariate(1 / self.mean)
            if self.world.now + wait > self.harm_until:
                wait = 60.0
            self._wait_for_end(wait)
            if self.world.now < self.harm_until and self.worker.is_up and self.kinds:
                self._harm(self.worker)

    def _wait_for_end(self, seconds: float) -> None:
        end = self.world.now + seconds
        while self.world.now < end and self.worker is not None and self.worker.is_up:
            self.world.sleep(end - self.world.now)
        if self.worker is not None and not self.worker.is_up:
            self.world.sleep(self.dice.uniform(0.5, 20.0) if not self.worker.is_refused else 900.0)

    def _harm(self, worker: Worker) -> None:
        kind = self.dice.choice(self.kinds)
        if kind == "crash":
            worker.gate.crash_in = self.dice.randint(1, 60)
            worker.gate.crash_after = self.dice.random() < 0.5
        elif kind == "term" and worker.may_drain:
            worker.drain()
        elif kind == "freeze":
            lease = worker.settings.spool.lease_seconds
            self.world.freeze(worker, self.dice.uniform(0.1, 3.0) * lease)


@dataclass(frozen=True, slots=True)
class Episode:
    """A fault of Kili or Redis for a while."""

    kind: str
    begin: float
    seconds: float
    chance: float = 1.0
    operation: str = "*"


def status(code: int, body: str = "", **options: Any) -> dict[str, Any]:
    """An answer below GraphQL."""
    return {"kind": "status", "status": code, "body": body, **options}


def errors(message: str | None = None, **options: Any) -> dict[str, Any]:
    """A GraphQL answer with an error."""
    return {"kind": "errors", **({"message": message} if message else {}), **options}


PASSING: dict[str, dict[str, Any]] = {
    "401": status(401, "Unauthorized"),
    "429": status(429, "Too Many Requests", headers={"Retry-After": "7"}),
    "429 bare": status(429),
    "500": status(500, "Internal Server Error"),
    "500 after": status(500, "Internal Server Error", after=True),
    "502": status(502, "Bad Gateway"),
    "503": status(503, "no healthy upstream"),
    "503 after": status(503, "upstream connect error or disconnect/reset before headers.", after=True),
    "504": status(504, "Gateway Timeout"),
    "504 after": status(504, "Gateway Timeout", after=True),
    "521": status(521, "Web server is down"),
    "reset": {"kind": "reset"},
    "lost": {"kind": "lost"},
    "cut": {"kind": "cut"},
    "html": {"kind": "html", "status": 200},
    "html after": {"kind": "html", "status": 200, "after": True},
    "truncated": {"kind": "truncated"},
    "internal": errors("Internal server error", status=500, code="INTERNAL_SERVER_ERROR"),
    "database": errors("Can't reach database server at db:5432", status=500),
    "partial": {"kind": "partial"},
    "unauthenticated": errors("Unauthorized", code="UNAUTHENTICATED"),
    "too many": errors("Too many requests"),
}
"""Answers that pass; from single calls to everything for days."""

BELOW_HTTP = ("refused", "silence", "late")
OF_REDIS = ("redis away", "redis cuts")
OF_KEY = ("key expired",)


class Misfortune:
    """Brings the episodes about."""

    def __init__(
        self,
        world: World,
        kili: SimulatedKili,
        store: SimulatedRedis,
        episodes: list[Episode],
        refused_uploads: list[str],
    ) -> None:
        self._refused_uploads = refused_uploads
        self._world = world
        self._kili = kili
        self._store = store
        self._episodes = episodes
        self._now: set[Episode] = set()
        self._dice = random.Random(world.seed + 7)
        kili.harm = self._harm
        self._set_rules()
        for one in episodes:
            world.at(one.begin, lambda one=one: self._begin(one))
            world.at(one.begin + one.seconds, lambda one=one: self._end(one))

    def _begin(self, one: Episode) -> None:
        self._world.say("fault", f"{one.kind} {one.operation} {one.chance:.2f} for {one.seconds:.0f}")
        self._now.add(one)
        if one.kind in OF_REDIS:
            name = "down_until" if one.kind == "redis away" else "lost_until"
            setattr(self._store, name, max(getattr(self._store, name), one.begin + one.seconds))
        self._set_rules()

    def _end(self, one: Episode) -> None:
        self._now.discard(one)
        self._set_rules()

    def _set_rules(self) -> None:
        script = self._kili.sandbox.script
        script.clear()
        for asset_id in self._refused_uploads:
            script.add([{"operation": "upload", "asset_id": asset_id, "action": status(400, "InvalidContent")}])
        for one in sorted(self._now, key=lambda one: (one.begin, one.kind)):
            if one.kind in PASSING:
                seed = self._dice.randrange(1 << 30)
                rule = {"operation": one.operation, "action": PASSING[one.kind], "chance": one.chance, "seed": seed}
                script.add([rule])

    def _harm(self, operation: str) -> Harm:
        for one in sorted(self._now, key=lambda one: (one.begin, one.kind)):
            if one.kind in BELOW_HTTP and one.operation in ("*", operation) and self._dice.random() < one.chance:
                return Harm(one.kind, self._dice.uniform(1.0, 90.0))
        return Harm()


def crowd(workers: list[Worker]) -> int:
    """How many work."""
    return len(running(workers))
