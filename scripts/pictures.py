"""Take the pictures of both pages for the README: run the demo, and look at its report and at the operator's page.

    python scripts/pictures.py docs

Needs Chromium (Debian: apt-get install chromium), or its path in CHROMIUM, and the extra ``dev``; about a minute.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser.operators import launched  # noqa: E402

WIDTH, HEIGHT = 1160, 1420
PAGE_HEIGHT = 1000
LIMIT = 300_000
SECONDS = 60.0
WRONG = '{"external_id": "digit-0001.png", "model": {"name": "digits"}, "output": {"scores": {"ONE": 0.9}}}\n'


def main(folder: Path) -> None:
    """Take both pictures."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.html"
        with demo(report) as found, served(found["environment"]) as (url, token):
            publish(found["environment"], Path(place) / "wrong.jsonl")
            with sync_playwright() as playwright:
                browser = launched(playwright)
                view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
                view.goto(report.as_uri())
                save(view.screenshot(), folder / "report.png")
                view.set_viewport_size({"width": WIDTH, "height": PAGE_HEIGHT})
                view.goto(url)
                view.get_by_label("Token").fill(token)
                view.get_by_label("Your name").fill("Ada")
                view.get_by_role("button", name="Log in").click()
                view.get_by_role("link", name="invalid_message").wait_for(timeout=SECONDS * 1000)
                save(view.screenshot(), folder / "page.png")
                browser.close()


@contextmanager
def demo(report: Path) -> Iterator[dict[str, Any]]:
    """The demo, left running, and how to connect to it."""
    command = [sys.executable, "-m", "worker", "demo", "--keep", "--json", "--html", str(report)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield json.loads(document(process.stdout))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(SECONDS)


def document(lines: IO[str]) -> str:
    """The JSON document that a command prints."""
    found = ""
    for line in lines:
        found += line
        if line.rstrip() == "}":
            return found
    raise SystemExit("the demo has ended")


@contextmanager
def served(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The operator's page of the demo's fleet: its address, and the token."""
    token = secrets.token_hex(16)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    settings = {"WORKER_SERVE__HOST": "127.0.0.1", "WORKER_SERVE__PORT": str(port), "WORKER_PAGE__TOKEN": token}
    command = [sys.executable, "-m", "worker", "serve"]
    process = subprocess.Popen(command, env={**os.environ, **environment, **settings}, cwd=ROOT)
    try:
        url, end = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
        while not listens(url):
            if time.monotonic() > end or process.poll() is not None:
                raise SystemExit("the page is not served")
            time.sleep(0.1)
        yield url, token
    finally:
        process.terminate()
        process.wait(SECONDS)


def listens(url: str) -> bool:
    """Whether the server answers."""
    try:
        return httpx.get(f"{url}/livez", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def publish(environment: Mapping[str, str], file: Path) -> None:
    """Send a message with mistakes, so that there is a dead letter."""
    file.write_text(WRONG)
    command = [sys.executable, "-m", "worker", "publish", str(file), "--quiet"]
    subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, check=True)


def save(data: bytes, picture: Path) -> None:
    """Keep a picture that a README can bear."""
    if len(data) > LIMIT:
        raise SystemExit(f"{picture.name}: {len(data)} bytes are too many for a picture in the README")
    picture.write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
