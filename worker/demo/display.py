"""What the demo prints: its progress on standard error, and its result as a table of at most 80 columns."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import TextIO

from worker.demo.outcome import DemoAgreement, DemoDrift, DemoResult, Review
from worker.demo.traffic import InKili
from worker.feedback.messages import time_of_day

PROGRESS_BAR = 24
PLAIN_STEPS = 4


class DemoProgress:
    """Shows steps and how far the running one is.

    Args:
        stream: where to.
        is_live: whether a line may be drawn over; by default, whether the stream is a terminal.
    """

    def __init__(self, stream: TextIO, *, is_live: bool | None = None) -> None:
        self._stream = stream
        self._is_live = stream.isatty() if is_live is None else is_live
        self._open = False
        self._shown: tuple[str, int] = ("", 0)

    def write_line(self, caption: str) -> None:
        """A line that stays."""
        self.end()
        self._write(f"{caption}\n")

    def show(self, what: str, done: int, total: int, caption: str = "") -> None:
        """How far ``what`` is; elsewhere than on a terminal only every quarter of it."""
        line = f"{what:<10} {done:>6,} of {total:,}  {caption}".rstrip()
        if self._is_live:
            self._draw(f"{bar(done / total if total else 1, PROGRESS_BAR)}  {line}")
        elif self._is_news(what, done, total):
            self._write(f"{line}\n")

    def end(self) -> None:
        """Leave the moving line as it is."""
        if self._open:
            self._write("\n")
            self._open = False

    def _draw(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._write(f"\r{line[:width]:<{width}}")
        self._open = True

    def _is_news(self, what: str, done: int, total: int) -> bool:
        news = (what, done * PLAIN_STEPS // max(1, total))
        is_news = news != self._shown and news[1] > 0
        self._shown = news
        return is_news

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def bar(share: float, width: int, *, full: str = "#", empty: str = ".") -> str:
    """A bar of ``width`` signs, filled to a share from 0 to 1."""
    filled = round(max(0.0, min(1.0, share)) * width)
    return full * filled + empty * (width - filled)


WIDTH = 80
BAR = 16
NAME, NUMBER = 26, 7
HOUR = 3600.0
NARROW = "\u202f"
NOTE = WIDTH - NAME - NUMBER - 5


def table(outcome: DemoResult, *, blocks: bool = False) -> str:
    """Write the result as a table; ``blocks`` draws bars with block signs, which not every terminal can show."""
    parts = (
        _published(outcome),
        _in_kili(outcome),
        _ledger(outcome),
        _dead_letters(outcome),
        _review(outcome.review, blocks),
        _agreement(outcome.agreement),
        _drift(outcome.drift),
    )
    text = "\n\n".join("\n".join(part) for part in parts)
    broken = "\n".join(textwrap.fill(f"BROKEN PROMISE: {caption}", WIDTH) for caption in outcome.broken_promises)
    return f"{text}\n\n{broken}" if broken else text


def _row(name: str, number: str, note: str = "") -> str:
    return f"  {name:<{NAME}}{number:>{NUMBER}}   {note}".rstrip()


def _published(outcome: DemoResult) -> Iterator[str]:
    found = outcome.published
    yield "Published"
    yield _row("messages", f"{found.messages:,}", f"{found.celery:,} through Celery, {found.stream:,} by XADD")
    yield _row("predictions", f"{found.predictions:,}", f"of {len(outcome.models)} model versions, in rounds")
    yield _row("duplicates", f"{found.duplicates:,}", "sent again, through the other source")
    yield _row("outdated", f"{found.outdated:,}", "an older answer, after the newer one")
    yield _row("bad", f"{found.bad:,}", "each in another way")


def _in_kili(outcome: DemoResult) -> Iterator[str]:
    found = outcome.in_kili
    yield "In Kili, counted in the sandbox"
    yield _row("assets", f"{found.assets:,}", _unless(found.unexpected_assets, "unexpected", "one per external id"))
    yield _row("INFERENCE labels", f"{found.inference_labels:,}", _labels_note(found))
    yield _row("duplicates", f"{found.duplicate_assets + found.duplicate_labels:,}", "assets or labels twice")
    yield _row("calls per 100 predictions", f"{found.calls_per_100_predictions:.1f}", f"{found.calls:,} calls in all")


def _labels_note(found: InKili) -> str:
    wrong = _unless(found.wrong_labels, "not the newest answer", "each the newest answer")
    return _unless(found.missing, "missing", wrong)


def _unless(count: int, problem: str, fine: str) -> str:
    return f"{count:,} {problem.upper()}" if count else fine


def _ledger(outcome: DemoResult) -> Iterator[str]:
    ledger = outcome.ledger
    outcomes = (f"{ledger[name]:,} {name}" for name in ("delivered", "superseded", "dead"))
    yield "In the worker's ledger"
    yield _row("received", f"{ledger['received']:,}", ", ".join(outcomes))
    yield _row("conservation", "OFF" if ledger["balance"] else "holds", "received = delivered + superseded + dead")


def _dead_letters(outcome: DemoResult) -> Iterator[str]:
    yield "Dead letters, and the fields they name"
    for group in outcome.dead_letters:
        notes = list(_folded(group.fields))
        yield _row(group.cause, f"{group.count:,}", notes[0])
        yield from (_row("", "", note) for note in notes[1:])


def _folded(caption: list[str]) -> Iterator[str]:
    """Words after commas, in lines of the note's width."""
    line = ""
    for word in caption:
        if line and len(line) + len(word) + 2 > NOTE - 1:
            yield f"{line},"
            line = ""
        line = f"{line}, {word}" if line else word
    yield line


