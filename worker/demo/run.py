"""The demo, step by step: round after round published, delivered, labeled and heard; then counted."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from worker.demo.assertions import Evidence
from worker.demo.conclusions import Heard
from worker.demo.display import Progress
from worker.demo.environment import LocalKili, Surroundings, interface
from worker.demo.labelers import People
from worker.demo.outcome import Outcome, Staged, outcome_of
from worker.demo.plan import Plan
from worker.demo.traffic import DOORS, Door, Producer, make_traffic
from worker.monitoring.status import collect
from worker.producer import Publisher
from worker.sandbox.labelers import Labelers
from worker.settings.tree import Settings
from worker.spool import Ledger, Spool
from worker.spool.dead_letters import DeadLetters
from worker.wiring import spool_of

TITLE = "Handwritten digits"
REVIEWED_SHARE = 0.25
LABELERS = 3
STALLED_SECONDS = 30.0
LOOK_SECONDS = 0.05
POLICY = """\
version = "demo"
salt = "demo {seed}"

[[rules]]
name = "digits"
capacity = {{ share = {share} }}
audit = {{ rate = 0.12 }}
"""
READING = frozenset({"labels", "countLabels", "assets"})
"""Calls of the feedback room, which may fall into a delivery."""


def policy_text(seed: int) -> str:
    """The review policy, as a file that any worker could use."""
    return POLICY.format(seed=seed, share=REVIEWED_SHARE)


@dataclass(slots=True)
class Rounds:
    """Plays rounds; ``labeled`` has the external ids that were labeled in each, ``calls`` those of the deliveries."""

    spool: Spool
    doors: dict[Door, Publisher]
    kili: LocalKili
    labelers: Labelers
    heard: Heard
    progress: Progress
    labeled: list[list[str]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    unheard: int = 0

    def play(self, staged: Staged) -> None:
        """Publish, deliver, label and hear everything."""
        total = len(staged.traffic.sent)
        for part, messages in zip(staged.plan.rounds, staged.traffic.rounds, strict=True):
            self.kili.forget_calls()
            for one in messages:
                self.doors[one.door].send(one.message)
            for door in self.doors.values():
                door.flush()
            self.sent += len(messages)
            words = f"round {len(self.labeled) + 1} of {len(staged.plan.rounds)}"
            wait_delivered(self.spool, self.sent, self.progress, total=total, words=words)
            self.calls += Counter({name: n for name, n in self.kili.calls().items() if name not in READING})
            self._label(round(REVIEWED_SHARE * len(part)))
        self.progress.end()

    def _label(self, count: int) -> None:
        self.labeled.append(self.labelers.label(count).labeled)
        known = sum(map(len, self.labeled))
        self.unheard = 0 if self.heard.wait(known, STALLED_SECONDS) else known - self.heard.known()


def play(parts: Surroundings, plan: Plan, seed: int, page: Path | None, progress: Progress) -> tuple[str, Outcome]:
    """Play everything through and write the report's page; the project's id and the outcome."""
    settings = Settings()
    sandbox = parts.sandbox
    with ExitStack() as stack:
        kili = stack.enter_context(LocalKili(sandbox.endpoint, sandbox.admin_url, sandbox.api_key))
        project = kili.create_project(TITLE)
        producer = Producer(project, parts.files_url, datetime.now(UTC))
        begin = producer.begin(len(plan.rounds) - plan.drift_from).timestamp()
        staged = Staged(plan, make_traffic(plan, producer, seed=seed), People(plan, seed=seed), begin)
        doors = {door: stack.enter_context(Publisher(parts.redis_url, via=door)) for door in DOORS}
        hired = Labelers(sandbox.endpoint, sandbox.api_key, project, staged.people, people=LABELERS, seed=seed)
        labelers = stack.enter_context(hired)
        heard = stack.enter_context(Heard(settings, project, interface()))
        rounds = Rounds(spool_of(settings), doors, kili, labelers, heard, progress)
        rounds.play(staged)
        figures = heard.figures(STALLED_SECONDS)
        if page is not None:
            heard.write_page(figures, TITLE, page)
        evidence = _evidence(settings, rounds, kili.assets(project))
        return project, outcome_of(staged, evidence, figures, heard.links)


def _evidence(settings: Settings, rounds: Rounds, assets: list[dict[str, object]]) -> Evidence:
    letters = DeadLetters(rounds.spool.redis, rounds.spool.prefix).letters()
    return Evidence(
        assets=assets,
        calls=rounds.calls,
        ledger=collect(settings)["ledger"],
        letters=[letter.summary() for letter in letters],
        labeled=rounds.labeled,
        unheard=rounds.unheard,
    )


def wait_delivered(
    spool: Spool,
    sent: int,
    progress: Progress,
    *,
    total: int | None = None,
    words: str = "",
    patience: float = STALLED_SECONDS,
) -> bool:
    """Show the ledger until every message that was sent has met its fate.

    Args:
        spool: of the worker.
        sent: messages up to now.
        progress: where it is shown, as a part of ``total`` messages (by default those sent) with ``words``.
        total: messages of the whole demo.
        words: beside the numbers.
        patience: seconds without any movement after which False is returned.
    """
    last, moved = None, time.monotonic()
    while (ledger := spool.ledger()) != last or time.monotonic() - moved < patience:
        if ledger != last:
            last, moved = ledger, time.monotonic()
        done = ledger.delivered + ledger.superseded + ledger.dead
        progress.show("delivering", done, total or sent, words or _ledger_words(ledger))
        if done >= sent and not ledger.waiting + ledger.leased:
            return True
        time.sleep(LOOK_SECONDS)
    progress.say(f"nothing has moved for {patience:g} s")
    return False


def _ledger_words(ledger: Ledger) -> str:
    return f"{ledger.waiting + ledger.leased:,} waiting, {ledger.dead:,} dead"
