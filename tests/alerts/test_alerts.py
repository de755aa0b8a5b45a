"""The real Prometheus scrapes a worker while harm is done, and Alertmanager sends every alert, firing and resolved.

The rules' times are made shorter by ``FACTOR`` (``scaled.py``), and the exporter's rate looks back seconds instead of
minutes; everything else is as it is shipped. Every query of every panel must have given data meanwhile.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.alerts.station import Station, free_port
from tests.awaiting import awaited
from tests.faults.house import COLOURS, House, prediction, predictions
from tests.integration.test_feedback_in_the_worker import COUNT, POLICY, traffic
from tests.unit.monitoring.queries import alerts, queries
from worker.demo.environment import WorkerProcess
from worker.monitoring.status import collect
from worker.sandbox.labelers import Labelers
from worker.settings.tree import Settings

pytestmark = pytest.mark.timeout(1200)

FACTOR = 120.0
MOST_WAITING = 1000
UNLIMITED = "60000"
LIMIT = "20"
AWAY = {"action": {"kind": "status", "status": 401, "body": "no"}}
PANELS = {place: query for place, query in queries() if ":" in place and "$" not in place.partition(": ")[2][:1]}


class Scene:
    """A house with a worker and an exporter that can be exchanged while Prometheus looks at them."""

    def __init__(self, house: House, folder: Path, policy: Path) -> None:
        self.house = house
        self.folder = folder
        self.worker_address = f"127.0.0.1:{free_port()}"
        self.exporter_address = f"127.0.0.1:{free_port()}"
        self.truth: dict[str, str] = {}
        self._settings = {
            "WORKER_HTTP__LISTEN": self.worker_address,
            "WORKER_REVIEW__POLICY": str(policy),
            "WORKER_INTAKE__MAX_WAITING": str(MOST_WAITING),
            "WORKER_FEEDBACK__EVERY_SECONDS": "0.5",
            "WORKER_FEEDBACK__FIGURES_SECONDS": "0.5",
            "WORKER_FEEDBACK__BUDGET_SHARE": "1",
            "WORKER_FEEDBACK__DRIFT_RUN_LENGTH": "1000",
        }
        self._exporter: subprocess.Popen[bytes] | None = None
        self._worker: WorkerProcess | None = None

    def start_worker(self, calls_per_minute: str = UNLIMITED) -> None:
        """A worker instead of the one that runs."""
        if self._worker is not None:
            self._worker.stop()
        found = self.house.worker(wait=False, **self._settings, WORKER_KILI__CALLS_PER_MINUTE=calls_per_minute)
        self._worker = found.wait_ready(120)

    def kill_worker(self) -> None:
        """SIGKILL."""
        assert self._worker is not None
        self._worker.kill()

    def start_exporter(self, calls_per_minute: str = UNLIMITED) -> None:
        """An exporter where none runs."""
        environment = {**os.environ, **self.house.environment, **self._settings}
        environment["WORKER_KILI__CALLS_PER_MINUTE"] = calls_per_minute
        log = (self.folder / "exporter.log").open("ab")
        self._exporter = subprocess.Popen(
            [sys.executable, "-m", "worker", "exporter", "--listen", self.exporter_address, "--rate-seconds", "5"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def end_exporter(self) -> None:
        """SIGTERM."""
        if self._exporter is not None:
            self._exporter.terminate()
            self._exporter.wait(20)

    def new_minute(self) -> None:
        """What was called before no longer counts against the budget."""
        keys = list(self.house.client.scan_iter("pw:budget:*"))
        if keys:
            self.house.client.delete(*keys)

    def command(self, *arguments: str) -> str:
        """A command of the product, as an operator calls it."""
        environment = {**os.environ, **self.house.environment, **self._settings}
        done = subprocess.run(
            [sys.executable, "-m", "worker", *arguments], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def label(self, project: str, count: int) -> int:
        """People who know the truth answer so many assets, in the queue's order."""

        def answer(external_id: str) -> dict[str, Any]:
            return {"COLOUR": {"categories": [{"name": self.truth[external_id]}]}}

        kili = self.house.kili
        with Labelers(kili.endpoint, kili.api_key, project, answer, count=1) as people:
            return len(people.label(count).labeled)

    def settled(self) -> None:
        """Wait until nothing waits and the inbox is empty."""

        def is_settled() -> bool:
            ledger = self.house.spool.ledger()
            return ledger.waiting + ledger.leased == 0 and self.house.client.xlen("predictions:inbox") == 0

        awaited(is_settled, "everything is delivered", limit=120)


