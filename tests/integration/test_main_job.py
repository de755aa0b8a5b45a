"""The whole job with a producer that knows nothing of us, counted with Kili's own SDK."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kili.client import Kili

from tests.faults.house import COLOURS, House, prediction, predictions

pytestmark = [pytest.mark.servers("ends"), pytest.mark.usefixtures("named_server")]
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
DISTINCT, DUPLICATES, WRONG, THRESHOLD = 1500, 75, 45, 0.8
BURST, CALLS_PER_MINUTE = 4, 600
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

    def __init__(self, project: str, seed: int) -> None:
        dice = random.Random(seed)
        self.project = project
        self.valid = {
            f"cam {n % 7}/{n}.jpg": prediction(
                project, f"cam {n % 7}/{n}.jpg", answer=dice.choice(COLOURS), score=round(dice.uniform(0.51, 1), 2)
            )
            for n in range(DISTINCT)
        }
        lines = [json.dumps(message) for message in self.valid.values()]
        lines += dice.choices(lines, k=DUPLICATES)
        lines += [wrong_line(project, n) for n in range(WRONG)]
        dice.shuffle(lines)
        self.lines = lines

    def send(self, broker: str) -> None:
        """Run the foreign process to its end."""
        command = [sys.executable, "-c", FOREIGN_PRODUCER, broker]
        subprocess.run(command, input="\n".join(self.lines), text=True, check=True, timeout=60)

    def settled(self, house: House) -> bool:
        """Whether everything that was sent has come to its end."""
        ledger = house.ledger()
        return ledger.received == len(self.lines) and ledger.waiting + ledger.leased == 0

    def check(self, house: House, kili: Kili) -> None:
        """Count with the SDK what is in Kili, and look at the worker's books."""
        fields = ["externalId", "priority", "labels.labelType", "labels.modelName", "labels.jsonResponse"]
        assets = kili.assets(project_id=self.project, fields=fields)
        assert Counter(asset["externalId"] for asset in assets) == Counter(list(self.valid))
        for asset in assets:
            scores = self.valid[asset["externalId"]]["output"]["scores"]
            (label,) = asset["labels"]
            assert (label["labelType"], label["modelName"]) == ("INFERENCE", "m:1")
            answer = label["jsonResponse"]["COLOUR"]["categories"][0]["name"]
            assert answer == max(scores, key=scores.__getitem__)
            assert asset["priority"] == priority(max(scores.values()))
        letters = [letter.about for letter in house.letters.letters()]
        assert Counter(about["field"] for about in letters) == Counter(
            WRONG_FIELDS[n % len(WRONG_FIELDS)] for n in range(WRONG)
        )
        assert all(about["problem"] for about in letters)
        ledger = house.ledger()
        assert (ledger.received, ledger.dead) == (len(self.lines), WRONG)
        assert ledger.delivered + ledger.superseded == DISTINCT + DUPLICATES
        assert house.spool.measured() == (0, WRONG)


def wrong_line(project: str, number: int) -> str:
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
    return max(1, math.floor(100 * (1 - confidence) + 0.5)) if confidence < THRESHOLD else 0


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[House], Kili]:
    """Kili's SDK for a house; its cache stays out of the real home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return lambda house: Kili(api_key=house.kili.api_key, api_endpoint=house.kili.endpoint, disable_tqdm=True)


def test_two_workers_deliver_what_a_foreign_process_sends_within_the_call_budget(sdk: Callable[[House], Kili]) -> None:
    settings = {"WORKER_KILI__CALLS_PER_MINUTE": str(CALLS_PER_MINUTE), "WORKER_KILI__BURST": str(BURST)}
    with House(settings, calls_per_minute=CALLS_PER_MINUTE) as house:
        job = Job(house.project(), seed=1)
        house.admin("reset", {})
        house.worker()
        house.worker()
        job.send(house.redis.url)
        house.await_that(lambda: job.settled(house), "everything has come to its end", limit=60)
        moments = sorted(datetime.fromisoformat(one["time"]).timestamp() for one in house.admin("calls")["last"])
        assert house.outcomes().keys() == {"ok"}, "nothing was refused for its rate"
        assert busiest(moments, seconds=1.0) <= BURST + CALLS_PER_MINUTE / 60 + 2
        job.check(house, sdk(house))


def test_workers_killed_while_a_foreign_process_sends_change_nothing_about_the_result(
    sdk: Callable[[House], Kili],
) -> None:
    with House() as house:
        job, dice = Job(house.project(), seed=2), random.Random(2)
        sender = threading.Thread(target=job.send, args=(house.redis.url,))
        sender.start()
        house.worker()
        for _ in range(5):
            house.worker()
            time.sleep(dice.uniform(0, 0.2))
            house.workers.pop(0).kill()
        sender.join()
        house.await_that(lambda: job.settled(house), "everything has come to its end", limit=60)
        job.check(house, sdk(house))


def test_a_thousand_new_predictions_of_which_a_fifth_is_doubtful_take_24_calls() -> None:
    with House({"WORKER_INTAKE__BATCH": "1000"}) as house:
        project = house.project()
        house.admin("reset", {})
        house.publish(predictions(project, 1000))
        house.worker()
        house.await_settled()
        calls = {operation: one["count"] for operation, one in house.calls().items()}
        state = house.judge()
    assert state["priorities"] == {"0": 800, "45": 200}
    assert sum(calls.values()) <= 24, calls


def busiest(moments: list[float], *, seconds: float) -> int:
    """The most moments within so many seconds."""
    return max(sum(1 for other in moments if begin <= other < begin + seconds) for begin in moments)
