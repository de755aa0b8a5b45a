"""Charts as inline SVG: no script, no network, colours from the page's style."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from worker.feedback.messages import detector_name, percent, time_of_day
from worker.reports.markup import Markup, el
from worker.statistics.detectors import AccuracyFell

WIDTH, HEIGHT, LOW_HEIGHT, NARROW = 760, 260, 150, 340
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 28
MOST_NAME = 16
ROW, ROWS = 18, 6
"""Height of a row of words in a chart, and how many are used."""

SERIES = 6
"""Colours that the style defines; more series begin again."""

HIGHEST_EVIDENCE = 2.0
FAINT_EVIDENCE = 0.1
EVIDENCE_NAMES = {0.0: "none", 0.5: "half", 1.0: "alarm"}
HALVES = (0.0, 0.5, 1.0)


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


def agreement_over_time(models: Sequence[dict[str, Any]]) -> Markup | None:
    """Agreement per window of time with its interval, one colour per model version, and the alarms."""
    windows = [_known(model) for model in models]
    every = [window for part in windows for window in part]
    if not every:
        return None
    first, last = min(window["start"] for window in every), max(window["end"] for window in every)
    frame = ChartFrame(first, last, max(0.0, int(min(window["low"] for window in every) * 10) / 10), 1.0)
    alarms = [alarm for model in models for alarm in model["drift"]["alarms"]]
    return _svg(
        "Agreement over time",
        frame,
        _grid(frame, _steps(frame)),
        _times(frame),
        [_series(frame, part, index) for index, part in enumerate(windows) if part],
        _marks(frame, alarms, named=len(models) > 1),
    )


def evidence_over_time(points: Sequence[dict[str, Any]], alarms: Sequence[dict[str, Any]]) -> Markup | None:
    """How near the detector of falling accuracy was to an alarm, and its alarms; None while there is nothing to see.

    Alarms of the others are not on it: the curve is not theirs.
    """
    alarms = [alarm for alarm in alarms if alarm["detector"] == AccuracyFell.name]
    if not points or (not alarms and all(point["evidence"] < FAINT_EVIDENCE for point in points)):
        return None
    top = min(HIGHEST_EVIDENCE, max(1.15, *(point["evidence"] for point in points)))
    frame = ChartFrame(points[0]["at"], points[-1]["at"], 0.0, top, height=LOW_HEIGHT)
    line = frame.points((point["at"], min(point["evidence"], top)) for point in points)
    return _svg(
        "Evidence that the accuracy fell",
        frame,
        _grid(frame, HALVES, EVIDENCE_NAMES.__getitem__),
        _times(frame),
        el("polyline", class_="limit", points=frame.points([(frame.x0, 1.0), (frame.x1, 1.0)])),
        el("polyline", class_="line s0", points=line),
        _marks(frame, alarms),
    )


def reliability(rows: Sequence[dict[str, Any]], title: str) -> Markup | None:
    """Agreement against a stated probability of being right; on the diagonal the statement is true."""
    if not rows:
        return None
    frame = ChartFrame(0.0, 1.0, 0.0, 1.0, width=NARROW)
    most = max(row["estimated"] for row in rows)
    return _svg(
        title,
        frame,
        _grid(frame, HALVES),
        [
            _below(frame, *tick)
            for tick in ((0.0, "0", "start"), (0.5, percent(0.5), "middle"), (1.0, percent(1.0), "end"))
        ],
        el("polyline", class_="limit", points=frame.points([(0, 0), (1, 1)])),
        el("polyline", class_="line s0", points=frame.points((row["stated"], row["agreement"]) for row in rows)),
        [_bubble(frame, row, most) for row in rows],
    )


def bars(rows: Sequence[tuple[float, float]], title: str) -> Markup | None:
    """Counts per day; a single day needs no chart."""
    if len(rows) < 2:
        return None
    most = max(value for _, value in rows)
    frame = ChartFrame(0.0, float(len(rows)), 0.0, most, height=LOW_HEIGHT)
    width = round(min(60.0, 0.8 * (WIDTH - LEFT - RIGHT) / len(rows)), 1)
    shapes = [
        el(
            "rect",
            el("title", f"{time_of_day(at)}: {value:g}"),
            class_="bar",
            x=round(frame.x(index + 0.5) - width / 2, 1),
            y=frame.y(value),
            width=width,
            height=round(frame.y(0) - frame.y(value), 1),
        )
        for index, (at, value) in enumerate(rows)
    ]
    every = max(1, len(rows) // 6)
    names = [_below(frame, i + 0.5, time_of_day(at), "middle") for i, (at, _) in enumerate(rows) if i % every == 0]
    return _svg(title, frame, _grid(frame, (0.0, most), lambda value: f"{value:g}"), shapes, names)


def interval_bar(row: dict[str, Any]) -> Markup:
    """One estimate with its interval on a scale from 0 to 100 %, as part of a table."""
    if row["value"] is None:
        return el("span", class_="meter", aria_hidden="true")
    left, width = 100 * row["low"], 100 * (row["high"] - row["low"])
    return el(
        "span",
        el("i", style=f"left:{left:.1f}%;width:{width:.1f}%"),
        el("b", style=f"left:{100 * row['value']:.1f}%"),
        class_="meter",
        aria_hidden="true",
    )


def _known(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [window for window in model["windows"] if window["value"] is not None]


def _series(frame: ChartFrame, windows: Sequence[dict[str, Any]], index: int) -> list[Markup]:
    colour = f"s{index % SERIES}"
    places = [((window["start"] + window["end"]) / 2, window) for window in windows]
    upper = [(at, window["high"]) for at, window in places]
    lower = [(at, window["low"]) for at, window in reversed(places)]
    if len(places) == 1:
        band = el("polyline", class_=f"line {colour}", points=frame.points([*upper, *lower]))
    else:
        band = el("polygon", class_=f"band {colour}", points=frame.points([*upper, *lower]))
    line = el("polyline", class_=f"line {colour}", points=frame.points((at, one["value"]) for at, one in places))
    return [band, line, *(_dot(frame, at, window, colour) for at, window in places)]


def _dot(frame: ChartFrame, at: float, window: dict[str, Any], colour: str) -> Markup:
    caption = f"{percent(window['value'], 1)} ({percent(window['low'], 1)} to {percent(window['high'], 1)})"
    title = f"{time_of_day(at, frame.x1 - frame.x0)}: {caption}, {window['verdicts']} answers of {window['population']}"
    place = {"cx": frame.x(at), "cy": frame.y(window["value"])}
    return el("circle", el("title", title), class_=f"dot {colour}", r=3.5, **place)


def _bubble(frame: ChartFrame, row: dict[str, Any], most: float) -> Markup:
    caption = f"stated {percent(row['stated'])}, found {percent(row['agreement'])} on {row['answers']} answers"
    radius = round(3 + 6 * (row["estimated"] / most) ** 0.5, 1)
    place = {"cx": frame.x(row["stated"]), "cy": frame.y(row["agreement"])}
    return el("circle", el("title", caption), class_="dot s0", r=radius, **place)


def _marks(frame: ChartFrame, alarms: Sequence[dict[str, Any]], *, named: bool = False) -> list[Markup]:
    """A line for each alarm, its words each in a row of its own; with the version's name where there are several."""
    ordered = sorted(alarms, key=lambda alarm: float(alarm["at"]))
    return [_mark(frame, alarm, row, named) for row, alarm in enumerate(ordered)]


