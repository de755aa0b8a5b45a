"""Test doubles of the Kili room: a scripted server behind an httpx transport, and a stop event that never sleeps."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from worker.kili.budget import CallRecord
from worker.kili.client import KiliClient
from worker.kili.retry import RetryPolicy
from worker.kili.transport import KiliAccess

API_KEY = "3f0c9b1e-key-of-a-test-77aa"
ENDPOINT = "https://kili.test/api/label/v2/graphql"
ACCESS = KiliAccess(ENDPOINT, API_KEY)

Step = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def data(value: Any) -> httpx.Response:
    return httpx.Response(200, json={"data": {"data": value}})


def graphql_error(
    message: str,
    *,
    status: int = 200,
    code: str | None = "OPERATION_RESOLUTION_FAILURE",
    reason: str | None = None,
    path: list[Any] | None = None,
    partial: Any = None,
) -> httpx.Response:
    extensions: dict[str, Any] = {"code": code} if code else {}
    if reason:
        extensions["context"] = {"reason": reason}
    error = {"message": message, "path": path or ["data"], "extensions": extensions}
    return httpx.Response(status, json={"errors": [error], "data": {"data": partial}})


@dataclass
class Sent:
    """A request as the server saw it."""

    method: str
    url: str
    headers: httpx.Headers
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        packed = self.headers.get("content-encoding") == "gzip"
        return json.loads(gzip.decompress(self.content) if packed else self.content)

    @property
    def variables(self) -> dict[str, Any]:
        return self.body["variables"]


class ScriptedServer:
    """Answers requests from a script, the last step for ever; records what it was sent."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.sent: list[Sent] = []
        self.http = httpx.Client(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(Sent(request.method, str(request.url), request.headers, request.read()))
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        if callable(step):
            return step(request)
        return httpx.Response(step.status_code, headers=step.headers, content=step.content)


class SleeplessStop(threading.Event):
    """A stop event whose waits return at once and are recorded; may be set by the n-th of them."""

    def __init__(self, set_at_wait: int | None = None) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._set_at_wait = set_at_wait

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout if timeout is not None else float("inf"))
        if len(self.waits) == self._set_at_wait:
            self.set()
        return self.is_set()


class CountingBudget:
    """A budget that is never empty and remembers what it was told."""

    def __init__(self) -> None:
        self.taken = 0
        self.penalties: list[float] = []

    def acquire(self, stop: threading.Event | None = None, timeout: float | None = None) -> float:
        self.taken += 1
        return 0.25

    def penalise(self, seconds: float) -> None:
        self.penalties.append(seconds)


@dataclass
class Rig:
    """A client with everything around it in view."""

    client: KiliClient
    server: ScriptedServer
    stop: SleeplessStop
    budget: CountingBudget
    records: list[CallRecord]

    @property
    def outcomes(self) -> list[str]:
        return [record.outcome for record in self.records]


def rig(
    *steps: Step,
    access: KiliAccess = ACCESS,
    retry: RetryPolicy = RetryPolicy(),
    stop: SleeplessStop | None = None,
) -> Rig:
    server, records, budget = ScriptedServer(*steps), [], CountingBudget()
    stop = stop or SleeplessStop()
    client = KiliClient(access, budget=budget, retry=retry, http=server.http, stop=stop, observe=records.append)
    return Rig(client, server, stop, budget, records)


def single_attempt(*steps: Step, access: KiliAccess = ACCESS) -> Rig:
    """A rig whose calls get a single attempt."""
    return rig(*steps, access=access, retry=RetryPolicy(attempts=1))


def distinct(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]
