"""The demo, step by step: publish, deliver, review, count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from worker.deadletters import DeadLetters
from worker.demo.digits import CLASS_NAMES, Digits
from worker.demo.local_kili import LocalKili
from worker.demo.outcome import Evidence, Outcome, outcome_of
from worker.demo.progress import Progress
from worker.demo.surroundings import Surroundings
from worker.demo.traffic import DOORS, JOB, ModelRun, Producer, Traffic, make_traffic
from worker.producer import Publisher
from worker.runtime import spool_of
from worker.sandbox.labelers import JsonResponse, Labelers
from worker.settings import Settings
from worker.spool import Ledger, Spool
from worker.status import collect

REVIEWED_SHARE = 0.1
AT_A_TIME = 20
PEOPLE = 2
STALLED_SECONDS = 30.0
LOOK_SECONDS = 0.05


def model_runs(predictions: int) -> list[ModelRun]:
    """The model versions of the demo, on the first ``predictions`` images."""
    return [ModelRun("digit-network", "1", "network", range(predictions))]


def play(parts: Surroundings, digits: Digits, runs: Sequence[ModelRun], progress: Progress) -> tuple[str, Outcome]:
    """Play everything through; the project's id and the outcome."""
    with LocalKili(parts.sandbox.endpoint, parts.sandbox.admin_url, parts.sandbox.api_key) as kili:
        project = kili.create_project("Handwritten digits")
        kili.forget_calls()
        traffic = make_traffic(digits, runs, Producer(project, parts.files_url, datetime.now(UTC)))
        settings = Settings()
        publish(traffic, parts.redis_url)
        wait_delivered(spool_of(settings), len(traffic.sent), progress)
        calls = kili.calls()
        labeled = review(parts, project, traffic, progress)
        spool = spool_of(settings)
        letters = DeadLetters(spool.redis, spool.prefix).letters()
        evidence = Evidence(
            assets=kili.assets(project),
            calls=calls,
            ledger=collect(settings)["ledger"],
            letters=[letter.summary() for letter in letters],
            labeled=labeled,
        )
    return project, outcome_of(traffic, evidence)


def publish(traffic: Traffic, redis_url: str) -> None:
    """Send every message through its door."""
    with ExitStack() as stack:
        doors = {door: stack.enter_context(Publisher(redis_url, via=door)) for door in DOORS}
        for one in traffic.sent:
            doors[one.door].send(one.message)


def wait_delivered(spool: Spool, total: int, progress: Progress, *, patience: float = STALLED_SECONDS) -> bool:
    """Show the ledger until every message has met its fate; False when nothing moves for ``patience`` seconds."""
    last, moved = None, time.monotonic()
    while (ledger := spool.ledger()) != last or time.monotonic() - moved < patience:
        if ledger != last:
            last, moved = ledger, time.monotonic()
        done = ledger.delivered + ledger.superseded + ledger.dead
        progress.show("delivering", done, total, _ledger_words(ledger))
        if done >= total and not ledger.waiting + ledger.leased:
            progress.end()
            return True
        time.sleep(LOOK_SECONDS)
    progress.say(f"nothing has moved for {patience:g} s")
    return False


def _ledger_words(ledger: Ledger) -> str:
    return f"{ledger.waiting + ledger.leased:,} waiting, {ledger.dead:,} dead"


def review(parts: Surroundings, project: str, traffic: Traffic, progress: Progress) -> list[str]:
    """Let people label the truth on the first tenth of Kili's queue; external ids in the order they took them."""
    total = max(1, round(REVIEWED_SHARE * len(traffic.truth)))
    labeled: list[str] = []

    def truth(external_id: str) -> JsonResponse | None:
        name = traffic.truth.get(external_id)
        return {JOB: {"categories": [{"name": name}]}} if name in CLASS_NAMES else None

    sandbox = parts.sandbox
    with Labelers(sandbox.endpoint, sandbox.api_key, project, truth, people=PEOPLE) as labelers:
        while len(labeled) < total and (found := labelers.label(min(AT_A_TIME, total - len(labeled)))).labeled:
            labeled += found.labeled
            progress.show("labeling", len(labeled), total)
    progress.end()
    return labeled
