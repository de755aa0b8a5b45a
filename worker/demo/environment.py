"""The parts the demo runs on: a real Redis, the sandbox and its projects, a real worker; all of them end with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import httpx

from worker.demo.display import DemoProgress
from worker.demo.plan import CLASS_NAMES, JOB, png
from worker.environment.connections import trusted
from worker.environment.embedded_redis import EmbeddedRedis
from worker.monitoring.progress import read_heartbeat
from worker.sandbox.process import SandboxProcess
from worker.settings.tree import environment_names

CREATE_PROJECT = "mutation ($data: CreateProjectData!) { data: createProject(data: $data) { id } }"
LIMIT_SECONDS = 30.0


def interface() -> dict[str, Any]:
    """The project's jsonInterface: one radio question with ten categories."""
    categories = {name: {"name": name.title(), "children": [], "id": f"category-{name}"} for name in CLASS_NAMES}
    job = {
        "mlTask": "CLASSIFICATION",
        "instruction": "Which digit is it?",
        "required": 1,
        "isChild": False,
        "content": {"categories": categories, "input": "radio"},
    }
    return {"jobs": {JOB: job}}


class LocalKili:
    """A client of one sandbox.

    Args:
        endpoint: GraphQL URL.
        admin_url: of the sandbox's own surface.
        api_key: accepted by the sandbox.
    """

    def __init__(self, endpoint: str, admin_url: str, api_key: str) -> None:
        self._endpoint = endpoint
        self._admin_url = admin_url
        headers = {"Authorization": f"X-API-Key: {api_key}"}
        self._client = httpx.Client(verify=trusted(), headers=headers, timeout=LIMIT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def create_project(self, title: str) -> str:
        """Create the project; its id. Raises RuntimeError with the server's words when it is refused."""
        data = {"title": title, "inputType": "IMAGE", "jsonInterface": json.dumps(interface())}
        body = {"query": CREATE_PROJECT, "variables": {"data": data}}
        answer = self._client.post(self._endpoint, json=body).raise_for_status().json()
        if "errors" in answer:
            raise RuntimeError(f"the sandbox creates no project: {answer['errors'][0]['message']}")
        return str(answer["data"]["data"]["id"])

    def forget_calls(self) -> None:
        """Count calls from now on."""
        self._client.post(f"{self._admin_url}/reset").raise_for_status()

    def calls(self) -> dict[str, int]:
        """GraphQL calls by operation since they were forgotten."""
        operations = self._get("calls")["operations"]
        return {name: int(one["count"]) for name, one in operations.items()}

    def assets(self, project_id: str) -> list[dict[str, Any]]:
        """Every asset of the project with its labels."""
        found: list[dict[str, Any]] = self._get("state", project=project_id, full="1")["items"]
        return found

    def _get(self, path: str, **params: str) -> Any:
        return self._client.get(f"{self._admin_url}/{path}", params=params).raise_for_status().json()


WATCHER = """
read -r _
kill -TERM "$1"
for _ in $(seq 100); do kill -0 "$1" || exit; sleep 0.1; done
kill -KILL "$1"
"""
"""Reads a pipe that the owner holds open; however the owner dies, the pipe closes and the worker is ended."""


class WorkerProcess:
    """``prediction-worker start`` as a child process, with its log in a file; it ends when its owner does.

    Args:
        environment: settings, on top of this process' own environment.
        folder: for the log and the heartbeat; two workers of one folder need different names.
        name: of this worker.
        output: a descriptor that takes what the worker writes, instead of the log.
        spawn: starts the process, with the arguments of ``subprocess.Popen``.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        name: str = "worker",
        *,
        output: int | None = None,
        spawn: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
    ) -> None:
        self.log = folder / f"{name}.log"
        self._heartbeat = folder / f"{name}.heartbeat"
        self._heartbeat.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = spawn(
                [sys.executable, "-m", "worker", "start"],
                env={
                    **os.environ,
                    "WORKER_HTTP__LISTEN": "",  # many run on one machine, and the default port is somebody's
                    **environment,
                    "WORKER_HEARTBEAT_FILE": str(self._heartbeat),
                },
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log if output is None else output,
                start_new_session=True,
            )
        self._watcher = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", WATCHER, "watch", str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def wait_ready(self, limit: float = 60.0) -> Self:
        """Wait until the worker has beaten once.

        Raises:
            RuntimeError: it ended, or did not start within ``limit`` seconds; with the end of its log.
        """
        end = time.monotonic() + limit
        while time.monotonic() < end:
            beat = read_heartbeat(self._heartbeat)
            if beat is not None and beat.pid == self.pid:
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the worker did not start:\n{self.tail()}")

    def tail(self, size: int = 4000) -> str:
        """The end of the log."""
        return self.log.read_text("utf-8", "replace")[-size:]

    def stop(self, limit: float = 40.0) -> int:
        """SIGTERM, then SIGKILL after ``limit`` seconds; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            return self.kill()
        self._dismiss_watcher()
        return code

    def kill(self) -> int:
        """SIGKILL; the exit code."""
        if self.process.poll() is None:
            self.process.kill()
        code = self.process.wait(60)
        self._dismiss_watcher()
        return code

    def _dismiss_watcher(self) -> None:
        self._watcher.kill()
        self._watcher.communicate()

    def __enter__(self) -> Self:
        return self.wait_ready()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


STOP_LIMIT = 15.0
SERVER_SETTINGS = {
    "WORKER_FEEDBACK__EVERY_SECONDS": "5",
    "WORKER_FEEDBACK__FIGURES_SECONDS": "5",
    "WORKER_FEEDBACK__BUDGET_SHARE": "0.2",
    "WORKER_FEEDBACK__AUDIT_HOURS": "0.004",
    "WORKER_FEEDBACK__SETTLING_SECONDS": "0",
}
"""A demo of a minute cannot wait five minutes for the next look at the labels, nor three days for an answer."""

PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """What runs, and how to reach it; ``environment`` is what a command needs to see the same Redis and Kili."""

    sandbox: SandboxProcess
    worker: WorkerProcess
    environment: Mapping[str, str]

    @property
    def redis_url(self) -> str:
        """The Redis of sources and spool."""
        return self.environment["REDIS_URL"]

    @property
    def files_url(self) -> str:
        """Where the sandbox serves the pictures."""
        return f"{self.sandbox.base_url}/files"


@contextmanager
def demo_environment(pictures: Mapping[str, bytes], policy: str, progress: DemoProgress) -> Iterator[DemoEnvironment]:
    """Start everything; stop it and remove the files at the end.

    ``pictures`` are images of digits by the name of their file, ``policy`` is the text of the review policy (TOML).

    When the body fails, the end of the worker's log is shown.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="prediction-worker-demo-")))
        files = folder / "pictures"
        files.mkdir()
        (folder / "policy.toml").write_text(policy, "utf-8")
        redis = stack.enter_context(EmbeddedRedis())
        progress.write_line(f"Redis    {redis.url}")
        with _interrupts_held():
            sandbox = stack.enter_context(SandboxProcess(files=str(files)))
        progress.write_line(f"Kili     {sandbox.base_url} (the local sandbox)")
        environment = _environment(redis, sandbox, folder)
        stack.enter_context(settings_environment(environment))
        worker = WorkerProcess({**environment, "WORKER_LOG__FORMAT": "text"}, folder)
        stack.callback(worker.stop, STOP_LIMIT)
        _draw(pictures, files)
        worker.wait_ready()
        progress.write_line(f"worker   process {worker.pid}")
        try:
            yield DemoEnvironment(sandbox, worker, environment)
        except Exception:
            progress.write_line(f"the worker's log ends:\n{worker.tail()}")
            raise


@contextmanager
def settings_environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Put aside every setting and proxy of the surrounding shell, which must not reach the demo; set these instead."""
    before = dict(os.environ)
    for name in before:
        if _is_setting(name.upper()):
            del os.environ[name]
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _is_setting(name: str) -> bool:
    return name.startswith("WORKER_") or name in PROXIES or name in environment_names()


def _environment(redis: EmbeddedRedis, sandbox: SandboxProcess, folder: Path) -> dict[str, str]:
    return {
        "REDIS_URL": redis.url,
        "KILI_API_ENDPOINT": sandbox.endpoint,
        "KILI_API_KEY": sandbox.api_key,
        "WORKER_HEARTBEAT_FILE": str(folder / "worker.heartbeat"),
        "WORKER_REVIEW__POLICY": str(folder / "policy.toml"),
        **SERVER_SETTINGS,
    }


def _draw(pictures: Mapping[str, bytes], folder: Path) -> None:
    for name, image in pictures.items():
        (folder / name).write_bytes(png(image))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let a child inherit that Ctrl-C is not for it: it serves until its owner has drained and stops it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
