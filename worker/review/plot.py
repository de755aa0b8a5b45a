"""A line chart as SVG, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 920, 430
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 290, 56, 50
_COLOURS = ("#1b6ca8", "#d1495b", "#3c9d4e", "#8d6a9f", "#e08e0b", "#4f5d75", "#17a398", "#9c6644", "#b8336a")
_STYLE = "font: 12px system-ui, sans-serif; fill: #222"


def line_chart(title: str, x_label: str, y_label: str, lines: Mapping[str, Sequence[float]], first: float = 1) -> str:
    """Draw lines over equally spaced points, the first of which is called ``first``; the y axis begins at 0."""
    count = max((len(values) for values in lines.values()), default=0)
    top = _rounded_up(max((value for values in lines.values() for value in values), default=1.0))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" style="{_STYLE}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(_LEFT, 24, title, "start", ' font-weight="bold" font-size="14"'),
        *_y_axis(top, y_label),
        *_x_axis(count, first, x_label),
    ]
    for number, (name, values) in enumerate(lines.items()):
        parts += _line(number, name, values, count, top)
    return "\n".join([*parts, "</svg>\n"])


def _line(number: int, name: str, values: Sequence[float], count: int, top: float) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    dashes = ' stroke-dasharray="6 3"' if number >= len(_COLOURS) else ""
    points = " ".join(f"{_x(i, count):.1f},{_y(value, top):.1f}" for i, value in enumerate(values))
    at = _TOP + 8 + 20 * number
    left = WIDTH - _RIGHT + 16
    return [
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>',
        f'<line x1="{left}" x2="{left + 22}" y1="{at}" y2="{at}" stroke="{colour}" stroke-width="3"{dashes}/>',
        _text(left + 28, at + 4, name, "start"),
    ]


def _y_axis(top: float, label: str) -> list[str]:
    parts = [_text(_LEFT, _TOP - 12, label, "start", ' fill="#666"')]
    for step in range(5):
        value = top * step / 4
        y = _y(value, top)
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{value:g}", "end"))
    return parts


def _x_axis(count: int, first: float, label: str) -> list[str]:
    step = max(1, math.ceil(count / 10))
    ticks = [_text(_x(i, count), HEIGHT - _BOTTOM + 18, f"{first + i:g}", "middle") for i in range(0, count, step)]
    return [*ticks, _text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 10, label, "middle", ' fill="#666"')]


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _x(number: float, count: int) -> float:
    return _LEFT + (WIDTH - _RIGHT - _LEFT) * number / max(1, count - 1)


def _y(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * value / top


def _rounded_up(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 4, 8, 10) if factor * power >= value * (1 - 1e-9))