def _review(found: Review, blocks: bool) -> Iterator[str]:
    yield f"Reviewed {found.reviewed:,} of {found.assets:,} assets in the order of Kili's queue; model errors found"
    yield _row("in the worker's order", f"{found.errors_found:,}", _share(found.errors_found, found, blocks))
    by_confidence = _share(found.errors_by_confidence, found, blocks)
    yield _row("by the models' confidence", f"{found.errors_by_confidence:,}", by_confidence)
    yield _row("by chance", f"{found.errors_by_chance:,.1f}", _share(found.errors_by_chance, found, blocks))
    if found.gain is not None:
        yield _row("gain over confidence", f"{found.gain:.2f}x", "with the same number of reviews")


def _agreement(rows: Sequence[DemoAgreement]) -> Iterator[str]:
    yield "Agreement with the humans on all traffic, estimated from what was reviewed"
    for row in rows:
        held = "NOT IN" if row.covered is False else "in"
        interval = f"truth {_points(row.truth)} {held} {_points(row.low)} to {_points(row.high)}"
        yield _row(row.model, _points(row.estimate), f"{interval}; naive {_points(row.naive)}")


def _points(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.1f}%"


def _drift(found: DemoDrift) -> Iterator[str]:
    since = time_of_day(found.injected_at, HOUR)
    yield f"Drift injected into {found.injected_model} at {since}: struck zeros, read as {found.injected_class}"
    for alarm in found.alarms:
        held = "the right one" if found.is_right(alarm) else "ANOTHER"
        caption = f"{alarm.headline}; fell most: {', '.join(alarm.lost[:2]) or 'no class'} ({held})"
        yield textwrap.fill(caption.replace(NARROW, ""), WIDTH, initial_indent="  ALARM ", subsequent_indent="    ")
    if not found.alarms:
        yield "  no alarm was raised"


def _share(count: float, found: Review, blocks: bool) -> str:
    share = count / found.errors if found.errors else 0.0
    full, empty = "█░" if blocks else "#."
    return f"{bar(share, BAR, full=full, empty=empty)} {share:.0%} of {found.errors:,}"
