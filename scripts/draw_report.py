"""Take a picture of a report's page as a browser shows it.

    prediction-worker demo --html demo-report.html
    python scripts/draw_report.py demo-report.html docs/report.png

Needs Chromium (Debian: apt-get install chromium), or its path in CHROMIUM.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import find, tab  # noqa: E402

WIDTH, HEIGHT = 1160, 1420
LIMIT = 300_000


def draw(page: Path, picture: Path) -> None:
    """Show the top of ``page`` and save what is to be seen as PNG."""
    path = find()
    if path is None:
        raise SystemExit("no Chromium: apt-get install chromium, or name one in CHROMIUM")
    with tab(path) as browser:
        browser.open(page.resolve(), width=WIDTH, height=HEIGHT)
        found = browser.call("Page.captureScreenshot", format="png")
    data = base64.b64decode(found["data"])
    if len(data) > LIMIT:
        raise SystemExit(f"{len(data)} bytes are too many for a picture in the README")
    picture.write_bytes(data)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
