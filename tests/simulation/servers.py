"""Redis and Kili as the simulated workers see them: in this process, on the virtual clock, behind a gate for faults."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis
from fakeredis import _helpers
from fakeredis._socket import _base
from fakeredis.commands_mixins import server_mixin
from fakeredis.model import _stream
from redis.backoff import NoBackoff
from redis.retry import Retry
from starlette.requests import Request

from tests.simulation.quick_redis import QuickConnection, QuickRedis, QuickServer
from tests.simulation.world import ClockModule, Crash, Process, Violation, World
from worker.sandbox.core import Sandbox
from worker.sandbox.envelope import Answer, answer_call
from worker.sandbox.faults import Script
from worker.sandbox.process import SandboxConfig
from worker.sandbox.server import answer_bucket, answer_label_file

HAVE_TIME: tuple[ModuleType, ...] = (_helpers, _base, server_mixin, _stream)
"""The modules of fakeredis that tell time."""

ENDPOINT = "https://kili.simulated/api/label/v2/graphql"
API_KEY = "sandbox-key"


@contextmanager
def fakeredis_time(world: World) -> Iterator[None]:
    """Redis tells the world's time meanwhile."""
    before = [module.time for module in HAVE_TIME]  # type: ignore[attr-defined]
    for module in HAVE_TIME:
        module.time = ClockModule(world)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module, real in zip(HAVE_TIME, before, strict=True):
            module.time = real  # type: ignore[attr-defined]


@dataclass
class Gate:
    """Every call of one process to Redis or Kili passes here, twice: before it has its effect, and after.

    ``crash_in`` calls the process is gone, before or after the effect. ``pauses`` is the share of calls during which
    others may run.
    """

    world: World
    process: Process
    pauses: float = 0.3
    crash_in: int | None = None
    crash_after: bool = False
    dice: random.Random = field(default_factory=random.Random)

    def before(self, what: str) -> None:
        """The call is about to be made."""
        self._check()
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in <= 0 and not self.crash_after:
                self._crash(f"before {what}")
        self.world.say(self.process.name, what)
        if self.dice.random() < self.pauses:
            self.world.sleep(self.dice.uniform(0.0001, 0.004))

    def after(self, what: str) -> None:
        """It has had its effect, and nobody knows yet."""
        self._check()
        if self.crash_in is not None and self.crash_in <= 0:
            self._crash(f"after {what}")

    def _check(self) -> None:
        if self.process.is_gone:
            raise Crash

    def _crash(self, where: str) -> None:
        self.world.say(self.process.name, f"crashes {where}")
        self.world.kill(self.process)
        raise Crash


class SimulatedRedis:
    """One server for everybody; ``down`` while its processes cannot reach it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.server = QuickServer(version=(7,), server_type="redis")
        self.down_until = 0.0
        self.lost_until = 0.0
        self.was_touched = False
        self.plain: redis.Redis = self._client(QuickRedis, QuickConnection)

    def client(self, gate: Gate) -> redis.Redis:
        """A client whose calls pass a gate."""
        outer = self

        class Connection(QuickConnection):
            def around(self, name: str) -> AbstractContextManager[None]:
                return outer._passing(gate, name)

            def send_packed_command(self, command: Any, check_health: bool = True) -> None:
                with outer._passing(gate, _name_of(command)):
                    super().send_packed_command(command, check_health)

        class Client(QuickRedis):
            def around(self, name: str) -> AbstractContextManager[None]:
                return outer._passing(gate, name)

        return self._client(Client, Connection)

    @contextmanager
    def _passing(self, gate: Gate, name: str) -> Iterator[None]:
        gate.before(name)
        if self.down_until > gate.world.now:
            raise redis.ConnectionError("simulated: Redis is away")
        self.was_touched = True
        yield
        gate.after(name)
        if self.lost_until > gate.world.now and gate.dice.random() < 0.3:
            raise redis.ConnectionError("simulated: the connection was cut before the answer")

    def _client(self, client: type[QuickRedis], connection: type[QuickConnection]) -> redis.Redis:
        # With RESP3 fakeredis gives scripts maps where every real server gives them lists.
        return client(server=self.server, connection_class=connection, protocol=2, retry=Retry(NoBackoff(), 0))


def _name_of(command: Any) -> str:
    first = command if isinstance(command, bytes) else b"".join(command)
    return first[:60].split(b"\r\n", 3)[2].decode("latin-1")


class SimulatedKili:
    """The sandbox in this process, reached through an httpx transport."""

    def __init__(self, world: World, seed: int, *, calls_per_minute: int, **switches: Any) -> None:
        self.world = world
        self.sandbox = Sandbox(SandboxConfig(seed=seed, **switches), clock=lambda: world.now)
        self.dice = random.Random(seed + 1)
        self.calls = 0
        self.latency = (0.03, 0.4)
        self.harm: Callable[[str], Harm] = lambda _: Harm()
        self.forgets = False
        """A planted fault, to see that it is found: labels that it has said to have taken are not there."""
        self._limit = calls_per_minute
        self._minute: deque[float] = deque()

    def http(self, gate: Gate) -> httpx.Client:
        """A client whose calls pass a gate."""
        return httpx.Client(transport=_Transport(self, gate), trust_env=False)

    def graphql(self, query: str, variables: dict[str, Any]) -> Any:
        """A call of somebody who is no worker; nothing goes wrong on its way."""
        request = httpx.Request("POST", ENDPOINT, json={"query": query, "variables": variables}, headers=KEY)
        script, self.sandbox.script = self.sandbox.script, Script()
        try:
            answer = httpx.Response(200, content=self.answer(request).body).json()
        finally:
            self.sandbox.script = script
        if answer.get("errors"):
            raise Violation(f"Kili refuses what the simulation does: {answer['errors']}")
        return answer["data"]

    def answer(self, request: httpx.Request) -> Answer:
        """The sandbox's answer."""
        path = request.url.path
        body = request.read()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        found = re.fullmatch(r"/labels/([^/]+)/jsonResponse", path)
        scope = {
            "type": "http",
            "method": request.method,
            "scheme": "https",
            "server": (request.url.host, 443),
            "path": path,
            "root_path": "",
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "path_params": {"label_id": found.group(1)} if found else {"path": path.removeprefix("/bucket/")},
        }
        how = answer_label_file if found else answer_bucket if path.startswith("/bucket/") else answer_call
        answer = _finish(how(self.sandbox, Request(scope, receive)))
        if self.forgets and _operation_of(request) == "appendManyLabels" and answer.ending == "ok":
            store = self.sandbox.store
            store.drop(next(reversed(store.tables.labels.values())))
        return answer

    def count(self, process: Process) -> None:
        """No minute has more calls than the budget lets through.

        What a process sends that has just stood still between asking and sending is not held against the budget.
        """
        now = self.world.now
        self.calls += 1
        if now - process.thawed_at < 5.0:
            return
        self._minute.append(now)
        while self._minute[0] <= now - 60.0:
            self._minute.popleft()
        if len(self._minute) > self._limit:
            raise Violation(f"{len(self._minute)} calls within a minute, {self._limit} are allowed")


