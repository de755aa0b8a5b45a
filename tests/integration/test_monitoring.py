"""A running worker and the exporter over HTTP, while Redis and Kili are there and while they are not."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.awaiting import PATIENCE, awaited, free_port
from tests.faults.house import House, predictions
from tests.nursery import spawn
from worker.demo.environment import WorkerProcess

STALLED = "3"
"""Shorter than any answer of Redis may take is no use: a look with its repeats ends within two seconds here."""
QUICKLY = "1"
WAITS = "backlog_wait_seconds_count"
HTTP = httpx.Client(
    timeout=PATIENCE, limits=httpx.Limits(max_keepalive_connections=0), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
)
"""Reading the certificates of the world for each question takes more than the question does: here nobody speaks TLS."""


@pytest.fixture
def house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture(scope="module")
def shared() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def shared_house(shared: House) -> Iterator[House]:
    """A house for cases that count nothing and leave Redis alone; their workers leave with them."""
    yield shared.begin_case()
    for worker in shared.workers:
        worker.kill()


def values(url: str) -> dict[str, float]:
    """Samples by name and labels, as they are written."""
    answer = HTTP.get(f"{url}/metrics")
    assert answer.status_code == 200
    return {
        one.name.removeprefix("prediction_worker_")
        + "".join(f" {k}={v}" for k, v in sorted(one.labels.items())): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }


def await_values(url: str, expected: dict[str, float]) -> None:
    """Wait for samples: a worker counts when it has done something, and its consumer connects when it can."""
    seen: dict[str, float | None] = {}

    def as_expected() -> bool:
        found = values(url)
        found[WAITS] = sum(value for name, value in found.items() if name.startswith(WAITS))
        seen.update({name: found.get(name) for name in expected})
        return seen == expected

    try:
        awaited(as_expected, "the samples")
    finally:
        assert seen == expected


def said(url: str, path: str) -> tuple[int, dict[str, Any]]:
    answer = HTTP.get(f"{url}/{path}")
    return answer.status_code, answer.json()


def reasons(url: str) -> dict[str, str]:
    """What keeps a worker from working, by part."""
    status, found = said(url, "readyz")
    assert (status == 200) is (found["reasons"] == [])
    return {one["part"]: one["reason"] for one in found["reasons"]}


def stuck_at(url: str) -> dict[str, dict[str, Any]]:
    """What a worker has not done for too long, by name."""
    return {one["what"]: one for one in said(url, "livez")[1]["stuck"]}


def start(house: House, **settings: str) -> tuple[WorkerProcess, str]:
    """A worker that serves at a port of its own."""
    address = f"127.0.0.1:{free_port()}"
    worker = house.worker(wait=False, WORKER_HTTP__LISTEN=address, **settings).wait_ready(PATIENCE)
    return worker, f"http://{address}"


class Exporting:
    """The exporter as a process."""

    def __init__(self, house: House, folder: Path) -> None:
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        self.log = folder / "exporter.log"
        with self.log.open("wb") as log:
            self.process = spawn(
                [sys.executable, "-m", "worker", "exporter", "--listen", address],
                env={**os.environ, **house.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        awaited(self._answers, "the exporter answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return HTTP.get(f"{self.url}/livez").status_code == 200
        except httpx.TransportError:
            return False

    def __enter__(self) -> Exporting:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)


def test_a_worker_counts_what_it_does_and_the_exporter_what_the_fleet_has(house: House, tmp_path: Path) -> None:
    worker, url = start(house)
    project = house.project()
    house.publish(predictions(project, 120))
    house.publish(predictions(project, 30, start=120), door="celery")
    house.publish([b"{"])
    house.await_settled()
    expected = {
        "messages_total source=stream": 121,
        "messages_total source=celery": 30,
        "admitted_total outcome=waiting": 150,
        f"settled_total outcome=delivered project={project}": 150,
        "dead_lettered_total cause=not_json": 1,
        "prediction_to_label_seconds_count": 150,
        WAITS: 150,
        "call_duration_seconds_count operation=appendManyLabels outcome=ok": house.calls_with("appendManyLabels"),
        "live": 1,
        "ready": 1,
        "held_projects": 0,
    }
    await_values(url, expected)
    with Exporting(house, tmp_path) as exporter:
        fleet = values(exporter.url)
        assert fleet["received_total"] == 151
        assert fleet[f"ended_total outcome=delivered project={project}"] == 150
        assert fleet["dead_letters cause=not_json"] == 1
        assert fleet["conservation_error"] == 0
        assert fleet["at_the_doors"] == 0
        exporter.process.send_signal(signal.SIGTERM)
        assert exporter.process.wait(PATIENCE) == 0
    house.judge()
    assert worker.stop() == 0
    with pytest.raises(httpx.ConnectError):
        HTTP.get(f"{url}/livez")


def test_redis_away_for_long_is_no_longer_live_and_readiness_says_why(house: House, tmp_path: Path) -> None:
    worker, url = start(house, WORKER_HTTP__STALLED_SECONDS=STALLED)
    awaited(lambda: said(url, "readyz")[0] == 200, "ready")
    assert said(url, "livez")[0] == 200
    with Exporting(house, tmp_path) as exporter:
        house.kill_redis()
        awaited(lambda: reasons(url).keys() & {"delivery", "intake", "broker"}, "not ready")
        awaited(lambda: said(url, "livez")[0] == 503, "not live")
        awaited(lambda: "lease" in stuck_at(url), "it leases nothing")
        stuck = stuck_at(url)["lease"]
        assert stuck["seconds"] >= float(STALLED)
        assert "Error" in stuck["reason"]
        assert values(url)["live"] == 0
        assert values(exporter.url) == {"redis_up": 0}
        answer = HTTP.get(f"{exporter.url}/readyz")
        assert (answer.status_code, "Redis cannot be asked" in answer.text) == (503, True)
        house.redis.restart()
        awaited(lambda: said(url, "livez")[0] == said(url, "readyz")[0] == 200, "live and ready again")
        awaited(lambda: values(exporter.url)["redis_up"] == 1, "the exporter has figures again")
    assert worker.stop() == 0


def test_an_outage_of_kili_leaves_a_worker_live_and_not_ready(shared_house: House) -> None:
    house = shared_house
    _, url = start(house, WORKER_HTTP__STALLED_SECONDS=QUICKLY)
    project = house.project()
    house.harm({"action": {"kind": "status", "status": 401, "body": "no"}})
    house.publish(predictions(project, 5))
    awaited(lambda: "endpoint" in reasons(url), "not ready for want of the endpoint")
    assert "Kili is paused and probed" in reasons(url)["endpoint"]
    assert house.calls_with("projects") >= 1
    away = house.pauses()["endpoint"].since / 1000
    awaited(lambda: time.time() - away > 2 * float(QUICKLY), "Kili is away for longer than a worker may stall")
    awaited(lambda: said(url, "livez")[0] == 200, "live")
    house.heal()
    awaited(lambda: said(url, "readyz")[0] == 200, "ready again")
    house.await_settled()
    house.judge()


def test_a_port_in_use_keeps_nobody_from_working(shared_house: House) -> None:
    house = shared_house
    first, url = start(house)
    second = house.worker(WORKER_HTTP__LISTEN=url.removeprefix("http://"))
    awaited(lambda: '"http_not_listening"' in second.tail(), "the second says that the address is taken")
    first.kill()
    project = house.project()
    house.publish(predictions(project, 20))
    house.await_settled()
    awaited(lambda: '"http_listening"' in second.tail(), "the second has the address now")
    assert said(url, "livez")[1]["worker"].endswith(f"-{second.pid}")
    house.judge()


def open_files(pid: int) -> Iterator[str]:
    """What a process has open, but for what it closes meanwhile."""
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(one.readlink())


def test_off_is_off(shared_house: House) -> None:
    house = shared_house
    worker = house.worker(WORKER_HTTP__LISTEN="")
    listening = [one for one in Path(f"/proc/{worker.pid}/net/tcp").read_text().splitlines() if " 0A " in one]
    inodes = set(open_files(worker.pid))
    assert not [row for row in listening if f"socket:[{row.split()[9]}]" in inodes]


def test_an_address_of_the_exporter_that_is_none_or_in_use_ends_it_with_words(shared_house: House) -> None:
    house = shared_house

    def ended(address: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "worker", "exporter", "--listen", address],
            env={**os.environ, **house.environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stderr

    code, words = ended("nowhere")
    assert (code, "write HOST:PORT" in words) == (1, True)
    taken = house.redis.url.removeprefix("redis://").partition("@")[2] or house.redis.url.removeprefix("redis://")
    code, words = ended(taken.partition("/")[0])
    assert (code, "cannot listen on" in words) == (1, True)
