"""Charts of the report: where everything stands in them. ``templates/_chart.svg`` draws it in the page's colours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from worker.feedback.messages import detector_name, percent, time_of_day
from worker.statistics.detectors import AccuracyFell

WIDTH, HEIGHT, LOW_HEIGHT, NARROW = 760, 260, 150, 340
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 28
MOST_NAME = 16
ROW, ROWS = 18, 6
"""Height of a row of words in a chart, and how many are used."""

MOST_CHARTED = 6
"""Series in one chart: as many as the style has colours."""

HIGHEST_EVIDENCE = 2.0
FAINT_EVIDENCE = 0.1
EVIDENCE_NAMES = {0.0: "none", 0.5: "half", 1.0: "alarm"}
HALVES = (0.0, 0.5, 1.0)

Chart = dict[str, Any]
"""What the template draws: title, size, and lists of ``grid``, ``ticks``, ``bars``, ``series`` and ``alarms``."""


@dataclass(frozen=True, slots=True)
class ChartFrame:
    """The plot's area and the ranges of its axes."""

    x0: float
    x1: float
    y0: float
    y1: float
    width: int = WIDTH
    height: int = HEIGHT

    def x(self, value: float) -> float:
        """Place of a value on the horizontal axis."""
        share = (value - self.x0) / (self.x1 - self.x0) if self.x1 > self.x0 else 0.5
        return round(LEFT + share * (self.width - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Place of a value on the vertical axis."""
        share = (value - self.y0) / (self.y1 - self.y0) if self.y1 > self.y0 else 0.5
        return round(self.height - BOTTOM - share * (self.height - TOP - BOTTOM), 1)

    def points(self, places: Iterable[tuple[float, float]]) -> str:
        """Places as the points of a polygon or a line."""
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in places)


def colour_of(index: int) -> str:
    """The colour of a series, as a class of the style; none for those that are in no chart."""
    return f"s{index}" if index < MOST_CHARTED else ""


def agreement_over_time(models: Sequence[dict[str, Any]]) -> Chart | None:
    """Agreement per window of time with its interval, one colour per model version, and the alarms."""
    windows = [[window for window in model["windows"] if window["value"] is not None] for model in models]
    every = [window for part in windows for window in part]
    if not every:
        return None
    first, last = min(window["start"] for window in every), max(window["end"] for window in every)
    frame = ChartFrame(first, last, max(0.0, int(min(window["low"] for window in every) * 10) / 10), 1.0)
    alarms = [alarm for model in models for alarm in model["drift"]["alarms"]]
    return _chart(
        "Agreement over time",
        frame,
        grid=_grid(frame, _steps(frame)),
        ticks=_times(frame),
        series=[_series(frame, part, index) for index, part in enumerate(windows) if part],
        alarms=_alarms(frame, alarms, named=len(models) > 1),
    )


def evidence_over_time(points: Sequence[dict[str, Any]], alarms: Sequence[dict[str, Any]]) -> Chart | None:
    """How near the detector of falling accuracy was to an alarm, and its alarms; None while there is nothing to see.

    Alarms of the others are not on it: the curve is not theirs.
    """
    alarms = [alarm for alarm in alarms if alarm["detector"] == AccuracyFell.name]
    if not points or (not alarms and all(point["evidence"] < FAINT_EVIDENCE for point in points)):
        return None
    top = min(HIGHEST_EVIDENCE, max(1.15, *(point["evidence"] for point in points)))
    frame = ChartFrame(points[0]["at"], points[-1]["at"], 0.0, top, height=LOW_HEIGHT)
    line = frame.points((point["at"], min(point["evidence"], top)) for point in points)
    return _chart(
        "Evidence that the accuracy fell",
        frame,
        grid=_grid(frame, HALVES, EVIDENCE_NAMES.__getitem__),
        ticks=_times(frame),
        limit=frame.points([(frame.x0, 1.0), (frame.x1, 1.0)]),
        series=[_line(line)],
        alarms=_alarms(frame, alarms),
    )


def reliability(rows: Sequence[dict[str, Any]], title: str) -> Chart | None:
    """Agreement against a stated probability of being right; on the diagonal the statement is true."""
    if not rows:
        return None
    frame = ChartFrame(0.0, 1.0, 0.0, 1.0, width=NARROW)
    most = max(row["estimated"] for row in rows)
    ticks = ((0.0, "0", "start"), (0.5, percent(0.5), "middle"), (1.0, percent(1.0), "end"))
    dots = [_bubble(frame, row, most) for row in rows]
    return _chart(
        title,
        frame,
        grid=_grid(frame, HALVES),
        ticks=[_tick(frame, *tick) for tick in ticks],
        limit=frame.points([(0, 0), (1, 1)]),
        series=[_line(frame.points((row["stated"], row["agreement"]) for row in rows), dots)],
    )


def bars(rows: Sequence[tuple[float, float]], title: str) -> Chart | None:
    """Counts per day; a single day needs no chart."""
    if len(rows) < 2:
        return None
    most = max(value for _, value in rows)
    frame = ChartFrame(0.0, float(len(rows)), 0.0, most, height=LOW_HEIGHT)
    width = round(min(60.0, 0.8 * (WIDTH - LEFT - RIGHT) / len(rows)), 1)
    every = max(1, len(rows) // 6)
    return _chart(
        title,
        frame,
        grid=_grid(frame, (0.0, most), lambda value: f"{value:g}"),
        ticks=[_tick(frame, i + 0.5, time_of_day(at), "middle") for i, (at, _) in enumerate(rows) if i % every == 0],
        bars=[
            {
                "title": f"{time_of_day(at)}: {value:g}",
                "x": round(frame.x(index + 0.5) - width / 2, 1),
                "y": frame.y(value),
                "width": width,
                "height": round(frame.y(0) - frame.y(value), 1),
            }
            for index, (at, value) in enumerate(rows)
        ],
    )


def _chart(title: str, frame: ChartFrame, **parts: Any) -> Chart:
    edges = {"left": LEFT, "right": frame.width - RIGHT, "top": TOP, "bottom": frame.height - BOTTOM}
    empty: Chart = {"limit": "", "bars": (), "series": (), "alarms": ()}
    return {**empty, "title": title, "width": frame.width, "height": frame.height, **edges, **parts}


def _line(points: str, dots: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    return {"colour": colour_of(0), "band": "", "line": points, "dots": dots}


def _series(frame: ChartFrame, windows: Sequence[dict[str, Any]], index: int) -> dict[str, Any]:
    places = [((window["start"] + window["end"]) / 2, window) for window in windows]
    upper = [(at, window["high"]) for at, window in places]
    lower = [(at, window["low"]) for at, window in reversed(places)]
    return {
        "colour": colour_of(index),
        "band": frame.points([*upper, *lower]),
        "line": frame.points((at, one["value"]) for at, one in places),
        "dots": [_dot(frame, at, window) for at, window in places],
    }


def _dot(frame: ChartFrame, at: float, window: dict[str, Any]) -> dict[str, Any]:
    caption = f"{percent(window['value'], 1)} ({percent(window['low'], 1)} to {percent(window['high'], 1)})"
    title = f"{time_of_day(at, frame.x1 - frame.x0)}: {caption}, {window['verdicts']} answers of {window['population']}"
    return {"title": title, "radius": 3.5, "x": frame.x(at), "y": frame.y(window["value"])}


def _bubble(frame: ChartFrame, row: dict[str, Any], most: float) -> dict[str, Any]:
    title = f"stated {percent(row['stated'])}, found {percent(row['agreement'])} on {row['answers']} answers"
    radius = round(3 + 6 * (row["estimated"] / most) ** 0.5, 1)
    return {"title": title, "radius": radius, "x": frame.x(row["stated"]), "y": frame.y(row["agreement"])}


def _alarms(frame: ChartFrame, alarms: Sequence[dict[str, Any]], *, named: bool = False) -> Iterator[dict[str, Any]]:
    """A line for each alarm, its words each in a row of its own; with the version's name where there are several."""
    for row, alarm in enumerate(sorted(alarms, key=lambda alarm: float(alarm["at"]))):
        at, detector = float(alarm["at"]), detector_name(alarm["detector"])
        x = frame.x(min(max(at, frame.x0), frame.x1))
        late = x > frame.width * 0.6
        yield {
            "title": f"{alarm['model']}: {detector}, {time_of_day(at)}",
            "name": f"alarm: {detector}, {shortened(alarm['model'])}" if named else f"alarm: {detector}",
            "x": x,
            "text_x": x + (-4 if late else 4),
            "text_y": TOP + 10 + ROW * (row % ROWS),
            "anchor": "end" if late else "start",
        }


def shortened(name: str) -> str:
    """A name that fits into a chart: its end tells versions apart."""
    return name if len(name) <= MOST_NAME else f"…{name[-MOST_NAME + 1 :]}"


def _steps(frame: ChartFrame) -> list[float]:
    step = 0.1 if frame.y1 - frame.y0 > 0.25 else 0.05
    return [frame.y0 + step * number for number in range(round((frame.y1 - frame.y0) / step) + 1)]


def _grid(frame: ChartFrame, values: Sequence[float], show: Callable[[float], str] = percent) -> list[dict[str, Any]]:
    return [{"y": frame.y(value), "name": show(value)} for value in values]


def _times(frame: ChartFrame, count: int = 6) -> list[dict[str, Any]]:
    span = frame.x1 - frame.x0
    places = [frame.x0 + span * number / (count - 1) for number in range(count)] if span > 0 else [frame.x0]
    anchors = {0: "start", len(places) - 1: "end"}
    return [_tick(frame, at, time_of_day(at, span), anchors.get(index, "middle")) for index, at in enumerate(places)]


def _tick(frame: ChartFrame, at: float, name: str, anchor: str) -> dict[str, Any]:
    return {"x": frame.x(at), "name": name, "anchor": anchor}