KEY = {"Authorization": f"X-API-Key: {API_KEY}"}


@dataclass(frozen=True, slots=True)
class Harm:
    """What happens to a call below HTTP: nothing, ``refused`` connections, ``silence``, or ``late`` effects.

    ``silence``: no answer, and no effect. ``late``: no answer in time, the effect some time after.
    """

    kind: str = ""
    seconds: float = 0.0


class _Transport(httpx.BaseTransport):
    def __init__(self, kili: SimulatedKili, gate: Gate) -> None:
        self._kili = kili
        self._gate = gate

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        kili, gate, world = self._kili, self._gate, self._gate.world
        what = _operation_of(request)
        if what != "upload":
            kili.count(gate.process)
        gate.before(f"kili {what}")
        harm = kili.harm(what)
        timeout = float(request.extensions.get("timeout", {}).get("read") or 60.0)
        if harm.kind == "refused":
            world.say("kili", "refuses the connection")
            raise httpx.ConnectError("simulated: connection refused")
        if harm.kind in ("silence", "late"):
            world.say("kili", f"{harm.kind} {harm.seconds:.1f}")
            if harm.kind == "late":
                world.at(world.now + harm.seconds, lambda: self._late(request))
            world.sleep(timeout)
            raise httpx.ReadTimeout("simulated: no answer")
        world.sleep(kili.dice.uniform(*kili.latency) / 2)
        answer = kili.answer(request)
        world.say("kili", f"{what} {answer.status} {answer.ending} {len(answer.body)}")
        gate.after(f"kili {what}")
        world.sleep(kili.dice.uniform(*kili.latency) / 2)
        if answer.status == 0:
            raise httpx.ReadError("simulated: connection reset")
        if answer.is_cut:
            raise httpx.RemoteProtocolError("simulated: peer closed connection without sending complete message body")
        headers = {"content-type": answer.media_type, **(answer.headers or {})}
        return httpx.Response(answer.status, content=answer.body, headers=headers, request=request)

    def _late(self, request: httpx.Request) -> None:
        answer = self._kili.answer(request)
        self._kili.world.say("kili", f"late effect {answer.status} {answer.ending}")


def _operation_of(request: httpx.Request) -> str:
    if request.method != "POST":
        return "upload" if request.method == "PUT" else f"get {urlsplit(str(request.url)).path}"
    if request.headers.get("content-encoding") == "gzip":
        return "gzipped"
    found = re.search(rb"[{ ]data: ?([a-z]\w+)", request.read()[:3000])
    return found.group(1).decode() if found else "graphql"


def _finish(answering: Coroutine[Any, Any, Answer]) -> Answer:
    """Run what never really waits to its end."""
    while True:
        try:
            answering.send(None)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
