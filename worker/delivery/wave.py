"""One wave: check, create, label, prioritise, settle.

Every step may be sent twice: asset ids are derived, labels overwrite, priorities are assignments. So an entry that was
sent and not settled is simply sent again by the next wave.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import TypeVar

from worker.deadletters import Cause
from worker.delivery.assets import LOOK_AGAIN_MS, AssetKeeper
from worker.delivery.batches import batches, grouped
from worker.delivery.bisect import Refusal, send_each
from worker.delivery.content import ContentSource
from worker.delivery.item import Burial, Item
from worker.delivery.lease import Lease
from worker.delivery.prepare import Prepared, prepare
from worker.interfaces import InterfaceCache
from worker.kili import AssetUpdate, KiliClient, KiliError, NewLabel, RefusedItems
from worker.projects import Projects
from worker.spool import Fate, Leased, LeaseLost, Settlement, Spool

logger = logging.getLogger(__name__)

INTERFACE_DOUBT_SECONDS = 15.0
"""Before an item is condemned for not fitting the interface, the interface is read anew unless it is this young."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WaveTools:
    """What every wave of a process works with."""

    kili: KiliClient
    spool: Spool
    interfaces: InterfaceCache
    projects: Projects
    assets: AssetKeeper
    content: ContentSource
    pool: Executor
    stop: threading.Event
    batch_items: int
    batch_bytes: int


@dataclass(slots=True)
class WaveResult:
    """What a wave did: settled entries by fate, and the error that ended it, if any."""

    project: str
    fates: dict[Fate, int] = field(default_factory=dict)
    failure: KiliError | None = None


