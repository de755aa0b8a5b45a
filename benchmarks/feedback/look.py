"""``python -m benchmarks.feedback.look PAGE [--shots FOLDER]``: a report in a real browser, from all sides.

Chromium renders the page without a network and without a window, wide and narrow, light and dark. Checked are: nothing
is fetched, nothing sticks out sideways, every link of the menu has its target, every picture is drawn, dark mode
darkens. The page is put into a frame, because a window of Chromium is never narrower than 500 pixels.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROBE = """<script>addEventListener("load", () => {
  const root = document.documentElement, pictures = [...document.images];
  const links = [...document.querySelectorAll('a[href^="#"]')].map(one => one.getAttribute("href"));
  const fetched = performance.getEntriesByType("resource").filter(one => !one.name.startsWith("data:"));
  parent.document.documentElement.dataset.seen = JSON.stringify({
    sideways: root.scrollWidth - root.clientWidth,
    width: root.clientWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    background: getComputedStyle(document.body).backgroundColor,
    lost: links.filter(one => !document.querySelector(one)).length,
    pictures: pictures.length,
    undrawn: pictures.filter(one => !one.naturalWidth).length,
    fetched: fetched.length,
    charts: document.querySelectorAll("svg.chart").length,
  });
})</script>"""


@dataclass(frozen=True, slots=True)
class View:
    """A window to look through; pixels."""

    name: str
    width: int
    height: int
    dark: bool = False


VIEWS = (View("wide", 1200, 2600), View("narrow", 390, 3200), View("dark", 1200, 2600, dark=True))


@dataclass(frozen=True, slots=True)
class Seen:
    """What the page told about itself."""

    sideways: int
    width: int
    dark: bool
    background: str
    lost: int
    pictures: int
    undrawn: int
    fetched: int
    charts: int


def find_browser() -> str:
    """The first browser on PATH.

    Raises:
        FileNotFoundError: there is none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise FileNotFoundError(f"no browser found: install one of {', '.join(BROWSERS)}")
    return found


def look(browser: str, page: Path, view: View) -> Seen:
    """Render the page once and ask it."""
    with _framed(page, view) as framed:
        written = _run(browser, view, "--dump-dom", "--virtual-time-budget=3000", framed)
    match = re.search(r'data-seen="([^"]*)"', written)
    if match is None:
        raise RuntimeError(f"the browser did not render the page: {written[:300]!r}")
    return Seen(**json.loads(match[1].replace("&quot;", '"')))


def shoot(browser: str, page: Path, view: View, folder: Path) -> Path:
    """Take a picture of the page."""
    file = folder.resolve() / f"report-{view.name}.png"
    with _framed(page, view) as framed:
        _run(browser, view, f"--screenshot={file}", framed)
    return file


@contextmanager
def _framed(page: Path, view: View) -> Iterator[str]:
    """The address of a file with the page and the probe in a frame of the view's size."""
    probed = page.read_text("utf-8").replace("</body>", f"{PROBE}</body>")
    frame = f'<iframe width="{view.width}" height="{view.height}" style="border:0" srcdoc="{escape(probed)}"></iframe>'
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame.html"
        file.write_text(f'<!doctype html><html><body style="margin:0">{frame}</body></html>', "utf-8")
        yield file.as_uri()


def complaints(view: View, seen: Seen) -> Iterator[str]:
    """What is wrong with a view."""
    if seen.sideways > 0:
        yield f"sticks out by {seen.sideways} of {seen.width} pixels"
    if seen.dark != view.dark or (_brightness(seen.background) < 100) != view.dark:
        yield f"background is {seen.background}"
    if seen.lost:
        yield f"{seen.lost} links lead nowhere"
    if seen.undrawn:
        yield f"{seen.undrawn} of {seen.pictures} pictures are not drawn"
    if seen.fetched:
        yield f"{seen.fetched} things were fetched"
    if not seen.charts:
        yield "there is no chart"


def _run(browser: str, view: View, *arguments: str) -> str:
    command = [
        browser,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--window-size={view.width},{view.height}",
        *(["--blink-settings=preferredColorScheme=0"] if view.dark else ["--blink-settings=preferredColorScheme=1"]),
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout  # noqa: S603


def _brightness(colour: str) -> float:
    parts = [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]
    return sum(parts) / 3


def main() -> None:
    """Look at a page from all sides; exits with 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback.look", description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--browser", help="path of Chromium; else the first on PATH")
    parser.add_argument("--shots", type=Path, help="folder for pictures")
    options = parser.parse_args()
    browser = options.browser or find_browser()
    wrong = 0
    for view in VIEWS:
        seen = look(browser, options.page, view)
        found = list(complaints(view, seen))
        wrong += len(found)
        about = f"{seen.charts} charts, {seen.pictures} pictures"
        sys.stdout.write(f"{view.name:7} {seen.width} px: {'; '.join(found) or 'fine'} ({about})\n")
        if options.shots:
            shoot(browser, options.page, view, options.shots)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
