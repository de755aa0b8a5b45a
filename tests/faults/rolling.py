"""Workers of two releases take over from one another under load: ``python -m tests.faults.rolling REF``.

REF is the release before, any commit of this repository. Its workers run from its own source tree, in the environment
of this commit, on the same Redis and the same local Kili as the workers of this commit. Messages come all the while
through the stream, Celery and, where both have it, the gateway; some are wrong, some wait for a result or an asset,
some become dead letters that the other release replays; people answer, and both collect it. Before each change of the
fleet Kili is slow, so that the workers that leave have predictions in flight and a backlog. Then most of them are
killed. At the end the judge decides, and the commands of both releases must tell the same.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx

from tests.awaiting import awaited, free_port
from tests.faults.foreign import create
from tests.faults.house import COLOURS, INTERFACE, House, prediction
from tests.faults.soak import Sampler
from tests.faults.test_isolation import set_interface
from tests.integration.test_results_elsewhere import Bucket, pointing
from tests.nursery import ROOT
from tests.servers import servers_of
from worker.demo.environment import WorkerProcess
from worker.sandbox.labelers import Labelers

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = 1500
OLD, NEW = "old", "new"
FLEETS = (
    (OLD, OLD),
    (OLD, NEW),
    (NEW, NEW),
    (OLD, OLD),
    (NEW, NEW),
    (NEW, OLD),
    (OLD, OLD),
)
"""Forth and back one by one, and both ways all at once: then one release reads only what the other has written."""

GENTLE = {2, 5}
"""Before these fleets the workers that leave are stopped, before the others killed."""

BACKLOG = 100
SLOW = {"operation": "*", "action": {"kind": "delay", "seconds": 1.5}}
LIMIT = 90.0
PAUSE = 0.1
TOKEN = "token-of-the-roll"
SETTINGS = {
    "WORKER_REVIEW__RULE": "ranked",
    "WORKER_DELIVERY__MISSING_ASSET_GRACE_SECONDS": "120",
    "WORKER_FEEDBACK__EVERY_SECONDS": "1",
    "WORKER_FEEDBACK__FIGURES_SECONDS": "1",
    "WORKER_FEEDBACK__BUDGET_SHARE": "0.5",
    "WORKER_INTAKE__RESULT_GRACE_SECONDS": "120",
    "WORKER_LOG__LEVEL": "INFO",
}
UNKNOWN = "GREEN"
KNOWING: dict[str, Any] = json.loads(json.dumps(INTERFACE))
KNOWING["jobs"]["COLOUR"]["content"]["categories"][UNKNOWN] = {"children": [], "name": "Green"}
WRONG = (b"{", b'{"external_id": 3}', b'{"output": {"scores": {"A": NaN}}}', b"\xff\xfe")


@dataclass(frozen=True)
class Release:
    """A source tree of the worker."""

    name: str
    folder: Path

    @cached_property
    def settings(self) -> frozenset[str]:
        """Names of the settings that it knows; it does not start with others."""
        command = [sys.executable, "-m", "worker", "check", "--explain"]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        told = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=True)
        return frozenset(re.findall(r"WORKER_\w+", told.stdout))

    @property
    def has_gateway(self) -> bool:
        """Whether ``prediction-worker serve`` is there."""
        return any((self.folder / "worker" / "cli" / name).exists() for name in ("serving.py", "serve.py"))

    def spawn(self, command: Sequence[str], *, env: dict[str, str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process of this tree, as ``subprocess.Popen`` would."""
        return subprocess.Popen(command, env=self.environment(env), cwd=self.folder, **options)

    def run(self, house: House, *arguments: str) -> str:
        """What a command of this release prints."""
        command = [sys.executable, "-m", "worker", *arguments]
        environment = self.environment({**os.environ, **house.environment})
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{self.name}: {arguments}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
        return done.stdout

    def check(self) -> None:
        """Its processes run its own code."""
        command = [sys.executable, "-c", "import worker; print(worker.__file__)"]
        environment = self.environment(dict(os.environ))
        found = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=True)
        assert Path(found.stdout.strip()).parent == self.folder / "worker", found.stdout

    def environment(self, env: dict[str, str]) -> dict[str, str]:
        """An environment whose Python finds this tree first, without settings that only another release knows."""
        known = {name: value for name, value in env.items() if name in self.settings or not name.startswith("WORKER_")}
        return {**known, "PYTHONPATH": str(self.folder)}