def _mark(frame: ChartFrame, alarm: dict[str, Any], row: int, named: bool) -> Markup:
    at, detector = float(alarm["at"]), detector_name(alarm["detector"])
    caption = f"alarm: {detector}, {shortened(alarm['model'])}" if named else f"alarm: {detector}"
    x = frame.x(min(max(at, frame.x0), frame.x1))
    late = x > frame.width * 0.6
    place = {
        "x": x + (-4 if late else 4),
        "y": TOP + 10 + ROW * (row % ROWS),
        "text_anchor": "end" if late else "start",
    }
    return el(
        "g",
        el("title", f"{alarm['model']}: {detector}, {time_of_day(at)}"),
        el("line", class_="alarm", x1=x, x2=x, y1=TOP, y2=frame.height - BOTTOM),
        el("text", caption, class_="alarm", **place),
    )


def shortened(name: str) -> str:
    """A name that fits into a chart: its end tells versions apart."""
    return name if len(name) <= MOST_NAME else f"…{name[-MOST_NAME + 1 :]}"


def _steps(frame: ChartFrame) -> list[float]:
    step = 0.1 if frame.y1 - frame.y0 > 0.25 else 0.05
    return [frame.y0 + step * number for number in range(round((frame.y1 - frame.y0) / step) + 1)]


def _grid(frame: ChartFrame, values: Sequence[float], show: Callable[[float], str] = percent) -> list[Markup]:
    ends = {"x1": LEFT, "x2": frame.width - RIGHT}
    lines = [el("line", class_="grid", y1=frame.y(value), y2=frame.y(value), **ends) for value in values]
    place = {"class_": "tick", "x": LEFT - 6, "text_anchor": "end"}
    return [*lines, *(el("text", show(value), y=frame.y(value) + 4, **place) for value in values)]


def _times(frame: ChartFrame, count: int = 6) -> list[Markup]:
    span = frame.x1 - frame.x0
    places = [frame.x0 + span * number / (count - 1) for number in range(count)] if span > 0 else [frame.x0]
    anchors = {0: "start", len(places) - 1: "end"}
    return [_below(frame, at, time_of_day(at, span), anchors.get(index, "middle")) for index, at in enumerate(places)]


def _below(frame: ChartFrame, at: float, caption: str, anchor: str) -> Markup:
    return el("text", caption, class_="tick", x=frame.x(at), y=frame.height - 8, text_anchor=anchor)


def _svg(title: str, frame: ChartFrame, *parts: Any) -> Markup:
    box = f"0 0 {frame.width} {frame.height}"
    attributes = {"class_": "chart", "role": "img", "viewBox": box, "style": f"--w:{frame.width}px"}
    return el("svg", el("title", title), *parts, **attributes)
