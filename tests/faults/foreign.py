"""The whole job with producers that know nothing of us, on every Redis server: ``python -m tests.faults.foreign``.

On each server a foreign process sends predictions through both doors, wrong and doubled ones among them; then
predictions for new assets, and for as many that somebody else has created, are timed. What came of the job must be
the same everywhere, what exists must take no longer than three times what is new, and no worker may complain.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.awaiting import PATIENCE
from tests.faults.house import COLOURS, House, prediction, predictions
from tests.servers import servers_of

FOREIGN_PRODUCER = """
import json, sys
import redis
from celery import Celery

broker = sys.argv[1]
stream, app = redis.Redis.from_url(broker), Celery(broker=broker)
for number, line in enumerate(sys.stdin):
    line = line.rstrip("\\n")
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if number % 2 and message is not None:
        app.send_task("predictions.ingest", [message], queue="predictions")
    else:
        stream.xadd("predictions:inbox", {"payload": line})
"""
THRESHOLD = 0.8
DUPLICATES, WRONG = 20, 33
"""One in so many is sent twice, or is wrong."""
TIMES = 3.0
"""By how much predictions for existing assets may take longer than those for new ones."""
WRONG_FIELDS = [
    "message",
    "external_id",
    "output",
    "output.scores.RED",
    "output.scoers",
    "model.version",
    "predicted_at",
    "asset",
    "confidence",
    "metadata.camera",
]


class Job:
    """What the foreign process sends, and what should come of it."""

    def __init__(self, project: str, seed: int, distinct: int = 1000) -> None:
        dice = random.Random(seed)
        self.project = project
        self.distinct, self.duplicates, self.wrong = distinct, distinct // DUPLICATES, distinct // WRONG
        self.valid = {
            f"cam {n % 7}/{n}.jpg": prediction(
                project, f"cam {n % 7}/{n}.jpg", answer=dice.choice(COLOURS), score=round(dice.uniform(0.51, 1), 2)
            )
            for n in range(distinct)
        }
        lines = [json.dumps(message) for message in self.valid.values()]
        lines += dice.choices(lines, k=self.duplicates)
        lines += [wrong_line(project, n) for n in range(self.wrong)]
        dice.shuffle(lines)
        self.lines = lines

    def send(self, broker: str) -> None:
        """Run the foreign process to its end."""
        command = [sys.executable, "-c", FOREIGN_PRODUCER, broker]
        subprocess.run(command, input="\n".join(self.lines), text=True, check=True, timeout=3 * PATIENCE)

    def settled(self, house: House) -> bool:
        """Whether everything that was sent has come to its end."""
        ledger = house.ledger()
        return ledger.received == len(self.lines) and ledger.waiting + ledger.leased == 0

    def wanted(self) -> dict[str, tuple[str, int]]:
        """Answer and priority of each asset."""
        scores = {name: message["output"]["scores"] for name, message in self.valid.items()}
        return {name: (max(one, key=one.__getitem__), priority(max(one.values()))) for name, one in scores.items()}

    def check_books(self, house: House) -> None:
        """Look at the worker's letters and ledger."""
        letters = [letter.about for letter in house.letters.letters()]
        assert Counter(about["field"] for about in letters) == Counter(
            WRONG_FIELDS[n % len(WRONG_FIELDS)] for n in range(self.wrong)
        )
        assert all(about["problem"] for about in letters)
        ledger = house.ledger()
        assert (ledger.received, ledger.dead) == (len(self.lines), self.wrong)
        assert ledger.delivered + ledger.superseded == self.distinct + self.duplicates
        assert house.spool.measured() == (0, self.wrong)


