"""The tables of a run, for a terminal and for Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.speed.figures import Figures, names_of
from benchmarks.speed.race import COMPETITORS
from benchmarks.speed.samples import Sample
from benchmarks.speed.targets import verdicts
from benchmarks.speed.visible import Waits

NOTHING = "-"
NOTE_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; the first column is text, the others are set to the right in a terminal.

    Each line of ``note`` is a paragraph of its own.
    """

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""

    def text(self) -> str:
        """For a terminal."""
        widths = [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]
        lines = [self.title, *(_aligned(row, widths) for row in (self.headings, *self.rows))]
        notes = [textwrap.fill(line, NOTE_WIDTH, initial_indent="  ", subsequent_indent="    ") for line in self._notes]
        return "\n".join([*lines, *notes])

    def markdown(self) -> str:
        """For a page."""
        rule = ("---", *("---:" for _ in self.headings[1:]))
        lines = [f"## {self.title}", "", *(f"| {' | '.join(row)} |" for row in (self.headings, rule, *self.rows))]
        return "\n".join([*lines, *(part for line in self._notes for part in ("", line))])

    @property
    def _notes(self) -> list[str]:
        return self.note.splitlines()


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first = f"{row[0]:<{widths[0]}}"
    others = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return f"  {'  '.join([first, *others])}".rstrip()


def tables(figures: Figures) -> list[Table]:
    """Every table for which something was measured."""
    made = (
        _headline,
        _matrix,
        _limited,
        _minute,
        _doors,
        _producers,
        _sources,
        _growth,
        _waits,
        _fleets,
        _micro,
        _targets,
    )
    return [table for make in made for table in make(figures)]


def _headline(figures: Figures) -> Iterator[Table]:
    latency, predictions = figures.plan.headline
    rows = []
    for competitor in COMPETITORS:
        found = figures.seconds(competitor.name, latency, predictions)
        if found is not None:
            seconds, whole = found
            rows.append(
                (
                    competitor.title,
                    ("" if whole else "≈ ") + _number(seconds.median),
                    f"{_number(seconds.low)} to {_number(seconds.high)}",
                    _number(figures.ratio(competitor.name)),
                    _number(figures.calls_per_1000(competitor.name)),
                    _number(figures.cpu_us(competitor.name)),
                    _number(figures.redis_us(competitor.name)),
                )
            )
    title = f"{predictions:,} predictions, {1000 * latency:g} ms server latency, no call limit"
    headings = ("competitor", "seconds", "spread", "÷ us", "calls / 1,000", "CPU µs / prediction", "Redis µs")
    note = "≈: stopped and extrapolated from what was finished. CPU is that of the competitor's own processes."
    yield Table(title, headings, rows, note)


def _matrix(figures: Figures) -> Iterator[Table]:
    yield from _grid(figures, "Seconds by latency and number of predictions, no call limit", 0)


def _limited(figures: Figures) -> Iterator[Table]:
    limit = figures.plan.calls_per_minute
    note = (
        f"Computed from the measured pace and calls: us paced at {limit} a minute, the SDK {limit} as fast as it can "
        "and then waiting. "
    )
    yield from _grid(figures, f"Seconds under {limit} calls per minute", limit, note)


def _grid(figures: Figures, title: str, limit: int, note: str = "") -> Iterator[Table]:
    latencies = sorted({races.latency for races in figures.found.races})
    columns = [(latency, size) for latency in latencies for size in figures.plan.sizes]
    headings = ("competitor", *(f"{1000 * latency:g} ms {_short(size)}" for latency, size in columns))
    rows = [
        (competitor.title, *(_cell(figures, competitor.name, latency, size, limit) for latency, size in columns))
        for competitor in COMPETITORS
        if not (limit and competitor.name == "floor")
    ]
    rows = [row for row in rows if any(cell != NOTHING for cell in row[1:])]
    yield Table(title, headings, rows, note + "≈: not run to its end; from its pace elsewhere at this latency.")


def _cell(figures: Figures, competitor: str, latency: float, size: int, limit: int) -> str:
    found = figures.seconds(competitor, latency, size, limit)
    return (("" if found[1] else "≈ ") + _number(found[0])) if found else NOTHING


def _minute(figures: Figures) -> Iterator[Table]:
    rows = [
        (one.competitor, f"{60 * one.finished / one.seconds:,.0f}", str(one.calls), str(one.refused))
        for one in figures.found.minute
    ]
    if rows:
        title = f"One minute under {figures.plan.calls_per_minute} calls per minute, side by side, no latency"
        yield Table(title, ("competitor", "predictions / minute", "calls", "refused"), rows)


