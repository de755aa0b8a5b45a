"""One wave: check, create, label, prioritise, settle.

Every step may be sent twice: asset ids are derived, labels overwrite, priorities are assignments. So an entry that was
sent and not settled is simply sent again by the next wave.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from worker.deadletters import Cause
from worker.delivery.assets import LOOK_AGAIN_MS, AssetKeeper
from worker.delivery.awaited import AwaitedResults
from worker.delivery.batches import batches, grouped
from worker.delivery.bisect import Sent, send_each
from worker.delivery.callers import Callers
from worker.delivery.content import ContentSource
from worker.delivery.item import Burial, Item
from worker.delivery.lease import Lease
from worker.delivery.pace import Pace
from worker.delivery.prepare import Prepared, cause_of, prepare, refit
from worker.interfaces import InterfaceCache
from worker.kili import AssetUpdate, KiliClient, KiliError, NewAsset, NewLabel, RefusedItems, TimedOut, TooLarge
from worker.projects import Projects
from worker.review import ReviewDecision
from worker.spool import Fate, Leased, LeaseLost, Settlement, Spool

logger = logging.getLogger(__name__)

INTERFACE_DOUBT_SECONDS = 15.0
"""Before an item is condemned for not fitting the interface, the interface is read anew unless it is this young.

For one that was replayed it is read anew in any case: it comes back because the interface was mended.
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WaveTools:
    """What every wave of a process works with."""

    callers: Callers
    spool: Spool
    interfaces: InterfaceCache
    projects: Projects
    awaited: AwaitedResults
    assets: AssetKeeper
    content: ContentSource
    pool: Executor
    pace: Pace
    batch_items: int


@dataclass(slots=True)
class WaveResult:
    """What a wave did: settled entries by fate, whether Kili answered, and the error that ended it, if any."""

    project: str
    fates: dict[Fate, int] = field(default_factory=dict)
    answered: bool = False
    failure: KiliError | None = None


