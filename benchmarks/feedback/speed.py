"""What collecting and estimating costs per verdict, with Kili and Redis answering from memory."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

import redis

from benchmarks.feedback.goals import Goal, Part
from worker.environment.embedded_redis import EmbeddedRedis
from worker.feedback.collector import Collector
from worker.feedback.reading import LabelKind, LabelRow, ReadAsset, ReadLabel
from worker.feedback.report_data import ReportQuestion, report_data_of
from worker.feedback.store import FeedbackStore
from worker.ontology import Interface

JOB = "DIGIT"
NAMES = [f"CLASS_{number}" for number in range(10)]
INTERFACE = Interface.parse(
    {
        "jobs": {
            JOB: {
                "mlTask": "CLASSIFICATION",
                "content": {"input": "radio", "categories": {name: {"name": name} for name in NAMES}},
            }
        }
    }
)
START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
PAGE = 100


@dataclass(slots=True)
class Labels:
    """A Kili of one label of each kind per asset, spread over 20 days."""

    count: int

    def page(self, kind: LabelKind, since: date, skip: int) -> tuple[list[LabelRow], bool]:
        """One page, oldest first."""
        first = self._first(since) + skip
        places = range(first, min(self.count, first + PAGE))
        found = [LabelRow(f"{kind.value[0]}{place}", self._day(place), self._asset(place)) for place in places]
        return found, len(found) == PAGE

    def count_labels(self, since: date) -> int:
        """How many since a day."""
        return self.count - self._first(since)

    def _first(self, since: date) -> int:
        start = (datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp() - START) / self._step
        return min(self.count, max(0, -int(-start // 1)))

    @property
    def _step(self) -> float:
        return 20 * 86_400 / self.count

    def _day(self, place: int) -> date:
        return datetime.fromtimestamp(START + place * self._step, UTC).date()

    def _asset(self, place: int) -> ReadAsset:
        dice = random.Random(place)
        at = START + place * self._step
        said, doubt = dice.choice(NAMES), dice.random() ** 3
        meant = dice.choice(NAMES) if dice.random() < doubt else said
        audited = dice.random() < 0.05
        metadata = {
            "prediction_model": "m:1",
            "prediction_at": datetime.fromtimestamp(at, UTC).isoformat(),
            "prediction_confidence": 1 - doubt,
            "review_band": 2 if audited else 1,
            "review_error_probability": doubt,
            "review_inclusion_probability": 0.05,
            "site": "north",
        }
        labels = (
            ReadLabel(f"i{place}", "INFERENCE", "m:1", at, "bot", _says(said), None, None, usable=True),
            ReadLabel(
                f"h{place}", "DEFAULT", "", at, "ann", _says(meant), 1.0 if said == meant else 0.5, 3, usable=True
            ),
        )
        return ReadAsset(f"asset-{place:019d}", f"{place}.jpg", self._day(place), "", "", metadata, labels)


@dataclass(frozen=True, slots=True)
class Source:
    """What the collector reads from."""

    labels: Labels

    def rows(self, project: str, kind: LabelKind, since: date, skip: int) -> tuple[list[LabelRow], bool]:  # noqa: ARG002
        """One page of labels."""
        return self.labels.page(kind, since, skip)

    def count(self, project: str, kind: LabelKind, since: date) -> int:  # noqa: ARG002
        """How many labels."""
        return self.labels.count_labels(since)

    def with_files(self, assets: Sequence[ReadAsset]) -> list[ReadAsset]:
        """Nothing is in files."""
        return list(assets)

    def assets(self, project: str, asset_ids: Sequence[str]) -> list[ReadAsset]:  # noqa: ARG002
        """Nothing was deleted."""
        return []


def _says(name: str) -> dict[str, object]:
    return {JOB: {"categories": [{"name": name}]}}


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of CPU per verdict, and bytes of Redis per verdict."""

    collecting: float
    estimating: float
    memory: float

    @property
    def total(self) -> float:
        """Collecting and estimating, in microseconds."""
        return self.collecting + self.estimating


def measure(verdicts: int) -> Cost:
    """Collect so many verdicts through a real Redis, then compute all figures once."""
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        before = client.info("memory")["used_memory"]
        store = FeedbackStore(client, "b:", "P")
        reading = _cpu_of_reading(verdicts)
        begun = time.process_time()
        Collector(Source(Labels(verdicts)), store, INTERFACE, now=lambda: START + 21 * 86_400).collect()
        collecting = time.process_time() - begun - reading
        memory = client.info("memory")["used_memory"] - before
        begun = time.process_time()
        report_data = report_data_of(store.records(), INTERFACE, ReportQuestion(now=START + 21 * 86_400))
        estimating = time.process_time() - begun
    if report_data["reviewers"]["verdicts"] != verdicts:
        raise RuntimeError(f"{report_data['reviewers']['verdicts']} of {verdicts} verdicts were collected")
    json.dumps(report_data)
    return Cost(1e6 * collecting / verdicts, 1e6 * estimating / verdicts, memory / verdicts)


def _cpu_of_reading(verdicts: int) -> float:
    """What the Kili in memory itself costs: both kinds of rows are made once."""
    labels = Labels(verdicts)
    begun = time.process_time()
    for start in range(0, verdicts, PAGE):
        for kind in LabelKind:
            labels.page(kind, date(2026, 1, 1), start)
    return time.process_time() - begun


def part(verdicts: int) -> Part:
    """Measure once."""
    cost = measure(verdicts)
    cells = [f"{verdicts:,}", *(f"{one:.0f} µs" for one in (cost.collecting, cost.estimating, cost.total))]
    head = "| verdicts | collecting | estimating | together | Redis, each |\n|---|---|---|---|---|"
    goals = (
        Goal("µs of processor time per verdict", 200, cost.total),
        Goal("bytes of Redis per verdict", 1000, cost.memory),
    )
    return Part(f"{head}\n| {' | '.join(cells)} | {cost.memory:.0f} B |", {"verdicts": verdicts, **asdict(cost)}, goals)
