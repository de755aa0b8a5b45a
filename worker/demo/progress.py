"""What the demo is doing, on standard error: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
from typing import TextIO

BAR = 24
PLAIN_STEPS = 4


class Progress:
    """Shows steps and how far the running one is.

    Args:
        stream: where to.
        is_live: whether a line may be drawn over; by default, whether the stream is a terminal.
    """

    def __init__(self, stream: TextIO, *, is_live: bool | None = None) -> None:
        self._stream = stream
        self._is_live = stream.isatty() if is_live is None else is_live
        self._open = False
        self._shown: tuple[str, int] = ("", 0)

    def say(self, words: str) -> None:
        """A line that stays."""
        self.end()
        self._write(f"{words}\n")

    def show(self, what: str, done: int, total: int, words: str = "") -> None:
        """How far ``what`` is; elsewhere than on a terminal only every quarter of it."""
        line = f"{what:<10} {done:>6,} of {total:,}  {words}".rstrip()
        if self._is_live:
            self._draw(f"{bar(done / total if total else 1, BAR)}  {line}")
        elif self._is_news(what, done, total):
            self._write(f"{line}\n")

    def end(self) -> None:
        """Leave the moving line as it is."""
        if self._open:
            self._write("\n")
            self._open = False

    def _draw(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._write(f"\r{line[:width]:<{width}}")
        self._open = True

    def _is_news(self, what: str, done: int, total: int) -> bool:
        news = (what, done * PLAIN_STEPS // max(1, total))
        is_news = news != self._shown and news[1] > 0
        self._shown = news
        return is_news

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def bar(share: float, width: int, *, full: str = "#", empty: str = ".") -> str:
    """A bar of ``width`` signs, filled to a share from 0 to 1."""
    filled = round(max(0.0, min(1.0, share)) * width)
    return full * filled + empty * (width - filled)