@contextmanager
def released(ref: str) -> Iterator[Release]:
    """The tree of a commit, in a folder of its own for as long."""
    tree = subprocess.run(["git", "archive", ref, "worker"], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="release-") as folder, tarfile.open(fileobj=BytesIO(tree)) as archive:
        archive.extractall(folder, filter="data")
        yield Release(OLD, Path(folder).resolve())


class Gateway:
    """``prediction-worker serve`` of either release on one port, and a client that sends again until it is answered."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=20)
        house.environment |= {"WORKER_SERVE__PORT": str(self._port), "WORKER_SERVE__TOKENS": TOKEN}

    def serve(self, release: Release) -> None:
        """Kill the gateway that runs, and start one of this release."""
        self.kill()
        with (self._house.folder / "gateway.log").open("ab") as log:
            command = [sys.executable, "-m", "worker", "serve"]
            environment = {**os.environ, **self._house.environment}
            self._process = release.spawn(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        awaited(lambda: self._status(partial(self._http.get, "/livez")) == 200, "the gateway listens", limit=LIMIT)

    def post(self, payloads: Sequence[bytes]) -> None:
        """Send JSON Lines until they are accepted; the key makes it safe to send them again."""
        headers = {"Idempotency-Key": str(uuid.uuid4()), "Authorization": f"Bearer {TOKEN}"}
        headers["Content-Type"] = "application/x-ndjson"
        send = partial(self._http.post, "/v1/predictions?on_error=keep", content=b"\n".join(payloads), headers=headers)
        awaited(lambda: self._status(send) == 202, "the gateway takes messages", limit=LIMIT)

    def kill(self) -> None:
        """End the gateway at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End both."""
        self.kill()
        self._http.close()

    def _status(self, send: Callable[[], httpx.Response]) -> int:
        try:
            return send().status_code
        except httpx.TransportError:
            return 0


class Traffic:
    """Messages of every kind; some wait for what only ``give`` brings."""

    def __init__(self, house: House, bucket: Bucket, gateway: Gateway | None, seed: int) -> None:
        self.house = house
        self.counts: Counter[str] = Counter()
        self.projects = [house.project() for _ in range(2)]
        self.reviewed = house.project()
        self._bucket = bucket
        self._gateway = gateway
        self._dice = random.Random(seed)
        self._moment = 0
        self._results: list[str] = []
        self._assets: list[str] = []

    def block(self) -> None:
        """Publish some forty messages."""
        self.house.publish([self._message() for _ in range(20)] + self._unknown(1))
        self.house.publish([self._message() for _ in range(6)], door="celery", together=self._dice.choice([1, 3]))
        if self._dice.random() < 0.5:
            self.house.publish([self._dice.choice(WRONG)])
        self._post([self._message() for _ in range(6)] + self._unknown(1))
        self.house.publish(self._message(project=self.reviewed, name=self._once()) for _ in range(5))
        self._publish_pointer()
        self._publish_without_asset()
        self.counts["blocks"] += 1

    def give(self) -> None:
        """Bring what messages wait for: results, and assets of somebody else."""
        for name in self._results:
            self._bucket.put(name, 0.1, 0.7, 0.1, 0.1)
        create(self.house, self.projects[0], self._assets)
        self._results, self._assets = [], []

    def _message(self, *, project: str = "", name: str = "", **changes: Any) -> dict[str, Any]:
        return prediction(
            project or self._dice.choice(self.projects),
            name or f"é {self._dice.randrange(NAMES)}/x.jpg",
            **{
                "answer": self._dice.choice(COLOURS),
                "score": round(self._dice.uniform(0.51, 0.99), 3),
                "model": {"name": "m", "version": self._dice.choice("12") if not project else "1"},
                "predicted_at": self._next_moment(),
                **changes,
            },
        )

    def _next_moment(self) -> str:
        """Of a tenth of the messages a moment that lies before those of others."""
        self._moment += 1
        late = self._dice.randrange(1, 300) if self._dice.random() < 0.1 else 0
        moment = BEGIN + timedelta(microseconds=2 * (self._moment - late) + bool(late))
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _once(self) -> str:
        return f"once/{self._moment}.jpg"

    def _unknown(self, count: int) -> list[dict[str, Any]]:
        """Messages with a class that the project gets at the end."""
        self.counts["of an unknown class"] += count
        found = [self._message(name=f"unknown/{self._once()}") for _ in range(count)]
        for message in found:
            message["output"] = {"scores": {UNKNOWN: 0.9, "RED": 0.1}}
        return found

    def _post(self, messages: list[dict[str, Any]]) -> None:
        if self._gateway is None:
            self.house.publish(messages)
            return
        self._gateway.post([json.dumps(message).encode() for message in messages])
        self.counts["over http"] += len(messages)
        self.house.published.count += len(messages)
        for message in messages:
            self.house.published.note(message)

    def _publish_pointer(self) -> None:
        name = f"elsewhere-{self._moment}"
        message = pointing(self.projects[0], name, f"s3://results/out/{name}", job="COLOUR")
        self.house.client.xadd("predictions:inbox", {"payload": json.dumps(message)})
        self._bucket.put(name, status=503)
        self._results.append(name)
        self.counts["with a result elsewhere"] += 1
        published = self.house.published
        published.count += 1
        published.note({**message, "output": {"scores": {COLOURS[1]: 1.0}}})

    def _publish_without_asset(self) -> None:
        name = f"later-{self._moment}"
        self.house.publish([self._message(project=self.projects[0], name=name, asset=None)])
        self._assets.append(name)
        self.counts["before their asset"] += 1


class Roll:
    """One fleet after another on one Redis."""

    def __init__(self, house: House, releases: dict[str, Release], traffic: Traffic, gateway: Gateway | None) -> None:
        self._house = house
        self._releases = releases
        self._traffic = traffic
        self._gateway = gateway
        self._fleet: list[tuple[str, WorkerProcess]] = []
        self._labelers = Labelers(house.kili.endpoint, house.kili.api_key, traffic.reviewed, lambda _: ANSWER)
        self._labeled = 0
        self._begun = 0
        self.counts = traffic.counts

    def run(self, blocks: int) -> None:
        """Every fleet in turn, each under load."""
        for number, names in enumerate(FLEETS):
            print(f"  {'+'.join(names)}", flush=True)
            if self._fleet:
                self._pile_up()
            self._change(names, gently=number in GENTLE)
            self._house.heal()
            self._traffic.give()
            self._load(blocks)
            self._house.await_that(lambda: self._house.ledger().delivered > 0, "something is delivered")

    def settle(self) -> dict[str, Any]:
        """Give what is waited for, replay what became a dead letter, and judge."""
        house = self._house
        house.heal()
        self._traffic.give()
        house.await_settled(limit=LIMIT)
        for project in (*self._traffic.projects, self._traffic.reviewed):
            set_interface(house, project, KNOWING)
        letters = len(list(house.letters.ids("unknown_class")))
        assert letters == self.counts["of an unknown class"], (letters, self.counts)
        self._replay_until_delivered()
        house.await_that(self._all_collected, f"{self._labeled} verdicts", LIMIT)
        state = house.judge()
        self._compare_commands()
        ledger = house.ledger()
        return {
            "published": house.published.count,
            "delivered": ledger.delivered,
            "superseded": ledger.superseded,
            "dead letters": ledger.dead,
            "assets": state["assets"],
            "labels": state["labels"],
            "priorities": sum(item["priority"] > 0 for item in state["items"]),
            "verdicts": self._labeled,
            **self.counts,
        }

    def close(self) -> None:
        """Release what it holds; the house ends the workers."""
        self._labelers.__exit__(None, None, None)

    def _pile_up(self) -> None:
        """Slow Kili down until predictions are in flight and many more wait."""
        self._house.harm(SLOW)
        end = time.monotonic() + LIMIT
        while True:
            ledger = self._house.ledger()
            if ledger.leased and ledger.waiting >= BACKLOG:
                return
            assert time.monotonic() < end, ledger
            self._traffic.block()

    def _change(self, names: Sequence[str], *, gently: bool) -> None:
        """Keep of the fleet what the next one needs too; end the others, then start what is missing."""
        wanted, stay, leave = Counter(names), [], []
        for name, worker in self._fleet:
            (stay if wanted[name] > 0 else leave).append((name, worker))
            wanted[name] -= 1
        for _, worker in leave:
            self._end(worker, gently=gently)
        self._fleet = stay
        for name in (+wanted).elements():
            self._start(name)
        if self._gateway is not None:
            self._gateway.serve(self._releases[names[-1]])

    def _start(self, name: str) -> None:
        house, release = self._house, self._releases[name]
        self._begun += 1
        environment = dict(house.environment)
        worker = WorkerProcess(environment, house.folder, f"{name}-{self._begun}", spawn=release.spawn)
        house.workers.append(worker)
        self._fleet.append((name, worker.wait_ready()))
        self.counts[f"workers of the {name} release"] += 1

    def _end(self, worker: WorkerProcess, *, gently: bool) -> None:
        assert worker.process.poll() is None, f"a worker ended by itself:\n{worker.tail()}"
        code = worker.stop() if gently else worker.kill()
        assert code == (0 if gently else -9), f"exit {code}:\n{worker.tail()}"
        self.counts["stopped" if gently else "killed"] += 1

    def _load(self, blocks: int) -> None:
        """Publish, kill a worker half way, have people answer and each release replay what it cannot help."""
        for number in range(blocks):
            if number == blocks // 2:
                name, worker = self._fleet.pop(0)
                self._end(worker, gently=False)
                self._start(name)
            self._traffic.block()
            time.sleep(PAUSE)  # the rate of the messages
        self._labeled += len(self._labelers.label(10).labeled)
        for name in dict.fromkeys(name for name, _ in self._fleet):
            other = OLD if name == NEW else NEW
            self._releases[other].run(self._house, "dead-letters", "replay", "--cause", "unknown_class")
            self.counts[f"replays by the {other} release"] += 1

    def _replay_until_delivered(self) -> None:
        """An interface that was just read is not read again at once, so some become letters again at first."""
        end, turn = time.monotonic() + LIMIT, 0
        while self._house.letters.causes().get("unknown_class"):
            release = self._releases[(OLD, NEW)[turn % 2]]
            release.run(self._house, "dead-letters", "replay", "--cause", "unknown_class")
            self._house.await_settled(limit=LIMIT)
            assert time.monotonic() < end, self._house.letters.causes()
            turn += 1

    def _all_collected(self) -> bool:
        found = self._house.status()["feedback"].get(self._traffic.reviewed, {"models": {}})["models"]
        return bool(found) and found["m:1"]["verdicts"] == self._labeled

    def _compare_commands(self) -> None:
        """Both releases read the same from Redis."""
        told = {name: self._told_by(release) for name, release in self._releases.items()}
        assert told[OLD] == told[NEW], json.dumps(told, indent=1)

    def _told_by(self, release: Release) -> dict[str, Any]:
        status = json.loads(release.run(self._house, "status", "--json"))
        report = json.loads(release.run(self._house, "report", "--project", self._traffic.reviewed, "--json"))
        policy = json.loads(release.run(self._house, "policy", "show", "--json"))
        release.run(self._house, "dead-letters", "list")
        release.run(self._house, "waiting", "list")
        return {
            "ledger": status["ledger"],
            "verdicts": {name: row["verdicts"] for name, row in models_in(status, self._traffic.reviewed).items()},
            "report": sorted(report),
            "policy": policy["projects"],
        }


ANSWER = {"COLOUR": {"categories": [{"name": "RED"}]}}


def models_in(status: dict[str, Any], project: str) -> dict[str, Any]:
    """The model versions of a project in ``status --json``."""
    found: dict[str, Any] = status["feedback"][project]["models"]
    return found


def roll(binary: Path | None, old: Release, blocks: int, seed: int) -> dict[str, Any]:
    """Every fleet on one server, and the judge; what was done and what came of it."""
    releases = {OLD: old, NEW: Release(NEW, ROOT)}
    bucket = Bucket()
    places = json.dumps([f"s3://results/out/={bucket.url}"])
    with House({**SETTINGS, "WORKER_INTAKE__RESULT_PLACES": places}, binary=binary) as house:
        del house.environment["WORKER_REVIEW__THRESHOLD"]
        gateway = Gateway(house) if old.has_gateway else None
        traffic = Traffic(house, bucket, gateway, seed)
        run, sampler = Roll(house, releases, traffic, gateway), Sampler(house)
        try:
            run.run(blocks)
            return {**run.settle(), "conservation checks": sampler.stop()}
        finally:
            run.close()
            if gateway is not None:
                gateway.close()
            bucket.close()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ref", help="commit of the release before")
    parser.add_argument("--blocks", type=int, default=12, help="of forty messages, under each fleet")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with released(options.ref) as old:
        for release in (old, Release(NEW, ROOT)):
            release.check()
        for server in servers_of("ends"):
            if server.marks:
                print(f"{server.id}: {server.marks[0].kwargs['reason']}")
                continue
            print(f"{server.id}, {options.ref}, seed {options.seed}", flush=True)
            (binary,) = server.values
            print(json.dumps(roll(binary, old, options.blocks, options.seed), indent=2, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