def wrong_line(project: str, number: int) -> str:
    """A message with one thing wrong."""
    good = prediction(project, f"wrong/{number}")
    changes: dict[str, dict[str, Any]] = {
        "external_id": {"external_id": ""},
        "output": {"output": {}},
        "output.scores.RED": {"output": {"scores": {"RED": 1.7}}},
        "output.scoers": {"output": {"scores": {"RED": 1.0}, "scoers": {}}},
        "model.version": {"model": {"name": "m"}},
        "predicted_at": {"predicted_at": "yesterday"},
        "asset": {"asset": {}},
        "confidence": {"confidence": -1},
        "metadata.camera": {"metadata": {"camera": [3]}},
    }
    field = WRONG_FIELDS[number % len(WRONG_FIELDS)]
    return json.dumps({**good, **changes[field]}) if field in changes else json.dumps(good)[:-1]


def priority(confidence: float) -> int:
    """What the threshold rule gives."""
    return max(1, math.floor(100 * (1 - confidence) + 0.5)) if confidence < THRESHOLD else 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds until predictions for new assets, and for those that exist, were delivered."""

    new: float
    existing: float


def in_kili(house: House, project: str) -> dict[str, tuple[str, int]]:
    """Answer and priority of each asset that Kili has, each with one label."""
    found: dict[str, tuple[str, int]] = {}
    for item in house.admin(f"state?project={project}&full=1")["items"]:
        (label,) = item["labels"]
        answer = json.loads(label["jsonResponse"])["COLOUR"]["categories"][0]["name"]
        assert item["externalId"] not in found, item
        found[item["externalId"]] = (answer, item["priority"])
    return found


def run_job(binary: Path | None, distinct: int) -> dict[str, tuple[str, int]]:
    """Two workers and a foreign producer; what is in Kili afterwards, which is what should be."""
    with House(binary=binary) as house:
        job = Job(house.project(), seed=5, distinct=distinct)
        house.worker()
        house.worker()
        job.send(house.redis.url)
        house.await_that(lambda: job.settled(house), "everything has come to its end", limit=3 * PATIENCE)
        job.check_books(house)
        found = in_kili(house, job.project)
        assert found == job.wanted()
        return found


def time_existing(binary: Path | None, count: int) -> Timing:
    """Time predictions for new assets, then for as many assets that somebody else has created."""
    with House(binary=binary) as house:
        house.worker()
        new = timed(house, predictions(house.project(), count))
        project = house.project()
        create(house, project, [f"a/{number}.jpg" for number in range(count)])
        existing = timed(house, predictions(project, count, asset=None))
        house.judge()
        return Timing(new, existing)


def timed(house: House, messages: list[dict[str, Any]]) -> float:
    """Seconds from the first message sent to the last one settled."""
    begun = time.monotonic()
    house.publish(messages)
    house.await_settled(limit=3 * PATIENCE)
    return time.monotonic() - begun


def create(house: House, project: str, names: list[str]) -> None:
    """Create assets, as somebody else would."""
    text = (
        "mutation ($data: AppendManyAssetsData!, $where: ProjectWhere!) "
        "{ data: appendManyAssets(data: $data, where: $where) { id } }"
    )
    for start in range(0, len(names), 100):
        part = names[start : start + 100]
        data = {"contentArray": [f"https://example.com/{name}" for name in part], "externalIDArray": part}
        house.graphql(text, {"data": data, "where": {"id": project}})


def main() -> None:
    """Run on every server that is here, print a table, and fail where they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=5000)
    parser.add_argument("--existing", type=int, default=1500)
    options = parser.parse_args()
    print("| server | foreign predictions | labeled alike | new | existing |\n|---|---|---|---|---|")
    first: dict[str, tuple[str, int]] | None = None
    for server in servers_of("all"):
        if server.marks:
            print(f"| {server.id} | {server.marks[0].kwargs['reason']} | | | |")
            continue
        (binary,) = server.values
        found = run_job(binary, options.predictions)
        first = first or found
        timing = time_existing(binary, options.existing)
        alike = sum(first.get(name) == value for name, value in found.items())
        print(f"| {server.id} | {len(found)} | {alike} | {timing.new:.1f} s | {timing.existing:.1f} s |", flush=True)
        assert found == first, f"{server.id}: other results than on the first server"
        assert timing.existing <= TIMES * timing.new, f"{server.id}: {timing}"


if __name__ == "__main__":
    main()
