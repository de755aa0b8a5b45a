"""What is done with a batch: create its assets, label them, set priorities; apart, or together in one document.

Every step may be sent twice: asset ids are derived, labels overwrite, priorities are assignments. So what a document
did not bring through is simply sent again, step by step.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from worker.delivery.bisect import Sent, send_each
from worker.delivery.content import FIRST_DELAY, UPLOAD_TYPES
from worker.delivery.failures import NOT_IMPORTED, Action, Failure, Stage, Trouble
from worker.delivery.item import DeadLetterWriter, Item, newest_of
from worker.delivery.leasing import Lease, WaveTools
from worker.delivery.prepare import cause_of, refit
from worker.delivery.uploads import PutOff
from worker.environment import clock
from worker.kili import (
    AssetUpdate,
    KiliClient,
    KiliError,
    NewAsset,
    NewLabel,
    RefusedItems,
    TimedOut,
    TooLarge,
    UploadType,
    WorkerFault,
    WriteResult,
)
from worker.spool import Leased, Outcome, Settlement
from worker.spool.dead_letters import Cause

logger = logging.getLogger(__name__)

NewItem = tuple[Item, NewAsset]
Settle = Callable[[Sequence[Settlement]], None]


@dataclass(frozen=True, slots=True)
class Together:
    """What one document brought through; ``rejection`` when the server did not take it at all."""

    assets: bool = False
    labels: bool = False
    rejection: KiliError | None = None


APART = Together()

UPDATE_SECONDS = 2.0
"""So long a priority waits for others to be set with it."""


class Steps:
    """The steps of one wave's batches; threads share it.

    Args:
        tools: of the process.
        lease: checked before every call.
        letter_writer: makes dead letters.
        settle: records outcomes.
        is_over: whether the wave has failed elsewhere.
    """

    def __init__(
        self,
        tools: WaveTools,
        lease: Lease,
        letter_writer: DeadLetterWriter,
        *,
        settle: Settle,
        is_over: Callable[[], bool],
    ) -> None:
        self._tools = tools
        self._failures = tools.clients.failures
        self._lease = lease
        self._project = lease.project
        self._letter_writer = letter_writer
        self._settle = settle
        self._begun = clock.now()
        self._is_over = is_over
        self._updates: dict[str, list[Item]] = {}
        self._updating: set[str] = set()
        self._updates_since = 0.0
        self._guard = threading.Lock()
        self._access_checked = False
        self.suspects: dict[tuple[int, str], Item] = {}
        self.late: dict[tuple[int, str], Leased] = {}

    def begin(self) -> None:
        """Entries were leased anew: what was found out about the project before is no longer news."""
        self._begun = clock.now()
        self._access_checked = False

    def deliver(self, batch: list[Item]) -> None:
        """Bring a batch to Kili. Raises KiliError when the server fails; what is not settled then is still open."""
        self._lease.check()
        new, batch = self._with_content(batch)
        done = self._together(batch, new)
        there = self._without_carriers(batch if done.assets else self._create(new, batch))
        labelled = self._label(there, done)
        self._prioritise(labelled)
        if done.rejection and len(labelled) == len(_newest(batch)) and not isinstance(done.rejection, TooLarge):
            self._tools.documents.refused(done.rejection)

    def update(self, *, at_least: int) -> None:
        """Set the properties that are still to be set, once so many have come together or one has waited long."""
        while not self._is_over():
            batch = self._updates_due(at_least)
            if not batch:
                return
            try:
                with self._tools.tracer.batch(self._project, _entries(batch), "update"):
                    self._update(batch)
            finally:
                with self._guard:
                    self._updating -= batch.keys()

    def _updates_due(self, at_least: int) -> dict[str, list[Item]]:
        """Items by asset; not those of an asset that is being updated, since the newest must come last."""
        with self._guard:
            free = [asset_id for asset_id in self._updates if asset_id not in self._updating]
            waited = clock.monotonic() - self._updates_since
            if len(free) < at_least and waited < UPDATE_SECONDS:
                return {}
            batch = {asset_id: self._updates.pop(asset_id) for asset_id in free[: self._tools.batch_items]}
            self._updating |= batch.keys()
            return batch

    def _update(self, batch: Mapping[str, list[Item]]) -> None:
        newest = [max(items, key=lambda item: item.entry.rank) for items in batch.values()]
        sent = send_each(newest, self._send_updates, self._tools.clients, sift=self._sift, fits=self._fits)
        self._dead_letter("prioritise", sent)
        settled_ids = {item.asset_id for item in sent.accepted} | {item.asset_id for item, _ in sent.refused}
        refused = {id(item) for item, _ in sent.refused}
        labelled = [item for asset_id in settled_ids for item in batch[asset_id] if id(item) not in refused]
        self._settle([Settlement(item.entry, Outcome.DELIVERED) for item in labelled])
        sent.check()

    def _with_content(self, batch: list[Item]) -> tuple[list[NewItem], list[Item]]:
        """The assets to create, and the items to go on with; the others are dead-lettered or put off."""
        leaders = [item for item in batch if item.leads and not item.exists]
        if not leaders:
            return [], batch
        input_type = self._tools.interfaces.get(self._project).input_type
        found = self._tools.content.contents_of(self._project, leaders, input_type)
        batch = self._drop(batch, {item.asset_id: cause for item, cause in found.dead})
        batch = self._put_off(batch, {item.asset_id: wait for item, wait in found.later})
        return found.ready, self._import(found.background, batch, input_type)

    def _import(self, pairs: Sequence[NewItem], batch: list[Item], input_type: str) -> list[Item]:
        """Have assets imported in the background; the items that need not wait for it."""
        alone = self._tools.imports.suspects([asset.id for _, asset in pairs])
        together = [pair for pair in pairs if pair[1].id not in alone]
        for part in [together, *([pair] for pair in pairs if pair[1].id in alone)]:
            if part:
                batch = self._import_part(part, batch, input_type)
        return batch

    def _import_part(self, part: Sequence[NewItem], batch: list[Item], input_type: str) -> list[Item]:
        def send(pairs: Sequence[NewItem], kili: KiliClient) -> None:
            self._send_import(pairs, kili, UPLOAD_TYPES[input_type])

        sent, _ = self._tools.assets.send(self._project, part, send, self._fits_new)
        batch = self._drop(batch, {item.asset_id: cause_of(rejection) for (item, _), rejection in sent.refused})
        batch = self._put_off(batch, {item.asset_id: PutOff(FIRST_DELAY, NOT_IMPORTED) for item, _ in sent.accepted})
        sent.check()
        return batch

    def _send_import(self, part: Sequence[NewItem], kili: KiliClient, upload_type: UploadType) -> None:
        ids = [asset.id for _, asset in part]
        with self._call([item for item, _ in part], kili) as ours:
            self._tools.imports.begin(ids)
            try:
                notification = ours.import_assets(self._project, [asset for _, asset in part], upload_type)
            except KiliError as error:
                if not error.maybe_applied:
                    self._tools.imports.forget(ids)
                raise
        self._tools.imports.sent(ids, notification)

    def _drop(self, batch: list[Item], dead: Mapping[str, Cause]) -> list[Item]:
        """Dead-letter the items of some assets; the others."""
        self._settle([self._uncreated(item, dead[item.asset_id]) for item in batch if item.asset_id in dead])
        return [item for item in batch if item.asset_id not in dead]

    def _put_off(self, batch: list[Item], later: Mapping[str, PutOff]) -> list[Item]:
        """Put the items of some assets off; the others."""
        self._settle(
            [
                Settlement(item.entry, Outcome.LATER, wait.cause, delay_ms=max(1, int(wait.seconds * 1000)))
                for item in batch
                if (wait := later.get(item.asset_id)) is not None
            ]
        )
        return [item for item in batch if item.asset_id not in later]

    def _together(self, batch: list[Item], new: Sequence[NewItem]) -> Together:
        """Send all steps in one document, where that is wanted and saves a call."""
        updates = [item for item in batch if item.needs_update]
        if not batch or not (new or updates) or not self._tools.documents.are_taken or not self._fits(batch):
            return APART
        try:
            with self._call(batch, self._tools.clients.first) as kili:
                written = kili.write_batch(
                    self._project,
                    assets=[asset for _, asset in new],
                    labels=_labels(_newest(batch)),
                    updates=[_update(item) for item in updates],
                )
        except KiliError as error:
            if self._failures.decide(Failure(Stage.DOCUMENT, error)).action is Action.APART:
                return Together(rejection=error)
            raise
        return self._went_through(written, new, updates)

    def _went_through(self, written: WriteResult, new: Sequence[NewItem], updates: Sequence[Item]) -> Together:
        if written.assets is None:
            self._tools.assets.created([item for item, _ in new])
        if written.updates is None:
            self._tools.assets.updated([item for item in updates if item.exists])
            for item in updates:
                item.given_priority = item.decision.priority
        return Together(written.assets is None, written.labels is None)

    def _create(self, new: Sequence[NewItem], batch: list[Item]) -> list[Item]:
        """The items whose assets are there."""
        if not new:
            return batch
        sent = self._tools.assets.create(self._project, new, self._send_assets, self._fits_new)
        batch = self._drop(batch, {item.asset_id: cause_of(rejection) for (item, _), rejection in sent.refused})
        sent.check()
        return batch

    def _uncreated(self, item: Item, cause: Cause) -> Settlement:
        """Who sent the content is at fault; who sent none waits for the asset as if nobody had."""
        if item.prediction.asset is None:
            decision = self._failures.decide(Failure(Stage.ASSET, Trouble.MISSING))
            return Settlement(item.entry, Outcome.LATER, decision.cause, delay_ms=decision.delay_ms)
        return self._letter(item, cause, "create")

    def _without_carriers(self, batch: list[Item]) -> list[Item]:
        """Older predictions that have brought their asset are superseded now that it is there; the others."""
        newest = _newest(batch)
        kept = {id(item) for item in newest}
        self._settle([Settlement(item.entry, Outcome.SUPERSEDED) for item in batch if id(item) not in kept])
        return newest

    def _label(self, batch: list[Item], done: Together) -> list[Item]:
        """The items whose labels are there; those that need no priority are settled."""
        if done.labels:
            sent = Sent(accepted=batch)
        else:
            sent = send_each(batch, self._send_labels, self._tools.clients, sift=self._sift, fits=self._fits)
        self._dead_letter("label", sent)
        finished = [item for item in sent.accepted if not item.needs_update]
        self._settle([Settlement(item.entry, Outcome.DELIVERED) for item in finished])
        sent.check()
        return sent.accepted

    def _prioritise(self, labelled: Sequence[Item]) -> None:
        with self._guard:
            self._updates_since = self._updates_since if self._updates else clock.monotonic()
            for item in labelled:
                if item.needs_update:
                    self._updates.setdefault(item.asset_id, []).append(item)
        self.update(at_least=self._tools.batch_items)

    def _send_assets(self, part: Sequence[NewItem], kili: KiliClient) -> None:
        with self._call([item for item, _ in part], kili) as ours:
            ours.append_assets(self._project, [asset for _, asset in part])

    def _send_labels(self, part: Sequence[Item], kili: KiliClient) -> None:
        with self._call(part, kili) as ours:
            ours.append_labels(self._project, _labels(part))

    def _send_updates(self, part: Sequence[Item], kili: KiliClient) -> None:
        with self._call(part, kili) as ours:
            ours.update_assets(self._project, [_update(item) for item in part])
        self._tools.assets.updated(part)

    @contextmanager
    def _call(self, part: Sequence[Item], kili: KiliClient) -> Iterator[KiliClient]:
        """A client that makes sure before every attempt that the items are still ours; how the request went is noted.

        Items that were no longer ours when it ended may have come to Kili late.

        What our own code raises meanwhile is judged as a fault of the server's: whether it is some item's is found out.
        """
        self._lease.check()
        size = _bytes_of(part)
        try:
            with self._own_faults():
                yield kili.guarded(self._lease.check)
        except KiliError as error:
            if isinstance(error, TooLarge | TimedOut):
                self._tools.adaptive_limit.too_much(size, error)
            if self._failures.may_be_items(error):
                self.suspects |= {item.entry.key: item for item in part}
            raise
        finally:
            if self._lease.has_ended:
                self.late |= {item.entry.key: item.entry for item in part}
        self._tools.adaptive_limit.went_through(size)

    @contextmanager
    def _own_faults(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self._failures.decide(Failure(Stage.BATCH, error)).action is Action.END_WAVE:
                raise
            logger.exception("a call cannot be made", extra={"action": "call_failed"})
            raise WorkerFault(f"{type(error).__name__}: {error}") from error

    def _fits(self, part: Sequence[Item]) -> bool:
        return _bytes_of(part) <= self._tools.adaptive_limit.batch_bytes

    def _fits_new(self, part: Sequence[NewItem]) -> bool:
        return self._fits([item for item, _ in part])

    def _sift(self, part: Sequence[Item], error: KiliError) -> Mapping[int, Exception | None] | None:
        """Before a refused part is split: is it the project, or has its interface changed?"""
        if isinstance(error, RefusedItems) and error.access and not self._access_checked:
            self._tools.clients.first.project_interface(self._project)
            self._access_checked = True
        if error.code != "jsonResponseMalformed":
            return None
        self._tools.interfaces.renew(self._project, since=self._begun)
        config = self._tools.projects.of(self._project)
        return refit(part, self._tools.interfaces.get(self._project), config)

    def _dead_letter(self, stage: str, sent: Sent[Item]) -> None:
        self._settle([self._letter(item, cause_of(problem), stage) for item, problem in sent.refused])

    def _letter(self, item: Item, cause: Cause, stage: str) -> Settlement:
        return self._letter_writer.of(item.entry, item.prediction, cause, stage)


def _newest(batch: Sequence[Item]) -> list[Item]:
    """The items that are labelled: of an asset and model version the newest, in their order."""
    newest = newest_of(batch)
    return [item for item in batch if newest[item.answer] is item]


def _labels(part: Sequence[Item]) -> list[NewLabel]:
    return [NewLabel(item.asset_id, item.json_response, item.entry.model) for item in part]


def _entries(batch: Mapping[str, list[Item]]) -> Iterator[Leased]:
    return (item.entry for items in batch.values() for item in items)


def _update(item: Item) -> AssetUpdate:
    metadata = item.metadata_text() if item.has_new_metadata else None
    return AssetUpdate(item.asset_id, priority=item.decision.priority, metadata=metadata)


def _bytes_of(part: Sequence[Item]) -> int:
    return sum(item.size for item in part)
