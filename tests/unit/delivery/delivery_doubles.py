"""A Kili in memory, and what waves are made of."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any

import redis

from worker.contract import ReadingLimits
from worker.delivery import AdaptiveLimit, AwaitedResults, Deliverer, DeliveryRules, FailurePolicy, Graces
from worker.delivery.bisect import DeliveryClients
from worker.kili import (
    AssetUpdate,
    FoundAsset,
    KiliError,
    NewAsset,
    NewLabel,
    Notification,
    ProjectInterface,
    WriteResult,
    derived_asset_id,
)
from worker.projects.configuration import Projects
from worker.projects.results import ResultPlaces, ResultReader
from worker.review import ReviewDecision, ThresholdPolicy
from worker.spool import Arrival, Leased, Spool, Waiting

PROJECT = "project-1"
INTERFACE = {
    "jobs": {
        "COLOUR": {
            "content": {
                "categories": {name: {"children": [], "name": name.title()} for name in ("RED", "BLACK", "GREY")},
                "input": "radio",
            },
            "instruction": "Which colour?",
            "mlTask": "CLASSIFICATION",
            "required": 1,
            "isChild": False,
        }
    }
}

_NUMBERS = itertools.count(1)
Rule = Callable[[str, Sequence[str]], KiliError | None]


@dataclass
class MemoryKili:
    """What the worker uses of Kili; ``rule`` may refuse a call by its operation and the asset ids it is about."""

    interface: dict[str, Any] = field(default_factory=lambda: INTERFACE)
    rule: Rule = lambda operation, ids: None
    input_type: str = "IMAGE"
    lag: set[str] = field(default_factory=set)
    assets: dict[str, NewAsset] = field(default_factory=dict)
    labels: dict[tuple[str, str], str] = field(default_factory=dict)
    priorities: dict[str, int | None] = field(default_factory=dict)
    calls: list[tuple[str, list[str]]] = field(default_factory=list)

    def guarded(self, check: Callable[[], None]) -> MemoryKili:
        check()
        return self

    @property
    def counts(self) -> Counter[str]:
        return Counter(operation for operation, _ in self.calls)

    def project_interface(self, project: str) -> ProjectInterface:
        self._called("project_interface", [])
        return ProjectInterface(project, self.input_type, self.interface, "title")

    def existing_external_ids(self, project: str, names: Sequence[str]) -> set[str]:
        self._called("existing_external_ids", [derived_asset_id(project, name) for name in names])
        return {asset.external_id for asset in self._seen()} & set(names)

    def find_assets(self, project: str, names: Sequence[str]) -> dict[str, list[FoundAsset]]:
        self._called("find_assets", [derived_asset_id(project, name) for name in names])
        found: dict[str, list[FoundAsset]] = {}
        for asset in self._seen():
            if asset.external_id in names:
                found.setdefault(asset.external_id, []).append(self._found(asset))
        return found

    def assets_by_id(self, project: str, ids: Sequence[str]) -> dict[str, FoundAsset]:
        self._called("assets_by_id", ids)
        return {asset.id: self._found(asset) for asset in self._seen() if asset.id in ids}

    def append_assets(self, project: str, assets: Sequence[NewAsset]) -> list[str]:
        self._called("append_assets", [asset.id for asset in assets])
        self.assets |= {asset.id: asset for asset in assets}
        return [asset.id for asset in assets]

    def append_labels(self, project: str, labels: Sequence[NewLabel]) -> None:
        self._called("append_labels", [label.asset_id for label in labels])
        self.labels |= {(label.asset_id, label.model_name): label.json_response for label in labels}

    def update_assets(self, project: str, updates: Sequence[AssetUpdate]) -> None:
        self._called("update_assets", [update.asset_id for update in updates])
        self.priorities |= {update.asset_id: update.priority for update in updates}

    def write_batch(
        self, project: str, *, assets: Sequence[NewAsset], labels: Sequence[NewLabel], updates: Sequence[AssetUpdate]
    ) -> WriteResult:
        self._called("write_batch", [label.asset_id for label in labels])
        return WriteResult(
            self._outcome(self.append_assets, project, assets),
            self._outcome(self.append_labels, project, labels),
            self._outcome(self.update_assets, project, updates),
        )

    def _outcome(self, step: Callable[..., Any], project: str, rows: Sequence[Any]) -> KiliError | None:
        before = len(self.calls)
        try:
            if rows:
                step(project, rows)
        except KiliError as error:
            return error
        finally:
            del self.calls[before:]
        return None

    def _called(self, operation: str, ids: Sequence[str]) -> None:
        self.calls.append((operation, list(ids)))
        error = self.rule(operation, ids)
        if error is not None:
            raise error

    def _seen(self) -> list[NewAsset]:
        return [asset for asset in list(self.assets.values()) if asset.id not in self.lag]

    def _found(self, asset: NewAsset) -> FoundAsset:
        return FoundAsset(asset.id, asset.external_id, json.loads(asset.metadata), 0)


@dataclass
class BucketKili(MemoryKili):
    """A Kili with a bucket and imports in the background; ``answers`` says how the bucket takes content.

    An import is under way until ``finish`` ends it.
    """

    answers: Callable[[str, bytes], KiliError | None] = lambda url, content: None
    bucket: dict[str, bytes] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    imports: dict[str, list[NewAsset]] = field(default_factory=dict)
    told: dict[str, Notification] = field(default_factory=dict)

    def signed_upload_urls(self, project: str, ids: Sequence[str], file: str = "content") -> list[str]:
        self._called("signed_upload_urls", ids)
        return [f"https://bucket/{one}/{file}?signature={next(_NUMBERS)}" for one in ids]

    def upload(self, url: str, data: bytes, kind: str) -> None:
        self.uploads.append(url)
        error = self.answers(url, data)
        if error is not None:
            raise error
        self.bucket[url] = data

    def import_assets(self, project: str, assets: Sequence[NewAsset], upload_type: str) -> str:
        self._called("import_assets", [asset.id for asset in assets])
        name = f"n{len(self.imports)}"
        self.imports[name] = list(assets)
        self.told[name] = Notification("PENDING")
        return name

    def notification(self, project: str, name: str) -> Notification | None:
        self._called("notification", [name])
        return self.told.get(name)

    def finish(self, name: str, *, but: Sequence[str] = (), message: str = "") -> None:
        """End an import; it fails when some external ids are left out."""
        self.assets |= {asset.id: asset for asset in self.imports[name] if asset.external_id not in but}
        self.told[name] = Notification("FAILURE", message) if but else Notification("SUCCESS")


def clients(kili: Any, *, single_attempt: Any = None, probing: bool = False, **graces: float) -> DeliveryClients:
    failures = FailurePolicy(Graces(**{"read_lag": 0.0, **graces}))
    return DeliveryClients(
        kili,
        single_attempt if single_attempt is not None else kili,
        threading.Event(),
        probing=probing,
        failures=failures,
    )


def message(name: str, *, answer: str = "RED", score: float = 0.95, **changes: Any) -> dict[str, Any]:
    found = {
        "project_id": PROJECT,
        "external_id": name,
        "asset": {"url": f"https://example.com/{name}"},
        "model": {"name": "m", "version": "1"},
        "output": {"scores": {answer: score, "BLACK": round(1 - score, 4)}},
        "predicted_at": "2026-11-23T10:15:00Z",
    }
    return {key: value for key, value in {**found, **changes}.items() if value is not None}


def waiting(name: str, *, lane: int = 9, stamp: int = 1, priority: int = 0, **changes: Any) -> Waiting:
    body = message(name, **changes)
    decision = ReviewDecision(lane, priority, "confident", "threshold/0.8", 0.95).to_bytes()
    model = f"{body['model']['name']}:{body['model']['version']}"
    asset_id = derived_asset_id(PROJECT, name)
    return Waiting(PROJECT, lane, asset_id, model, stamp, "aa", json.dumps(body).encode(), decision)


def leased(
    name: str,
    *,
    entry_id: str = "",
    lane: int = 9,
    deliveries: int = 1,
    tries: bytes = b"",
    leased_ms: int = 0,
    **changes: Any,
) -> Leased:
    one = waiting(name, lane=lane, **changes)
    return Leased(
        lane=lane,
        entry_id=entry_id or f"{next(_NUMBERS)}-0",
        deliveries=deliveries,
        asset_id=one.asset_id,
        model=one.model,
        stamp=one.stamp,
        digest=one.digest,
        payload=one.payload,
        decision=one.decision,
        tries=tries,
        leased_ms=leased_ms,
    )


class FreeBudget:
    """A budget in which a call is always free, and turns need not be a moment apart."""

    def peek(self) -> dict[str, float]:
        return {"next_in": 0.0, "limit": float("inf")}


class Bench:
    """A deliverer on a real spool and a Kili in memory."""

    def __init__(
        self,
        client: redis.Redis,
        kili: Any,
        *,
        prober: Any = None,
        late_ms: int = 0,
        lease_ms: int = 5000,
        **rules: Any,
    ) -> None:
        self.spool = Spool(client, prefix="t:", lease_ms=lease_ms, remember_ms=60_000, late_ms=late_ms)
        self.stop = threading.Event()
        self.pool, self.ahead = ThreadPoolExecutor(4), ThreadPoolExecutor(1)
        graces = {one.name: rules.pop(one.name) for one in fields(Graces) if one.name in rules}
        self.deliverer = Deliverer(
            self.spool,
            kili,
            prober if prober is not None else kili,
            budget=FreeBudget(),
            adaptive_limit=AdaptiveLimit(slots=4, batch_bytes=2_000_000),
            pool=self.pool,
            ahead=self.ahead,
            rules=DeliveryRules(
                **{"graces": Graces(**{"read_lag": 0.0, **graces}), "probe": 0.01, "probe_cap": 0.05, **rules}
            ),
            projects=Projects(None),
            awaited=self._awaited(),
            stop=self.stop,
        )

    def _awaited(self) -> AwaitedResults:
        reader = ResultReader(ResultPlaces(), limits=ReadingLimits(10**6, 48))
        return AwaitedResults(
            reader, ThresholdPolicy(0.8), failures=FailurePolicy(Graces(result=1.0)), max_bytes=10**6, stop=self.stop
        )

    def admit(self, *items: Waiting) -> None:
        self.spool.admit([Arrival("", items)])

    def deliver(self) -> bool:
        more = self.deliverer.deliver(PROJECT)
        assert self.spool.ledger().conservation_error == 0
        return more
