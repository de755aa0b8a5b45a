"""Draw what a command printed as a picture of a terminal (SVG).

    prediction-worker demo | python scripts/draw_demo.py 'make demo' docs/demo.svg

The text comes from standard input, the first argument is shown as the command that printed it.
"""

from __future__ import annotations

import re
import sys
from html import escape
from pathlib import Path

COLUMNS = 80
CHARACTER, LINE, MARGIN, SIZE = 8.4, 20, 24, 14
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
STYLE = f"""
  text {{ font: {SIZE}px {FONTS}; fill: #c9d1d9; white-space: pre; }}
  .heading {{ fill: #f0f6fc; font-weight: 600; }}
  .prompt {{ fill: #7ee787; }}
  .bar {{ fill: #58a6ff; }}
  .broken {{ fill: #ff7b72; }}
"""
PARTS = re.compile(r"[█░]+|[^█░]+")


def draw(command: str, output: str) -> str:
    """The picture of a terminal in which ``command`` printed ``output``."""
    lines = [f"$ {command}", "", *output.strip("\n").splitlines()]
    columns = max(COLUMNS, *map(len, lines))
    width, height = columns * CHARACTER + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    rows = "\n".join(_row(number, line) for number, line in enumerate(lines) if line)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">\n'
        f"<title>{escape(command)} in a terminal</title>\n<style>{STYLE}</style>\n"
        f'<rect width="100%" height="100%" rx="10" fill="#0d1117"/>\n{rows}\n</svg>\n'
    )


def _row(number: int, line: str) -> str:
    y = MARGIN + (number + 0.75) * LINE
    length = f'textLength="{len(line) * CHARACTER:.1f}" lengthAdjust="spacingAndGlyphs"'
    parts = "".join(_part(part) for part in PARTS.findall(line))
    return f'<text x="{MARGIN}" y="{y:g}" {length} xml:space="preserve" class="{_kind(number, line)}">{parts}</text>'


def _part(part: str) -> str:
    return f'<tspan class="bar">{part}</tspan>' if part[0] in "█░" else escape(part)


def _kind(number: int, line: str) -> str:
    if number == 0:
        return "prompt"
    if line.startswith("BROKEN"):
        return "broken"
    return "row" if line.startswith(" ") else "heading"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(draw(sys.argv[1], sys.stdin.read()), encoding="utf-8")
