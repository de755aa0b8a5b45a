"""The demo's result for a person: at most 80 columns, nothing but text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from worker.demo.outcome import InKili, Outcome, Review
from worker.demo.progress import bar

WIDTH = 80
BAR = 16
NAME, NUMBER = 26, 7
NOTE = WIDTH - NAME - NUMBER - 5


def table(outcome: Outcome, *, blocks: bool = False) -> str:
    """Write the result as a table; ``blocks`` draws bars with block signs, which not every terminal can show."""
    parts = (_published(outcome), _in_kili(outcome), _ledger(outcome), _dead_letters(outcome))
    text = "\n\n".join("\n".join(part) for part in (*parts, _review(outcome.review, blocks)))
    broken = "\n".join(textwrap.fill(f"BROKEN PROMISE: {words}", WIDTH) for words in outcome.broken_promises)
    return f"{text}\n\n{broken}" if broken else text


def _row(name: str, number: str, note: str = "") -> str:
    return f"  {name:<{NAME}}{number:>{NUMBER}}   {note}".rstrip()


def _published(outcome: Outcome) -> Iterator[str]:
    found = outcome.published
    yield "Published"
    yield _row("messages", f"{found.messages:,}", f"{found.celery:,} through Celery, {found.stream:,} by XADD")
    yield _row("predictions", f"{found.predictions:,}", f"of {', '.join(outcome.models)}")
    yield _row("duplicates", f"{found.duplicates:,}", "sent again, through the other door")
    yield _row("outdated", f"{found.outdated:,}", "an older answer, after the newer one")
    yield _row("bad", f"{found.bad:,}", "each in another way")


def _in_kili(outcome: Outcome) -> Iterator[str]:
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


def _ledger(outcome: Outcome) -> Iterator[str]:
    ledger = outcome.ledger
    fates = (f"{ledger[name]:,} {name}" for name in ("delivered", "superseded", "dead"))
    yield "In the worker's ledger"
    yield _row("received", f"{ledger['received']:,}", ", ".join(fates))
    yield _row("conservation", "OFF" if ledger["balance"] else "holds", "received = delivered + superseded + dead")


def _dead_letters(outcome: Outcome) -> Iterator[str]:
    yield "Dead letters, and the fields they name"
    for group in outcome.dead_letters:
        notes = list(_folded(group.fields))
        yield _row(group.cause, f"{group.count:,}", notes[0])
        yield from (_row("", "", note) for note in notes[1:])


def _folded(words: list[str]) -> Iterator[str]:
    """Words after commas, in lines of the note's width."""
    line = ""
    for word in words:
        if line and len(line) + len(word) + 2 > NOTE - 1:
            yield f"{line},"
            line = ""
        line = f"{line}, {word}" if line else word
    yield line


def _review(found: Review, blocks: bool) -> Iterator[str]:
    yield f"Reviewed first: {found.reviewed:,} of {found.assets:,} assets, in the order of Kili's queue"
    gain = f", {found.gain:.1f}x chance" if found.gain is not None else ""
    yield _row("model errors found", f"{found.errors_found:,}", _share(found.errors_found, found, blocks) + gain)
    yield _row("by chance", f"{found.errors_by_chance:,.1f}", _share(found.errors_by_chance, found, blocks))


def _share(count: float, found: Review, blocks: bool) -> str:
    share = count / found.errors if found.errors else 0.0
    full, empty = "█░" if blocks else "#."
    return f"{bar(share, BAR, full=full, empty=empty)} {share:.0%} of {found.errors:,}"
