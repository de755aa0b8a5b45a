"""Prometheus and Alertmanager as processes of their own, and a receiver of what Alertmanager sends."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
import yaml

from tests.alerts.scaled import scaled
from tests.awaiting import awaited, free_port
from tests.unit.monitoring.queries import RULES

NEEDED = {"prometheus": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager", "promtool": "prometheus"}
"""Programs, and the Debian packages that bring them."""


@dataclass
class Notification:
    """One alert as Alertmanager has sent it; ``at`` in seconds since the run began."""

    at: float
    name: str
    status: str
    labels: Mapping[str, str]
    summary: str


@dataclass
class Station:
    """The two servers over some targets.

    Args:
        folder: for what they store.
        targets: job to addresses.
        factor: by which the rules' times are shorter.
    """

    folder: Path
    targets: Mapping[str, Sequence[str]]
    factor: float
    notifications: list[Notification] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)
    begun: float = field(default_factory=time.time)

    def __enter__(self) -> Self:
        for program, package in NEEDED.items():
            if shutil.which(program) is None:
                pytest.fail(f"no {program}: apt-get install {package} (Debian), or put it on PATH")
        receiver = self._receiver()
        self.alertmanager = f"127.0.0.1:{free_port()}"
        self.prometheus = f"127.0.0.1:{free_port()}"
        self._run_alertmanager(receiver)
        self._run_prometheus()
        for address in (self.alertmanager, self.prometheus):
            awaited(lambda address=address: self._is_ready(address), f"{address} is ready")  # type: ignore[misc]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for log in self.folder.glob("*.log"):
                print(f"--- {log.name}\n{log.read_text()[-3000:]}")
        self._stack.close()

    def await_status(self, status: str, *names: str, since: float = 0.0, limit: float = 180.0) -> None:
        """Wait until Alertmanager has sent each of these alerts with a status, after a moment of the run."""

        def missing() -> set[str]:
            seen = {one.name for one in self.notifications if one.status == status and one.at >= since}
            return set(names) - seen

        end = time.monotonic() + limit
        while missing():
            assert time.monotonic() < end, f"not {status} within {limit:g} s: {sorted(missing())}\n{self.timeline()}"
            time.sleep(0.05)

    def now(self) -> float:
        """Seconds since the run began."""
        return time.time() - self.begun

    def timeline(self) -> str:
        """What was sent, line by line."""
        return "\n".join(f"{one.at:7.1f} s  {one.status:8}  {one.name}: {one.summary}" for one in self.notifications)

    def values(self, query: str) -> list[float]:
        """Every number that a query gave at any moment of the run."""
        query = query.replace("$__rate_interval", "5s").replace("$project", ".*").replace("$model", ".*")
        about = {"query": query, "start": f"{self.begun:.0f}", "end": f"{time.time():.0f}", "step": "1"}
        answer = httpx.get(f"http://{self.prometheus}/api/v1/query_range", params=about, timeout=30)
        assert answer.status_code == 200, (query, answer.text)
        rows = answer.json()["data"]["result"]
        found = [float(value) for row in rows for _, value in row["values"]]
        return [number for number in found if not math.isnan(number)]

    def _is_ready(self, address: str) -> bool:
        try:
            return httpx.get(f"http://{address}/-/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def _receiver(self) -> str:
        station = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    labels = dict(alert["labels"])
                    name = labels.pop("alertname")
                    summary = alert["annotations"]["summary"]
                    station.notifications.append(Notification(station.now(), name, alert["status"], labels, summary))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = self._stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Receiver))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}/"

    def _run_alertmanager(self, receiver: str) -> None:
        config = {
            "route": {
                "receiver": "test",
                "group_by": ["..."],
                "group_wait": "0s",
                "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [{"name": "test", "webhook_configs": [{"url": receiver, "send_resolved": True}]}],
        }
        self._run(
            "prometheus-alertmanager",
            "--config.file",
            self._written("alertmanager.yml", config),
            "--storage.path",
            self.folder / "alertmanager",
            "--web.listen-address",
            self.alertmanager,
            "--cluster.listen-address=",
        )

    def _run_prometheus(self) -> None:
        self._written("rules.yml", scaled(RULES, self.factor))
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self.alertmanager]}]}]},
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                for job, addresses in self.targets.items()
            ],
        }
        self._run(
            "prometheus",
            "--config.file",
            self._written("prometheus.yml", config),
            "--storage.tsdb.path",
            self.folder / "prometheus",
            "--web.listen-address",
            self.prometheus,
            "--rules.alert.resend-delay=1s",
        )

    def _written(self, name: str, content: Mapping[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(content))
        return path

    def _run(self, program: str, *arguments: object) -> None:
        log = self._stack.enter_context((self.folder / f"{program}.log").open("wb"))
        process = subprocess.Popen([program, *map(str, arguments)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._stack.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
