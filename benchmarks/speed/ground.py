"""What a measurement stands on: a Redis and a local Kili, fresh, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import httpx
import redis

from benchmarks.speed.predictions import INTERFACE, Made, Work, finished
from benchmarks.speed.processes import cpu_seconds
from worker.environment.embedded_redis import EmbeddedRedis
from worker.sandbox.process import SandboxProcess
from worker.settings.tree import Settings
from worker.spool import INBOX_GROUP, Spool

STAGED = "bench:staged"
CREATE_PROJECT = "mutation ($data: CreateProjectData!) { data: createProject(data: $data) { id } }"


class Ground:
    """A Redis, a local Kili with one project, and a folder for logs; all of it goes with the ground.

    Args:
        latency: seconds that Kili adds to every call.
        calls_per_minute: that Kili allows; 0 for no limit.
    """

    def __init__(self, *, latency: float = 0.0, calls_per_minute: int = 0) -> None:
        self._stack = ExitStack()
        try:
            self.folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="prediction-worker-bench-")))
            self._server = self._stack.enter_context(EmbeddedRedis())
            self.kili = self._stack.enter_context(
                SandboxProcess(latency=latency, calls_per_minute=calls_per_minute, import_delay=0.0)
            )
            self._http = self._stack.enter_context(httpx.Client(timeout=300))
            self.redis = self._stack.enter_context(redis.Redis.from_url(self._server.url))
        except BaseException:
            self._stack.close()
            raise
        self.latency = latency
        self.calls_per_minute = calls_per_minute
        self.spool = Spool(self.redis, prefix=Settings().spool.prefix, lease_ms=30_000, remember_ms=3_600_000)
        self.project = self.new_project()
        self._redis_begun = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def redis_url(self) -> str:
        """Redis of doors, spool and Celery."""
        return self._server.url

    @property
    def redis_pid(self) -> int:
        """Its process."""
        return self._server.pid

    def new_project(self) -> str:
        """Create a project; this call does not wait for the latency and is not counted."""
        before = self.admin("config")
        self.admin("config", {"latency": 0, "calls_per_minute": 0})
        data = {"title": "bench", "inputType": "IMAGE", "jsonInterface": json.dumps(INTERFACE)}
        answer = self._http.post(
            self.kili.endpoint,
            json={"query": CREATE_PROJECT, "variables": {"data": data}},
            headers={"Authorization": f"X-API-Key: {self.kili.api_key}"},
        ).json()
        self.admin("config", {name: before[name] for name in ("latency", "calls_per_minute")})
        self.admin("reset", {})
        return str(answer["data"]["data"]["id"])

    def clear(self) -> None:
        """Forget everything in Redis, and go on in a new project of Kili."""
        self.redis.flushdb()
        self.project = self.new_project()
        self.start_of_redis_cpu()

    def start_of_redis_cpu(self) -> None:
        """Count the processor time of Redis from here on."""
        self._redis_begun = cpu_seconds(self.redis_pid)

    def redis_cpu(self) -> float:
        """Seconds of processor time of Redis since the start of counting."""
        return cpu_seconds(self.redis_pid) - self._redis_begun

    def admin(self, path: str, content: Any = None) -> Any:
        """The sandbox's admin surface."""
        answer = self._http.request("GET" if content is None else "POST", f"{self.kili.admin_url}/{path}", json=content)
        return answer.raise_for_status().json()

    def calls(self) -> int:
        """Calls that Kili answered since the project was created."""
        return int(self.admin("calls")["total"])

    def items(self, project: str = "") -> list[dict[str, Any]]:
        """Every asset of a project with its labels, as Kili has them."""
        found: list[dict[str, Any]] = self.admin(f"state?full=1&project={project or self.project}")["items"]
        return found

    def finished(self, work: Iterable[Made], project: str = "") -> int:
        """Predictions that are in Kili in full; raises WrongState."""
        return finished(self.items(project), work)

    def stage_stream(self, work: Work, inbox: str, project: str = "") -> Callable[[], None]:
        """Put messages aside; calling the result makes them the inbox, all at once and at no cost."""
        self.redis.delete(STAGED)
        for part in _parts([made.message(project or self.project) for made in work], 1000):
            with self.redis.pipeline(transaction=False) as pipe:
                for message in part:
                    pipe.xadd(STAGED, {"payload": message})
                pipe.execute()
        self.redis.xgroup_create(STAGED, INBOX_GROUP, id="0")
        return lambda: self.rename(STAGED, inbox)

    def rename(self, name: str, target: str) -> None:
        """Let one key of Redis take another's place."""
        self.redis.rename(name, target)

    def add(self, messages: Iterable[bytes], inbox: str) -> None:
        """Send messages to the stream door, in one transaction."""
        with self.redis.pipeline() as pipe:
            for message in messages:
                pipe.xadd(inbox, {"payload": message})
            pipe.execute()


def _parts(messages: list[bytes], size: int) -> Iterator[list[bytes]]:
    return (messages[first : first + size] for first in range(0, len(messages), size))