def dull(scene: Scene, project: str, start: int, count: int, *, wrong: float) -> Iterator[Mapping[str, Any]]:
    """Predictions of a model that errs so often and is always sure."""
    dice = random.Random(start)
    for number in range(start, start + count):
        name = f"{project[-4:]}-{number}.jpg"
        scene.truth[name] = right = dice.choice(COLOURS)
        said = dice.choice([one for one in COLOURS if one != right]) if dice.random() < wrong else right
        yield prediction(project, name, answer=said, predicted_at=datetime.now(UTC).isoformat())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Station, Scene]]:
    """The whole run; what was seen is what the tests look at."""
    folder = tmp_path_factory.mktemp("alerts")
    policy = folder / "policy.toml"
    policy.write_text(POLICY, "utf-8")
    with House() as house:
        house.troubles.expect("wave_ended")
        scene = Scene(house, folder, policy)
        scene.start_worker()
        scene.start_exporter()
        targets = {"worker": [scene.worker_address], "exporter": [scene.exporter_address]}
        try:
            with Station(folder, targets, FACTOR) as station:
                for act in (quality, outage, wrong_messages, refused_project, sabotage, burst, lost_worker):
                    print(f"{station.now():7.1f} s  -- {act.__name__}: {act.__doc__}")
                    act(station, scene)
                yield station, scene
                print(station.timeline())
        finally:
            scene.end_exporter()