class Wave:
    """Delivers leased entries of one project under its lease."""

    def __init__(self, tools: WaveTools, lease: Lease) -> None:
        self._tools = tools
        self._lease = lease
        self._project = lease.project
        self._burial = Burial(lease.project)
        self._begun = time.time()
        self._open: dict[tuple[int, str], Leased] = {}
        self._updates: list[Item] = []
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._access_checked = False
        self._result = WaveResult(lease.project)

    def run(self, entries: Sequence[Leased]) -> WaveResult:
        """Send what can be sent; everything else is given back or buried.

        Raises:
            LeaseLost: the lock passed to another worker, which delivers what is not settled.
            redis.RedisError: what is not settled waits for the lock to end.
        """
        self._open = {(entry.lane, entry.entry_id): entry for entry in entries}
        try:
            self._deliver(entries)
        except KiliError as error:
            self._result.failure = error
        self._settle([Settlement(entry, Fate.RETURNED) for entry in self._open.values()])
        return self._result

    def _deliver(self, entries: Sequence[Leased]) -> None:
        prepared = self._prepared(self._completed(entries))
        self._settle([*prepared.settled, *prepared.unfit])
        self._lease.check()
        if not prepared.items:
            return
        located = self._tools.assets.locate(self._project, prepared.items)
        self._result.answered = True
        self._settle([Settlement(item.entry, Fate.LATER, delay_ms=LOOK_AGAIN_MS) for item in located.later])
        self._settle([self._bury(item, cause, "check") for item, cause in located.missing])
        self._settle([self._bury(item, cause_of(problem), "check") for item, problem in located.refused])
        self._send(located.ready)

    def _completed(self, entries: Sequence[Leased]) -> Sequence[Leased]:
        completed = self._tools.awaited.complete(self._project, entries, self._tools.projects.of(self._project))
        self._settle(completed.settled)
        return completed.entries

    def _prepared(self, entries: Sequence[Leased]) -> Prepared:
        config = self._tools.projects.of(self._project)
        prepared = prepare(self._project, entries, self._tools.interfaces.get(self._project), config)
        unfit = [one.entry for one in prepared.unfit]
        young = 0.0 if any(ReviewDecision.history_in(entry.decision) for entry in unfit) else INTERFACE_DOUBT_SECONDS
        if unfit and self._tools.interfaces.renew(self._project, since=self._begun - young):
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
        count, max_bytes = self._tools.batch_items, self._tools.pace.batch_bytes
        return list(batches(groups, count=count, max_bytes=max_bytes, size=lambda item: item.size))

    def _in_parallel(self, work: Iterable[tuple[Callable[[list[Item]], None], list[Item]]]) -> None:
        futures: list[Future[None]] = [self._tools.pool.submit(self._guarded, step, batch) for step, batch in work]
        failures = [failure for future in futures if (failure := future.exception()) is not None]
        unexpected = [failure for failure in failures if not isinstance(failure, KiliError)]
        for failure in [*unexpected, *failures]:
            raise failure

    def _guarded(self, step: Callable[[list[Item]], None], batch: list[Item]) -> None:
        with self._tools.pace.slot(self._is_over) as free:
            if not free or self._is_over():
                return
            try:
                step(batch)
            except BaseException:
                self._over.set()
                raise

    def _is_over(self) -> bool:
        return self._over.is_set() or self._tools.callers.stop.is_set()

    def _create_and_label(self, batch: list[Item]) -> None:
        self._lease.check()
        leaders = [item for item in batch if item.leads]
        pairs, unreadable = self._tools.content.assets_for(self._project, leaders)
        dropped = {one.item.asset_id: one.cause for one in unreadable}
        sent = self._create(pairs)
        dropped |= {item.asset_id: cause_of(refusal) for (item, _), refusal in sent.refused}
        self._settle([self._bury(i, dropped[i.asset_id], "create") for i in batch if i.asset_id in dropped])
        sent.check()
        self._label([item for item in batch if item.asset_id not in dropped])

    def _create(self, pairs: Sequence[tuple[Item, NewAsset]]) -> Sent[tuple[Item, NewAsset]]:
        def fits(part: Sequence[tuple[Item, NewAsset]]) -> bool:
            return self._fits([item for item, _ in part])

        def send(part: Sequence[tuple[Item, NewAsset]], kili: KiliClient) -> None:
            with self._call([item for item, _ in part]):
                kili.append_assets(self._project, [asset for _, asset in part])

        return self._tools.assets.create(self._project, pairs, send, fits)

    def _label(self, batch: list[Item]) -> None:
        sent = send_each(batch, self._send_labels, self._tools.callers, sift=self._sift, fits=self._fits)
        self._settle([self._bury(item, cause_of(problem), "label") for item, problem in sent.refused])
        self._settle([Settlement(item.entry, Fate.DELIVERED) for item in sent.accepted if not item.needs_update])
        with self._guard:
            self._updates += [item for item in sent.accepted if item.needs_update]
        sent.check()
        self._update(at_least=self._tools.batch_items)

    def _send_labels(self, part: Sequence[Item], kili: KiliClient) -> None:
        labels = [NewLabel(item.asset_id, item.json_response, item.entry.model) for item in part]
        with self._call(part):
            kili.append_labels(self._project, labels)

    def _update(self, *, at_least: int) -> None:
        while not self._over.is_set():
            with self._guard:
                if len(self._updates) < at_least:
                    return
                batch, self._updates = (
                    self._updates[: self._tools.batch_items],
                    self._updates[self._tools.batch_items :],
                )
            sent = send_each(batch, self._send_updates, self._tools.callers, sift=self._sift, fits=self._fits)
            self._settle([self._bury(item, cause_of(problem), "prioritise") for item, problem in sent.refused])
            self._settle([Settlement(item.entry, Fate.DELIVERED) for item in sent.accepted])
            sent.check()

    def _send_updates(self, part: Sequence[Item], kili: KiliClient) -> None:
        updates = [
            AssetUpdate(
                item.asset_id,
                priority=item.decision.priority,
                metadata=json.dumps(item.metadata(), ensure_ascii=False) if item.found_metadata is not None else None,
            )
            for item in part
        ]
        with self._call(part):
            kili.update_assets(self._project, updates)

    @contextmanager
    def _call(self, part: Sequence[Item]) -> Iterator[None]:
        """Make sure that the items are still ours, and tell the pace how a request of this size went."""
        self._lease.check()
        size = _bytes_of(part)
        try:
            yield
        except (TooLarge, TimedOut) as error:
            self._tools.pace.too_much(size, error)
            raise
        self._tools.pace.went_through(size)

    def _fits(self, part: Sequence[Item]) -> bool:
        return _bytes_of(part) <= self._tools.pace.batch_bytes

    def _sift(self, part: Sequence[Item], error: KiliError) -> Mapping[int, Exception | None] | None:
        """Before a refused part is split: is it the project, or has its interface changed?"""
        if isinstance(error, RefusedItems) and error.access and not self._access_checked:
            self._tools.callers.first.project_interface(self._project)
            self._access_checked = True
        if error.code != "jsonResponseMalformed":
            return None
        self._tools.interfaces.renew(self._project, since=self._begun)
        config = self._tools.projects.of(self._project)
        return refit(part, self._tools.interfaces.get(self._project), config)

    def _bury(self, item: Item, cause: Cause, stage: str) -> Settlement:
        return self._burial.of(item.entry, item.prediction, cause, stage)

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        if not settlements:
            return
        self._tools.spool.settle(self._project, self._lease.token, settlements)
        with self._guard:
            for one in settlements:
                self._open.pop((one.entry.lane, one.entry.entry_id), None)
                self._result.fates[one.fate] = self._result.fates.get(one.fate, 0) + 1


def _bytes_of(part: Sequence[Item]) -> int:
    return sum(item.size for item in part)


__all__ = ["LeaseLost", "Wave", "WaveResult", "WaveTools"]
