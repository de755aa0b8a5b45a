"""Pictures of a run: bars on a logarithmic scale, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.speed.figures import Figures, names_of
from benchmarks.speed.race import COMPETITORS

WIDTH, LEFT, RIGHT = 860, 290, 110
BAR, GAP, TOP, BOTTOM = 22, 10, 62, 34
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 16px; font-weight: 600; }
  .axis { fill: #57606a; font-size: 12px; }
  .line { stroke: #d0d7de; }
  .bar { fill: #8c959f; }
  .ours { fill: #0969da; }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its name, its value, the words beside it, and whether it is ours."""

    name: str
    value: float
    words: str
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars of positive values under a title, with the file's name."""

    name: str
    title: str
    unit: str
    bars: Sequence[Bar]

    def svg(self) -> str:
        """The picture."""
        height = TOP + len(self.bars) * (BAR + GAP) + BOTTOM
        low, high = self._decades()
        parts = [*self._axis(low, high, height), *self._bars(low, high)]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}</style>\n"
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n'
            f'<text class="title" x="16" y="28">{escape(self.title)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
        )

    def _decades(self) -> tuple[int, int]:
        values = [bar.value for bar in self.bars]
        low = math.floor(math.log10(min(values)))
        return low, max(low + 1, math.ceil(math.log10(max(values))))

    def _axis(self, low: int, high: int, height: int) -> Iterator[str]:
        for power in range(low, high + 1):
            x = _x(10.0**power, low, high)
            yield f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 10}" y2="{height - BOTTOM}"/>'
            label = f"{10.0**power:,g} {self.unit}"
            yield f'<text class="axis" x="{x:.1f}" y="{height - 14}" text-anchor="middle">{label}</text>'

    def _bars(self, low: int, high: int) -> Iterator[str]:
        for number, bar in enumerate(self.bars):
            y = TOP + number * (BAR + GAP)
            width = _x(bar.value, low, high) - LEFT
            style = "bar ours" if bar.is_ours else "bar"
            yield f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(bar.name)}</text>'
            yield f'<rect class="{style}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3"/>'
            yield f'<text x="{LEFT + width + 8:.1f}" y="{y + 16}">{escape(bar.words)}</text>'


def _x(value: float, low: int, high: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - low) / (high - low)


def charts(figures: Figures) -> list[Chart]:
    """Every picture for which something was measured."""
    return [chart for chart in (_competitors(figures), _doors(figures)) if chart.bars]


def _competitors(figures: Figures) -> Chart:
    latency, predictions = figures.plan.headline
    bars = []
    for competitor in COMPETITORS:
        found = figures.seconds(competitor.name, latency, predictions)
        if found is not None:
            seconds, whole = found[0].median, found[1]
            words = f"{'' if whole else '≈ '}{seconds:,.1f} s"
            bars.append(Bar(competitor.title, seconds, words, competitor.name.startswith("us")))
    return Chart("competitors.svg", f"{predictions:,} predictions to Kili, {1000 * latency:g} ms a call", "s", bars)


def _doors(figures: Figures) -> Chart:
    rates = [(name, figures.door(name)) for name in names_of(figures.found.doors)]
    bars = [
        Bar(name, rate.median, f"{rate.median:,.0f} / s", not name.startswith("bare")) for name, rate in rates if rate
    ]
    return Chart("doors.svg", "Messages a second through the doors of one worker", "/ s", bars)
