"""The demo, step by step: round after round published, delivered, labeled and heard; then counted."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from worker.demo.display import DemoProgress
from worker.demo.environment import DemoEnvironment, LocalKili, interface
from worker.demo.outcome import DemoResult, FeedbackProbe, Staged, outcome_of
from worker.demo.plan import Plan, SimulatedLabelers
from worker.demo.traffic import CHANNELS, Channel, DemoEvidence, Producer, make_traffic
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
"""Calls of the feedback, which may fall into a delivery."""


def policy_text(seed: int) -> str:
    """The review policy, as a file that any worker could use."""
    return POLICY.format(seed=seed, share=REVIEWED_SHARE)


@dataclass(slots=True)
class DemoRun:
    """Plays rounds; ``labeled`` has the external ids that were labeled in each, ``calls`` those of the deliveries."""

    spool: Spool
    publishers: dict[Channel, Publisher]
    kili: LocalKili
    labelers: Labelers
    probe: FeedbackProbe
    progress: DemoProgress
    labeled: list[list[str]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    unread_labels: int = 0

    def play(self, staged: Staged) -> None:
        """Publish, deliver, label and collect everything."""
        total = len(staged.traffic.sent)
        for part, messages in zip(staged.plan.phases, staged.traffic.phases, strict=True):
            self.kili.forget_calls()
            for one in messages:
                self.publishers[one.channel].send(one.message)
            for publisher in self.publishers.values():
                publisher.flush()
            self.sent += len(messages)
            caption = f"round {len(self.labeled) + 1} of {len(staged.plan.phases)}"
            wait_delivered(self.spool, self.sent, self.progress, total=total, caption=caption)
            self.calls += Counter({name: n for name, n in self.kili.calls().items() if name not in READING})
            self._label(round(REVIEWED_SHARE * len(part)))
        self.progress.end()

    def _label(self, count: int) -> None:
        self.labeled.append(self.labelers.label(count).labeled)
        known = sum(map(len, self.labeled))
        self.unread_labels = 0 if self.probe.wait(known, STALLED_SECONDS) else known - self.probe.known()


def play(
    environment: DemoEnvironment, plan: Plan, seed: int, page: Path | None, progress: DemoProgress
) -> tuple[str, DemoResult]:
    """Play everything through and write the report's page; the project's id and the outcome."""
    settings = Settings()
    sandbox = environment.sandbox
    with ExitStack() as stack:
        kili = stack.enter_context(LocalKili(sandbox.endpoint, sandbox.admin_url, sandbox.api_key))
        project = kili.create_project(TITLE)
        producer = Producer(project, environment.files_url, datetime.now(UTC))
        begin = producer.begin(len(plan.phases) - plan.drift_from).timestamp()
        staged = Staged(plan, make_traffic(plan, producer, seed=seed), SimulatedLabelers(plan, seed=seed), begin)
        publishers = {
            channel: stack.enter_context(Publisher(environment.redis_url, via=channel)) for channel in CHANNELS
        }
        hired = Labelers(sandbox.endpoint, sandbox.api_key, project, staged.labelers, count=LABELERS, seed=seed)
        labelers = stack.enter_context(hired)
        probe = stack.enter_context(FeedbackProbe(settings, project, interface()))
        run = DemoRun(spool_of(settings), publishers, kili, labelers, probe, progress)
        run.play(staged)
        report_data = probe.report_data(STALLED_SECONDS)
        if page is not None:
            probe.write_page(report_data, TITLE, page)
        evidence = _evidence(settings, run, kili.assets(project))
        return project, outcome_of(staged, evidence, report_data, probe.links)


def _evidence(settings: Settings, run: DemoRun, assets: list[dict[str, object]]) -> DemoEvidence:
    letters = DeadLetters(run.spool.redis, run.spool.prefix).letters()
    return DemoEvidence(
        assets=assets,
        calls=run.calls,
        ledger=collect(settings)["ledger"],
        letters=[letter.summary() for letter in letters],
        labeled=run.labeled,
        unread_labels=run.unread_labels,
    )


def wait_delivered(
    spool: Spool,
    sent: int,
    progress: DemoProgress,
    *,
    total: int | None = None,
    caption: str = "",
    patience: float = STALLED_SECONDS,
) -> bool:
    """Show the ledger until every message that was sent has its outcome.

    Args:
        spool: of the worker.
        sent: messages up to now.
        progress: where it is shown, as a part of ``total`` messages (by default those sent) with ``caption``.
        total: messages of the whole demo.
        caption: beside the numbers.
        patience: seconds without any movement after which False is returned.
    """
    last, moved = None, time.monotonic()
    while (ledger := spool.ledger()) != last or time.monotonic() - moved < patience:
        if ledger != last:
            last, moved = ledger, time.monotonic()
        done = ledger.delivered + ledger.superseded + ledger.dead
        progress.show("delivering", done, total or sent, caption or _ledger_text(ledger))
        if done >= sent and not ledger.waiting + ledger.leased:
            return True
        time.sleep(LOOK_SECONDS)
    progress.write_line(f"nothing has moved for {patience:g} s")
    return False


def _ledger_text(ledger: Ledger) -> str:
    return f"{ledger.waiting + ledger.leased:,} waiting, {ledger.dead:,} dead"
