"""Mendings taken back for a run, to see that the simulation would have found the fault: ``--revert NAME``.

Each puts one function of the worker back to what it did before a fault was mended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from worker.delivery import assets, prepare
from worker.delivery.item import Item, Properties, WrittenLately
from worker.delivery.leasing import Lease
from worker.delivery.uploads import Upload, _Batch
from worker.feedback import drift
from worker.kili import KiliError
from worker.spool import LateWrites, Leased


def _superseded_at_once(stack: ExitStack) -> None:
    """A newer prediction without content supersedes the one that brings its asset, in one wave."""
    stack.enter_context(patch.object(prepare, "_may_hold_content", lambda _: False))
    stack.enter_context(patch.object(Item, "outlasts", lambda item, newest: item is newest))


def _grace_since_admission(stack: ExitStack) -> None:
    """What a prediction waited in the queue is taken off its grace."""

    def waited(entry: Leased, _: str) -> int:
        return entry.leased_ms - int(entry.entry_id.partition("-")[0])

    stack.enter_context(patch.object(Leased, "tried_for_ms", waited))


def _refused_upload_ends_the_wave(stack: ExitStack) -> None:
    """An upload that the bucket refuses is taken for an outage of the bucket."""

    def judge(_: Any, failed: Sequence[tuple[Upload, KiliError]]) -> None:
        for _upload, error in failed:
            raise error

    stack.enter_context(patch.object(_Batch, "_judge", judge))


def _made_is_new(stack: ExitStack) -> None:
    """An asset that was made lately and is not shown yet holds nothing, as far as is known."""
    known = WrittenLately.properties

    def properties(lately: WrittenLately, asset_ids: Sequence[str]) -> dict[str, Properties]:
        made = lately.made(asset_ids)
        return {name: Properties({}, 0) if name in made else one for name, one in known(lately, asset_ids).items()}

    stack.enter_context(patch.object(WrittenLately, "properties", properties))


def _lost_lease_goes_on(stack: ExitStack) -> None:
    """A wave whose lock has ended goes on sending."""
    stack.enter_context(patch.object(Lease, "check", lambda _: None))


def _windows_of_one_length(stack: ExitStack) -> None:
    """Drift windows have one length, whatever is in them."""

    def end(strangers: Sequence[int], start: int, size: int) -> int | None:
        return start + size if start + size < len(strangers) else None

    stack.enter_context(patch.object(drift, "window_end", end))


def _late_calls_are_not_expected(stack: ExitStack) -> None:
    """What is newer than a call that may come late is settled when it was delivered once."""
    stack.enter_context(patch.object(LateWrites, "keep_back", lambda _, settlements: settlements))


def _old_looks_are_trusted(stack: ExitStack) -> None:
    """What was looked up long ago is completed by what was written lately, as if it were new."""
    stack.enter_context(patch.object(assets, "_distrust", lambda items, begun: None))


REVERTS: dict[str, Callable[[ExitStack], None]] = {
    "carrier": _superseded_at_once,
    "grace": _grace_since_admission,
    "upload": _refused_upload_ends_the_wave,
    "read-lag": _made_is_new,
    "lost-lease": _lost_lease_goes_on,
    "windows": _windows_of_one_length,
    "late-write": _late_calls_are_not_expected,
    "old-look": _old_looks_are_trusted,
}


@contextmanager
def reverted(name: str) -> Iterator[None]:
    """The mending of this name is taken back meanwhile; none when it is empty."""
    with ExitStack() as stack:
        if name:
            REVERTS[name](stack)
        yield
