"""Keeps the records of a project equal to what Kili has, with few calls.

Each round reads the end of Kili's labels again: everything since the day before the newest label known, from
:data:`OVERLAP` rows before the number of rows known. The cursor is what the records hold, so it survives restarts, and
no clock of this machine takes part in it. Then Kili's own counts are held against ours; where they differ, the days at
fault are found by halving and read anew. So labels that a lagging read did not show, labels that came late, and labels
that were deleted are all found, whatever the cursor did.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from worker.feedback.label_files import UnreadBook
from worker.feedback.reading import LabelKind, LabelRow, ReadAsset
from worker.feedback.records import AssetRecord, delays_of
from worker.feedback.store import FeedbackStore, LockLost, RecordDifference
from worker.feedback.verdicts import evaluations, record_of
from worker.ontology import Interface
from worker.tracing import Evaluation

logger = logging.getLogger(__name__)

OVERLAP = 100
HORIZON_DAYS = 90
MARK_PATIENCE = 86_400.0
MARKS_PER_CYCLE = 100
FILES_PER_CYCLE = 50
EXAMPLES_PER_CYCLE = 500
DAY = timedelta(days=1)


class LabelSource(Protocol):
    """What the collector needs of :class:`worker.feedback.reading.KiliReader`."""

    def rows(self, project: str, kind: LabelKind, since: date, skip: int) -> tuple[list[LabelRow], bool]:
        """One page of labels created since a day, oldest first, and whether there may be more."""

    def count(self, project: str, kind: LabelKind, since: date) -> int:
        """How many labels were created since a day."""

    def with_files(self, assets: Sequence[ReadAsset]) -> list[ReadAsset]:
        """The assets with the responses that Kili keeps in files."""

    def assets(self, project: str, asset_ids: Sequence[str]) -> list[ReadAsset]:
        """Those of the assets that exist, files included."""


@dataclass(frozen=True, slots=True)
class CycleResult:
    """What one round of collecting did.

    ``changed``: records that are new or other than before; ``removed``: assets Kili no longer has; ``complete``: False
    where reading predictions was put off for want of budget or another process collects. ``unread``: labels whose files
    could not be read in this round.
    """

    changed: int = 0
    removed: int = 0
    complete: bool = True
    unread: int = 0


class Collector:
    """Collects one project.

    Args:
        source: reads from Kili.
        store: of the project.
        interface: of the project.
        now: Unix seconds; decides only what is older than the horizon.
        on_verdicts: called with the assets with verdicts whose records changed; without it they are kept for later.
        may_read: asked before each page of predictions: whether the call budget has room beside delivery.
        horizon_days: how far back labels are kept.
        unread: remembers whose label files could not be read; without it they are not come back to.
        delays: notified of how many seconds after the model's answer each new verdict came.
        evaluated: told of each new verdict on a traced prediction.
    """

    def __init__(
        self,
        source: LabelSource,
        store: FeedbackStore,
        interface: Interface,
        *,
        now: Callable[[], float],
        on_verdicts: Callable[[list[tuple[ReadAsset, AssetRecord]]], None] | None = None,
        may_read: Callable[[], bool] = lambda: True,
        horizon_days: int = HORIZON_DAYS,
        unread: UnreadBook | None = None,
        delays: Callable[[Sequence[float]], None] | None = None,
        evaluated: Callable[[Evaluation], None] | None = None,
    ) -> None:
        self._source = source
        self._store = store
        self._interface = interface
        self._now = now
        self._on_verdicts = on_verdicts
        self._may_read = may_read
        self._horizon_days = horizon_days
        self._unread = unread
        self._delays = delays
        self._evaluated = evaluated
        self._changed = 0
        self._removed = 0
        self._unread_now = 0
        self._news: dict[str, tuple[ReadAsset, AssetRecord]] = {}

    def collect(self) -> CycleResult:
        """Run one round. Errors of Kili and Redis pass through; what was read before them is kept."""
        self._changed = self._removed = self._unread_now = 0
        self._news.clear()  # of a round that ended with an error: they are read again
        if not self._store.acquire():
            return CycleResult(complete=False)
        try:
            self._request_files()
            followed = [self._follow(kind) for kind in LabelKind]
            complete = all(followed)
            self._request_marks()
            self._teach_news()
            self._teach_the_rest()
        except LockLost:
            return CycleResult(self._changed, self._removed, complete=False, unread=self._unread_now)
        finally:
            self._store.release()
        return CycleResult(self._changed, self._removed, complete, self._unread_now)

    def rebuild(self) -> CycleResult:
        """Forget everything and collect it anew."""
        if not self._store.acquire():
            return CycleResult(complete=False)
        self._store.clear()
        if self._unread is not None:
            self._unread.clear()
        return self.collect()

    def verify(self, day: date) -> CycleResult:
        """Read a day anew, whatever the counts say, and every asset that has a human label of it.

        Finds what counts cannot show: labels changed in place, and as many labels deleted as others were overlooked.
        """
        self._changed = self._removed = 0
        self._news.clear()
        if not self._store.acquire():
            return CycleResult(complete=False)
        try:
            for kind in LabelKind:
                self._read_day(kind, day)
            self._read_again(set(self._store.indexed(LabelKind.HUMAN, day).values()))
            self._teach_news()
            self._store.note_verified(day, self._now())
        finally:
            self._store.release()
        return CycleResult(self._changed, self._removed)

    def next_to_verify(self) -> date | None:
        """The day with labels that was verified least recently."""
        days = {day for kind in LabelKind for day in self._store.counts(kind) if day >= self._first_day()}
        verified = self._store.verified()
        return min(days, key=lambda day: (verified.get(day, 0.0), day), default=None)

    def prune(self) -> int:
        """Drop assets whose last label is older than the horizon; how many."""
        if not self._store.acquire():
            return 0
        try:
            first = self._first_day()
            records = self._store.records(with_labels=True, before=first)  # no label is older than its asset
            old = [one for one in records if all(key.day < first for key in one.labels)]
            self._store.forget_labels_before(first)
            dropped = self._store.drop(old)
            self._store.forget_empty_days_before(first)
            return dropped
        finally:
            self._store.release()

    def _follow(self, kind: LabelKind) -> bool:
        complete = self._read_end(kind)
        if complete:
            self._reconcile(kind)
        return complete

    def _read_end(self, kind: LabelKind) -> bool:
        """Read on from where the records end; False when there is no room for it."""
        first, counts = self._first_day(), self._store.counts(kind)
        since = max(first, max(counts, default=first) - DAY)
        known = sum(count for day, count in counts.items() if day >= since)
        skip, more = max(0, known - OVERLAP), True
        while more:
            if kind is LabelKind.INFERENCE and not self._may_read():
                return False
            rows, more = self._source.rows(self._store.project, kind, since, skip)
            self._take(kind, rows)
            skip += len(rows)
        return True

    def _take(self, kind: LabelKind, rows: Sequence[LabelRow]) -> None:
        """Keep the assets of the labels that are not in a record yet."""
        by_day: dict[date, list[LabelRow]] = {}
        for row in rows:
            by_day.setdefault(row.day, []).append(row)
        for day, part in by_day.items():
            known = self._store.known(kind, day, [row.label_id for row in part])
            self._keep(row.asset for row in part if row.asset is not None and row.label_id not in known)

    def _keep(self, assets: Iterable[ReadAsset]) -> list[AssetRecord]:
        found = self._source.with_files(list({one.id: one for one in assets}.values()))
        pairs = [(asset, record_of(asset, self._interface)) for asset in found]
        better = self._better([record for _, record in pairs], self._note_unread(found))
        if better:
            before = self._verdicts_before(better)
            self._notify_traces(pairs, before)
            changed = self._store.put(better)
            self._note_delays(better, changed, before)
            self._changed += len(changed)
            self._store.await_mark(better, self._now())
            if self._on_verdicts is not None:
                self._news |= {pair[0].id: pair for pair in pairs if pair[0].id in changed and pair[1].verdicts}
            if len(self._news) >= EXAMPLES_PER_CYCLE:
                self._teach_news()
        return [record for _, record in pairs]

    def _verdicts_before(self, records: Sequence[AssetRecord]) -> set[str]:
        """Ids of the verdicts that are known already; nobody need know them where nobody is notified."""
        if self._delays is None and self._evaluated is None:
            return set()
        known = self._store.records_at((one.created, one.asset_id) for one in records if one.verdicts)
        return {verdict.label_id for one in known.values() for answer in one.answers for verdict in answer.verdicts}

    def _note_delays(self, records: Sequence[AssetRecord], changed: set[str], before: set[str]) -> None:
        if self._delays is None:
            return
        news = [one for one in records if one.asset_id in changed]
        delays = [seconds for one in news for label_id, seconds in delays_of(one).items() if label_id not in before]
        if delays:
            self._delays(delays)

    def _notify_traces(self, pairs: Sequence[tuple[ReadAsset, AssetRecord]], before: set[str]) -> None:
        """Before the records are kept: one that ends between the two tells twice rather than never."""
        if self._evaluated is not None:
            for evaluation in evaluations(self._store.project, pairs, before):
                self._evaluated(evaluation)

    def _note_unread(self, assets: Sequence[ReadAsset]) -> set[str]:
        """Remember the assets with label files that could not be read."""
        unread: dict[str, tuple[int, str, bool]] = {}
        for asset in assets:
            problems = [label.unread for label in asset.labels if label.unread is not None]
            if problems:
                unread[asset.id] = len(problems), problems[0].problem, any(one.tried for one in problems)
        self._unread_now += sum(labels for labels, _, _ in unread.values())
        if self._unread is not None and assets:
            given_up = self._unread.note(unread, [asset.id for asset in assets if asset.id not in unread])
            self._log_unread(unread, given_up)
        return set(unread)

    def _log_unread(self, unread: Mapping[str, tuple[int, str, bool]], given_up: Sequence[str]) -> None:
        extra = {"project": self._store.project, "assets": len(unread)}
        for problem in sorted({problem for _, problem, _ in unread.values()})[:3]:
            message = "label files of %d assets cannot be read, they are tried again: %s"
            logger.info(message, len(unread), problem, extra={**extra, "action": "label_files_unread"})
        if given_up:
            message = "label files of %d assets cannot be read and are left out, such as asset %s: %s"
            about = {**extra, "action": "label_files_given_up", "assets": len(given_up)}
            logger.warning(message, len(given_up), given_up[0], unread[given_up[0]][1], extra=about)

    def _better(self, records: Sequence[AssetRecord], unread: set[str]) -> list[AssetRecord]:
        """Leave out those of unread assets that know no more labels than the record that is kept already."""
        if not unread:
            return list(records)
        places = [(record.created, record.asset_id) for record in records if record.asset_id in unread]
        known = {key: set(record.labels) for key, record in self._store.records_at(places).items()}
        return [record for record in records if not set(record.labels) <= known.get(record.asset_id, set())]

    def _reconcile(self, kind: LabelKind) -> None:
        """Read those days anew whose number of labels differs from Kili's.

        Labels that are being written make the newest days differ at any moment: a surplus at Kili is read again only
        when the next round finds the same one.
        """
        first, counts = self._first_day(), self._store.counts(kind)
        counts = {day: count for day, count in counts.items() if day >= first}
        last = max(counts, default=first)
        before = self._store.differences(kind)
        found: dict[date, RecordDifference] = {}
        for day, size in self._differing(kind, first, last + DAY, counts):
            known = before.get(day)
            if known == RecordDifference(size, explained=True):
                found[day] = known
            elif size > 0 and day >= last - DAY and known != RecordDifference(size, explained=False):
                found[day] = RecordDifference(size, explained=False)
            else:
                found[day] = self._read_difference(kind, day, size)
        found = {day: one for day, one in found.items() if one.size}
        if found != before:
            self._store.keep_differences(kind, found)

    def _differing(
        self, kind: LabelKind, first: date, end: date, counts: dict[date, int]
    ) -> Iterator[tuple[date, int]]:
        """Find days with another number of labels than Kili has, by halving the time between; the end is open."""
        totals = {first: self._source.count(self._store.project, kind, first), end: 0}
        spans = [(first, end)]
        while spans:
            begin, stop = spans.pop()
            ours = sum(count for day, count in counts.items() if begin <= day < stop)
            difference = totals[begin] - totals[stop] - ours
            if not difference:
                continue
            if stop - begin <= DAY:
                yield begin, difference
                continue
            middle = begin + (stop - begin) // 2
            totals[middle] = self._source.count(self._store.project, kind, middle)
            spans += [(begin, middle), (middle, stop)]

    def _read_difference(self, kind: LabelKind, day: date, size: int) -> RecordDifference:
        """Read a day anew; what differs is explained when reading changed nothing, here or at Kili."""
        before = (self._changed, self._removed, self._store.counts(kind).get(day))
        self._read_day(kind, day)
        remains = self._difference(kind, day)
        after = (self._changed, self._removed, self._store.counts(kind).get(day))
        return RecordDifference(remains, explained=remains == size and before == after)

    def _difference(self, kind: LabelKind, day: date) -> int:
        """How many labels Kili counts on a day beyond those in the records; the last day is open."""
        counts = self._store.counts(kind)
        later = [other for other in counts if other > day]
        count = self._source.count(self._store.project, kind, day)
        if later:
            count -= self._source.count(self._store.project, kind, day + DAY)
        return count - counts.get(day, 0)

    def _read_day(self, kind: LabelKind, day: date) -> None:
        """Read a day from its first label on; what the records have beyond it is read by asset."""
        listed: set[str] = set()
        skip, more = 0, True
        while more:
            rows, more = self._source.rows(self._store.project, kind, day, skip)
            more = more and rows[-1].day <= day
            self._take(kind, rows)
            listed.update(row.label_id for row in rows)
            skip += len(rows)
        gone = {label: asset for label, asset in self._store.indexed(kind, day).items() if label not in listed}
        if gone:
            extra = {"action": "labels_gone", "project": self._store.project, "labels": len(gone)}
            logger.info("%d labels are no longer listed", len(gone), extra=extra)
            still = {key.id for record in self._read_again(set(gone.values())) for key in record.labels}
            self._store.unindex(kind, day, [label for label in gone if label not in still])

    def _read_again(self, asset_ids: set[str]) -> list[AssetRecord]:
        """Read assets by id, and drop those that Kili no longer has."""
        found = self._source.assets(self._store.project, sorted(asset_ids))
        records = self._keep(found)
        gone = asset_ids - {asset.id for asset in found}
        self._removed += self._store.drop(self._store.records_of(gone))
        if self._unread is not None:
            self._unread.forget(gone)
        return records

    def _request_files(self) -> None:
        """Read the assets again whose label files could not be read in earlier rounds."""
        waiting = self._unread.waiting(FILES_PER_CYCLE) if self._unread is not None else []
        if waiting:
            self._read_again(set(waiting))

    def _request_marks(self) -> None:
        """Kili computes marks some time after the labels: read the assets that still lack them."""
        waiting = self._store.unmarked(self._now() - MARK_PATIENCE, MARKS_PER_CYCLE)
        if waiting:
            self._read_again(set(waiting))

    def _teach_news(self) -> None:
        """At once, not page by page: whoever learns does so anew from all that it knows."""
        self._teach(list(self._news.values()))
        self._news.clear()

    def _teach_the_rest(self) -> None:
        """Read the assets again whose verdicts were kept while nobody listened, or by a process that ended too soon."""
        waiting = self._store.untaught(EXAMPLES_PER_CYCLE) if self._on_verdicts is not None else []
        if waiting:
            found = self._source.assets(self._store.project, sorted(waiting))
            pairs = [(asset, record_of(asset, self._interface)) for asset in found]
            self._teach([pair for pair in pairs if pair[1].verdicts])
            self._store.note_taught(waiting)

    def _teach(self, on_verdicts: list[tuple[ReadAsset, AssetRecord]]) -> None:
        if self._on_verdicts is not None and on_verdicts:
            self._on_verdicts(on_verdicts)
            self._store.note_taught(asset.id for asset, _ in on_verdicts)

    def _first_day(self) -> date:
        return datetime.fromtimestamp(self._now(), UTC).date() - self._horizon_days * DAY