def quality(station: Station, scene: Scene) -> None:
    """A model drifts, another one is bad, and audits of a third are left lying."""
    house = scene.house
    drifting, bad, left = house.project(), house.project(), house.project()
    house.publish(traffic(drifting, scene.truth))
    house.publish(dull(scene, bad, 0, 150, wrong=0.6))
    old = (datetime.now(UTC) - timedelta(days=5)).isoformat()
    house.publish(predictions(left, 60, predicted_at=old))
    scene.truth |= {one["external_id"]: COLOURS[number % 4] for number, one in enumerate(predictions(left, 60))}
    scene.settled()
    scene.label(drifting, COUNT // 2)
    scene.label(bad, 150)
    station.await_status("firing", "ModelDrift", "AgreementLow", "AuditsOverdue", limit=400)
    scene.label(left, 60)
    house.publish(dull(scene, bad, 150, 450, wrong=0.0))
    scene.settled()
    scene.label(bad, 450)
    for alarm in open_alarms(scene, drifting):
        scene.command("report", "--project", drifting, "--no-collect", "--acknowledge", alarm)
    station.await_status("resolved", "ModelDrift", "AgreementLow", "AuditsOverdue", limit=400)


def open_alarms(scene: Scene, project: str) -> list[str]:
    """Ids of the alarms that wait for a person."""
    found = scene.house.client.hkeys(f"pw:feedback:{project}:alarms")
    return [name.decode() for name in found]  # type: ignore[union-attr]


def outage(station: Station, scene: Scene) -> None:
    """Kili refuses the key, and takes it again."""
    since = station.now()
    project = scene.house.project()
    scene.house.harm(AWAY)
    scene.house.publish(predictions(project, 50))
    station.await_status("firing", "EndpointPaused", since=since)
    scene.house.heal()
    station.await_status("resolved", "EndpointPaused", since=since)
    scene.settled()


def wrong_messages(station: Station, scene: Scene) -> None:
    """A producer sends what is no JSON; the operator drops the letter."""
    since = station.now()
    scene.house.publish([b"{"])
    station.await_status("firing", "DeadLetters", since=since)
    for letter_id in scene.house.letters.ids():
        scene.command("dead-letters", "drop", letter_id, "--yes")
    station.await_status("resolved", "DeadLetters", since=since)


def refused_project(station: Station, scene: Scene) -> None:
    """A producer names a project that Kili does not know; the operator drops what waits for it."""
    since = station.now()
    scene.house.publish(predictions("nowhere", 3))
    station.await_status("firing", "ProjectPaused", since=since)
    scene.command("waiting", "drop", "nowhere", "--yes")
    station.await_status("resolved", "ProjectPaused", since=since)


def sabotage(station: Station, scene: Scene) -> None:
    """Somebody writes to the ledger and narrows the memory of Redis, and undoes both."""
    since, client = station.now(), scene.house.client
    client.hincrby("pw:ledger", "received", 1)
    used = int(client.info("memory")["used_memory"])  # type: ignore[index]
    client.config_set("maxmemory", int(used * 1.1))
    station.await_status("firing", "ConservationBroken", "RedisMemoryHigh", since=since)
    client.hincrby("pw:ledger", "received", -1)
    client.config_set("maxmemory", 0)
    station.await_status("resolved", "ConservationBroken", "RedisMemoryHigh", since=since)


def burst(station: Station, scene: Scene) -> None:
    """Three thousand predictions meet a budget of twenty calls a minute; the exporter is away for a moment."""
    since, names = station.now(), ("CallBudgetExhausted", "BacklogWillNotDrain", "DoubtfulPredictionTooOld")
    project = scene.house.project()
    scene.new_minute()
    scene.start_worker(LIMIT)
    scene.end_exporter()
    station.await_status("firing", "FiguresMissing", since=since)
    scene.start_exporter(LIMIT)
    scene.house.publish(predictions(project, 3000))
    station.await_status("firing", *names, "IntakePaused", "SourceLag", since=since, limit=300)
    scene.start_worker()
    scene.end_exporter()
    scene.start_exporter()
    station.await_status("resolved", *names, "IntakePaused", "SourceLag", "FiguresMissing", since=since, limit=300)
    scene.settled()


def lost_worker(station: Station, scene: Scene) -> None:
    """The only worker is killed while predictions wait; another one is started."""
    since = station.now()
    project = scene.house.project()
    scene.kill_worker()
    scene.house.publish(predictions(project, 50))
    admit(scene)
    station.await_status("firing", "NoProgress", since=since)
    scene.start_worker()
    station.await_status("resolved", "NoProgress", since=since)
    scene.settled()


def admit(scene: Scene) -> None:
    """A worker admits what was published, and is killed before it can deliver it."""
    scene.house.harm({"action": {"kind": "delay", "seconds": 30}})
    scene.start_worker()
    awaited(lambda: scene.house.spool.ledger().waiting + scene.house.spool.ledger().leased, "something waits")
    scene.kill_worker()
    scene.house.heal()


def test_every_alert_was_fired_and_resolved(run: tuple[Station, Scene]) -> None:
    station, _ = run
    for status in ("firing", "resolved"):
        assert {rule["alert"] for rule in alerts()} == {
            one.name for one in station.notifications if one.status == status
        }


def test_nothing_was_lost_on_the_way(run: tuple[Station, Scene]) -> None:
    house = run[1].house
    ledger = house.ledger()
    assert (ledger.received, ledger.waiting, ledger.leased) == (house.published.count, 0, 0)


@pytest.mark.parametrize("place", PANELS)
def test_every_query_of_every_panel_gave_data(run: tuple[Station, Scene], place: str) -> None:
    assert run[0].values(PANELS[place])


@pytest.mark.parametrize("who", ["worker", "exporter", "command"])
def test_prometheus_own_tool_accepts_what_they_expose(run: tuple[Station, Scene], who: str) -> None:
    _, scene = run
    addresses = {"worker": scene.worker_address, "exporter": scene.exporter_address}
    if who == "command":
        text = scene.command("status", "--format", "prometheus")
    else:
        text = httpx.get(f"http://{addresses[who]}/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert collect(Settings(redis_url=scene.house.redis.url))["ledger"]["balance"] == 0  # type: ignore[arg-type]