def _doors(figures: Figures) -> Iterator[Table]:
    found = figures.found.doors
    rows = []
    for name in names_of(found):
        cpu = Sample.of([door.cpu_us for door in found if door.name == name])
        rows.append((name, _number(figures.door(name)), _number(cpu)))
    if rows:
        yield Table("Doors alone", ("door", "messages / s", "CPU µs / message"), rows)


def _producers(figures: Figures) -> Iterator[Table]:
    rows = [(name, _number(figures.producer(name))) for name in names_of(figures.found.producers)]
    if rows:
        yield Table("Producers", ("way", "messages / s"), rows)


def _sources(figures: Figures) -> Iterator[Table]:
    found = figures.found.sources
    rows = [
        (one.name, *map(_number, (one.per_second, one.cpu_us, one.bare_per_second, one.bare_cpu_us, one.ratio)))
        for one in found
    ]
    if rows:
        headings = ("source", "messages / s", "CPU µs / message", "bare loop / s", "bare CPU µs", "ratio")
        note = "Into the inbox; the bare loops parse and acknowledge, the bare HTTP handler also adds to a stream."
        absent = [f"{one.name}: not measured, {one.absent}." for one in found if one.absent]
        yield Table("Sources beside a bare client loop of their protocol", headings, rows, "\n".join([note, *absent]))


def _growth(figures: Figures) -> Iterator[Table]:
    rows = [
        (
            f"{level.backlog:,}",
            _number(level.intake_us),
            _number(level.delivery_us),
            f"{level.worker_bytes / 1e6:.0f}",
            f"{level.redis_bytes:,.0f}",
        )
        for level in figures.found.growth
    ]
    if rows:
        headings = ("backlog", "intake µs", "delivery µs", "worker MB", "Redis bytes / waiting prediction")
        yield Table("Growing backlog: worker and Redis CPU per prediction, memory", headings, rows)


def _waits(figures: Figures) -> Iterator[Table]:
    light, backlog = figures.found.light, figures.found.backlog
    rows = []
    if light:
        rows.append((f"{light.per_second:g} messages / s", *_seconds(light.waits)))
    if backlog:
        rows.append((f"doubtful, backlog {backlog.backlog:,}, budget on", *_seconds(backlog.waits)))
    if rows:
        note = f"Routine predictions meanwhile: {backlog.routine_per_second:,.0f} / s." if backlog else ""
        yield Table("Seconds from publish to visible label", ("load", "p50", "p95", "worst"), rows, note)


def _seconds(waits: Waits) -> tuple[str, str, str]:
    return f"{waits.p50:.2f}", f"{waits.p95:.2f}", f"{waits.worst:.2f}"


def _fleets(figures: Figures) -> Iterator[Table]:
    rows = [
        (str(one.workers), f"{one.share:.1%}", str(one.refused), f"{one.items_per_call:.1f}")
        for one in figures.found.fleets
    ]
    if rows:
        title = f"Fleets on one budget of {figures.plan.calls_per_minute} calls per minute"
        yield Table(title, ("workers", "share used", "refused", "predictions / call"), rows)


def _micro(figures: Figures) -> Iterator[Table]:
    rows = [
        (
            one.kind,
            *(f"{value:.0f}" for value in (one.read, one.score, one.compose, one.total, one.rank)),
            f"{one.to_built_in:.1f} x" if one.to_built_in else "",
        )
        for one in figures.found.micro
    ]
    if rows:
        headings = (
            "prediction",
            "read",
            "format and score",
            "compose and validate",
            "total",
            "rank instead",
            "format, to a built-in reader",
        )
        yield Table("One prediction: µs of CPU", headings, rows)


def _targets(figures: Figures) -> Iterator[Table]:
    words = {True: "met", False: "NOT MET", None: "not measured in this run"}
    found = verdicts(figures)
    rows = [(one.what, one.target, _number(one.value), words[one.is_met]) for one in found]
    note = "\n".join(f"{one.what}: missed {one.remark}" for one in found if one.is_met is False)
    yield Table("Targets", ("what", "target", "measured", ""), rows, note)


def _number(value: Sample | float | None) -> str:
    if value is None:
        return NOTHING
    found = value.median if isinstance(value, Sample) else value
    return f"{found:,.0f}" if abs(found) >= 100 else f"{found:.1f}" if abs(found) >= 10 else f"{found:.2f}"


def _short(size: int) -> str:
    return f"{size // 1000}k"
