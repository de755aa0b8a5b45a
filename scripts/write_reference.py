"""Write the pages of the documentation that are made from the code: ``python -m scripts.write_reference``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scripts.reference import cli, exit_codes, formats, log_actions, settings

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli.page,
    "exit-codes.md": exit_codes.page,
    "log-actions.md": log_actions.page,
    "settings.md": settings.page,
    "../formats.md": formats.page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page().rstrip("\n") + "\n", "utf-8")
        print(FOLDER / name)