class Wave:
    """Delivers leased entries of one project under its lease."""

    def __init__(self, tools: WaveTools, lease: Lease) -> None:
        self._tools = tools
        self._lease = lease
        self._project = lease.project
        self._burial = Burial(lease.project)
        self._open: dict[str, Leased] = {}
        self._updates: list[Item] = []
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._judged = False
        self._result = WaveResult(lease.project)

    def run(self, entries: Sequence[Leased]) -> WaveResult:
        """Send what can be sent; everything else is given back or buried.

        Raises:
            LeaseLost: the lock passed to another worker, which delivers what is not settled.
            redis.RedisError: what is not settled waits for the lock to end.
        """
        self._open = {entry.entry_id: entry for entry in entries}
        try:
            self._deliver(entries)
        except KiliError as error:
            self._result.failure = error
        self._settle([Settlement(entry, Fate.RETURNED) for entry in self._open.values()])
        return self._result

    def _deliver(self, entries: Sequence[Leased]) -> None:
        prepared = self._prepared(entries)
        self._settle([*prepared.settled, *prepared.unfit])
        self._lease.check()
        located = self._tools.assets.locate(self._project, prepared.items)
        self._settle([Settlement(item.entry, Fate.LATER, delay_ms=LOOK_AGAIN_MS) for item in located.later])
        self._settle([self._bury(item, cause, "check") for item, cause in located.missing])
        self._send(located.ready)

    def _prepared(self, entries: Sequence[Leased]) -> Prepared:
        config = self._tools.projects.of(self._project)
        prepared = prepare(self._project, entries, self._tools.interfaces.get(self._project), config)
        if prepared.unfit and self._tools.interfaces.renew(self._project, older_than=INTERFACE_DOUBT_SECONDS):
            unfit = [one.entry for one in prepared.unfit]
            again = prepare(self._project, unfit, self._tools.interfaces.get(self._project), config)
            prepared.items = sorted([*prepared.items, *again.items], key=lambda item: item.entry.lane)
            prepared.unfit = again.unfit
        return prepared

    def _send(self, items: Sequence[Item]) -> None:
        new = self._batched([item for item in items if not item.exists])
        known = self._batched([item for item in items if item.exists])
        self._in_parallel([*((self._create_and_label, batch) for batch in new), *((self._label, b) for b in known)])
        self._update(at_least=1)

    def _batched(self, items: Sequence[Item]) -> list[list[Item]]:
        groups = grouped(items, key=lambda item: item.asset_id)
        for group in groups:
            newest = max(group, key=lambda item: item.entry.stamp)
            for item in group:
                item.leads = item is newest
        count, max_bytes = self._tools.batch_items, self._tools.batch_bytes
        return list(batches(groups, count=count, max_bytes=max_bytes, size=lambda item: item.size))

    def _in_parallel(self, work: Iterable[tuple[Callable[[list[Item]], None], list[Item]]]) -> None:
        futures: list[Future[None]] = [self._tools.pool.submit(self._guarded, step, batch) for step, batch in work]
        failures = [failure for future in futures if (failure := future.exception()) is not None]
        unexpected = [failure for failure in failures if not isinstance(failure, KiliError)]
        for failure in [*unexpected, *failures]:
            raise failure

    def _guarded(self, step: Callable[[list[Item]], None], batch: list[Item]) -> None:
        if self._over.is_set() or self._tools.stop.is_set():
            return
        try:
            step(batch)
        except BaseException:
            self._over.set()
            raise

    def _create_and_label(self, batch: list[Item]) -> None:
        self._lease.check()
        leaders = [item for item in batch if item.leads]
        pairs, unreadable = self._tools.content.assets_for(self._project, leaders)
        dropped = {one.item.asset_id: one.cause for one in unreadable}
        if pairs:
            sent = self._tools.assets.create(self._project, pairs)
            dropped |= {item.asset_id: self._cause(refusal) for (item, _), refusal in self._judge(sent.refused)}
        self._settle([self._bury(i, dropped[i.asset_id], "create") for i in batch if i.asset_id in dropped])
        self._label([item for item in batch if item.asset_id not in dropped])

    def _label(self, batch: list[Item]) -> None:
        sent = send_each(batch, self._send_labels)
        refused = [(item, self._cause(refusal)) for item, refusal in self._judge(sent.refused)]
        self._settle([self._bury(item, cause, "label") for item, cause in refused])
        self._settle([Settlement(item.entry, Fate.DELIVERED) for item in sent.accepted if not item.needs_update])
        with self._guard:
            self._updates += [item for item in sent.accepted if item.needs_update]
        self._update(at_least=self._tools.batch_items)

    def _send_labels(self, part: Sequence[Item]) -> None:
        self._lease.check()
        labels = [NewLabel(item.asset_id, item.json_response, item.entry.model) for item in part]
        self._tools.kili.append_labels(self._project, labels)

    def _update(self, *, at_least: int) -> None:
        while not self._over.is_set():
            with self._guard:
                if len(self._updates) < at_least:
                    return
                batch, self._updates = (
                    self._updates[: self._tools.batch_items],
                    self._updates[self._tools.batch_items :],
                )
            sent = send_each(batch, self._send_updates)
            refused = [(item, self._cause(refusal)) for item, refusal in self._judge(sent.refused)]
            self._settle([self._bury(item, cause, "prioritise") for item, cause in refused])
            self._settle([Settlement(item.entry, Fate.DELIVERED) for item in sent.accepted])

    def _send_updates(self, part: Sequence[Item]) -> None:
        self._lease.check()
        updates = [
            AssetUpdate(
                item.asset_id,
                priority=item.decision.priority,
                metadata=json.dumps(item.metadata(), ensure_ascii=False) if item.found_metadata is not None else None,
            )
            for item in part
        ]
        self._tools.kili.update_assets(self._project, updates)

    def _judge(self, refused: list[tuple[T, Refusal]]) -> list[tuple[T, Refusal]]:
        """Before the first refused item is condemned, ask whether it is the project that cannot be reached."""
        if any(isinstance(refusal, RefusedItems) and refusal.access for _, refusal in refused) and not self._judged:
            self._tools.kili.project_interface(self._project)
            self._judged = True
        if any(refusal.code == "jsonResponseMalformed" for _, refusal in refused):
            self._tools.interfaces.refresh(self._project)
        return refused

    def _cause(self, refusal: Refusal) -> Cause:
        slug = refusal.code or "refused_by_kili"
        return Cause(
            slug, "refused", refusal.operation or "", str(refusal), "mend what Kili names and replay", refusal.words
        )

    def _bury(self, item: Item, cause: Cause, stage: str) -> Settlement:
        return self._burial.of(item.entry, item.prediction, cause, stage)

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        if not settlements:
            return
        self._tools.spool.settle(self._project, self._lease.token, settlements)
        with self._guard:
            for one in settlements:
                self._open.pop(one.entry.entry_id, None)
                self._result.fates[one.fate] = self._result.fates.get(one.fate, 0) + 1


__all__ = ["LeaseLost", "Wave", "WaveResult", "WaveTools"]
