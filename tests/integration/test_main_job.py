"""The whole job with a producer that knows nothing of us, counted with Kili's own SDK."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance import kili_sdk
from tests.faults.foreign import Job, create
from tests.faults.house import COUNTED, House, predictions

if TYPE_CHECKING:
    from kili.client import Kili

pytestmark = [pytest.mark.servers("ends"), pytest.mark.usefixtures("named_server")]
BURST, CALLS_PER_MINUTE = 4, 600
UNDER_WAY = 2 * 8
"""Calls that two workers may have sent and that Kili, waiting for its turn on this machine, takes all at once."""


def check(job: Job, house: House, kili: Kili) -> None:
    """Count with the SDK what is in Kili, and look at the worker's books."""
    fields = ["externalId", "priority", "labels.labelType", "labels.modelName", "labels.jsonResponse"]
    assets = kili.assets(project_id=job.project, fields=fields)
    assert Counter(asset["externalId"] for asset in assets) == Counter(list(job.valid))
    wanted = job.wanted()
    for asset in assets:
        (label,) = asset["labels"]
        assert (label["labelType"], label["modelName"]) == ("INFERENCE", "m:1")
        answer = label["jsonResponse"]["COLOUR"]["categories"][0]["name"]
        assert (answer, asset["priority"]) == wanted[asset["externalId"]]
    job.check_books(house)


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[House], Kili]:
    """Kili's SDK for a house; its cache stays out of the real home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return lambda house: kili_sdk.Kili(api_key=house.kili.api_key, api_endpoint=house.kili.endpoint, disable_tqdm=True)


def test_two_workers_deliver_what_a_foreign_process_sends_within_the_call_budget(sdk: Callable[[House], Kili]) -> None:
    settings = {"WORKER_KILI__CALLS_PER_MINUTE": str(CALLS_PER_MINUTE), "WORKER_KILI__BURST": str(BURST)}
    with House(settings, calls_per_minute=CALLS_PER_MINUTE) as house:
        job = Job(house.project(), seed=1)
        house.forget_calls()
        house.worker()
        house.worker()
        job.send(house.redis.url)
        house.await_that(lambda: job.settled(house), "everything has come to its end")
        moments = sorted(datetime.fromisoformat(one["time"]).timestamp() for one in house.admin("calls")["last"])
        assert house.outcomes().keys() == {"ok"}, "nothing was refused for its rate"
        assert busiest(moments, seconds=1.0) <= BURST + CALLS_PER_MINUTE / 60 + UNDER_WAY
        check(job, house, sdk(house))


def test_workers_killed_while_a_foreign_process_sends_change_nothing_about_the_result(
    sdk: Callable[[House], Kili],
) -> None:
    with House() as house:
        job, dice = Job(house.project(), seed=2, distinct=600), random.Random(2)
        sender = threading.Thread(target=job.send, args=(house.redis.url,))
        sender.start()
        house.worker()
        for _ in range(5):
            house.worker()
            time.sleep(dice.uniform(0, 0.2))
            house.workers.pop(0).kill()
        sender.join()
        house.await_that(lambda: job.settled(house), "everything has come to its end")
        check(job, house, sdk(house))


def test_a_thousand_new_predictions_of_which_a_fifth_is_doubtful_take_24_calls() -> None:
    with House(COUNTED) as house:
        project = house.project()
        house.forget_calls()
        house.publish(predictions(project, 1000))
        house.worker()
        house.await_settled()
        calls = {operation: one["count"] for operation, one in house.calls().items()}
        state = house.judge()
    assert state["priorities"] == {"0": 800, "45": 200}
    assert sum(calls.values()) <= 24, calls


@pytest.mark.servers("all")
def test_predictions_for_assets_that_somebody_else_created_are_delivered_without_a_complaint() -> None:
    with House() as house:
        project = house.project()
        create(house, project, [f"a/{number}.jpg" for number in range(300)])
        house.worker()
        house.publish(predictions(project, 300, asset=None))
        house.await_settled()
        assert house.judge()["assets"] == 300


def busiest(moments: list[float], *, seconds: float) -> int:
    """The most moments within so many seconds."""
    return max(sum(1 for other in moments if begin <= other < begin + seconds) for begin in moments)
