"""The parts the demo runs on: a real Redis, the sandbox, a real worker; all of them end with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from worker.demo.pictures import png
from worker.demo.processes import WorkerProcess
from worker.demo.progress import Progress
from worker.embedded_redis import EmbeddedRedis
from worker.sandbox.process import SandboxProcess
from worker.settings import environment_names

STOP_LIMIT = 15.0
LISTENING = {
    "WORKER_FEEDBACK__EVERY_SECONDS": "5",
    "WORKER_FEEDBACK__FIGURES_SECONDS": "5",
    "WORKER_FEEDBACK__BUDGET_SHARE": "0.2",
    "WORKER_FEEDBACK__AUDIT_HOURS": "0.004",
}
"""A demo of a minute cannot wait five minutes for the next look at the labels, nor three days for an answer."""

PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What runs, and how to reach it; ``environment`` is what a command needs to see the same Redis and Kili."""

    sandbox: SandboxProcess
    worker: WorkerProcess
    environment: Mapping[str, str]

    @property
    def redis_url(self) -> str:
        """The Redis of doors and spool."""
        return self.environment["REDIS_URL"]

    @property
    def files_url(self) -> str:
        """Where the sandbox serves the pictures."""
        return f"{self.sandbox.base_url}/files"


@contextmanager
def surroundings(pictures: Mapping[str, bytes], policy: str, progress: Progress) -> Iterator[Surroundings]:
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
        progress.say(f"Redis    {redis.url}")
        with _interrupts_held():
            sandbox = stack.enter_context(SandboxProcess(files=str(files)))
        progress.say(f"Kili     {sandbox.base_url} (the local sandbox)")
        environment = _environment(redis, sandbox, folder)
        stack.enter_context(settings_environment(environment))
        worker = WorkerProcess({**environment, "WORKER_LOG__FORMAT": "text"}, folder)
        stack.callback(worker.stop, STOP_LIMIT)
        _draw(pictures, files)
        worker.wait_ready()
        progress.say(f"worker   process {worker.pid}")
        try:
            yield Surroundings(sandbox, worker, environment)
        except Exception:
            progress.say(f"the worker's log ends:\n{worker.tail()}")
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
        **LISTENING,
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
