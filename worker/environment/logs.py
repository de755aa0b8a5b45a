"""Structured logs on standard error: one JSON object a line, always with an ``action``.

Writing never fails and never waits for long, whoever reads the lines or no longer does: work and draining go on.

Code logs with ``logger.info("words", extra={"action": "wave_settled", …})``. Secrets are registered once and never
come out; payloads are never logged.
"""

from __future__ import annotations

import logging
import os
import re
import select
import sys
from collections.abc import Iterable
from typing import TextIO
from urllib.parse import urlsplit

from pythonjsonlogger.json import JsonFormatter

from worker.environment import clock

_HIDDEN = "[secret]"


class _Redaction(logging.Filter):
    """Cut registered secrets out of the finished line's message, arguments and fields."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        message = sorted({word for word in secrets if word}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, message))) if message else None

    def cut(self, text: str) -> str:
        return self._pattern.sub(_HIDDEN, text) if self._pattern else text


class LineWriter(logging.Handler):
    """Writes lines to a descriptor; those that it does not take in time are lost, counted, and said when it does.

    A signal's handler may log in the middle of another line: nothing is buffered and no lock is waited for.

    Args:
        descriptor: of a file, a pipe or a terminal.
    """

    PATIENCE_SECONDS = 1.0
    PIECE = select.PIPE_BUF
    """Bytes that a pipe which can be written to takes without waiting."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lost = 0
        self._broke_off = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or count it as lost."""
        if self._lost and self._put(self._line(_lost_lines(self._lost))):
            self._lost = 0
        if self._lost or not self._put(self._line(record)):
            self._lost += 1

    def _line(self, record: logging.LogRecord) -> bytes:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a line that cannot be made must not end what it was to tell of
            line = f"a line of {record.pathname}:{record.lineno} cannot be made: {error!r}"
        return f"{line}\n".encode("utf-8", "backslashreplace")

    def _put(self, line: bytes) -> bool:
        line = b"\n" + line if self._broke_off else line
        whole, patience = len(line), 0.0 if self._lost else self.PATIENCE_SECONDS
        try:
            while line and self._is_free(patience):
                line = line[os.write(self._descriptor, line[: self.PIECE]) :]
        except OSError:  # nobody reads any more, the disk is full: there is no other place to say so
            pass
        self._broke_off = bool(line) and (self._broke_off or len(line) < whole)
        return not line

    def _is_free(self, patience: float) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(patience * 1000))


def _lost_lines(count: int) -> logging.LogRecord:
    message = "%d lines before this one could not be written"
    record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (count,), None)
    record.action = "log_lines_lost"
    return record


class _Repeats(logging.Filter):
    """Let a library warn of the same thing once a minute, however often it tries again."""

    SECONDS = 60.0
    MOST = 1000

    def __init__(self) -> None:
        super().__init__()
        self._logged: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or record.name.partition(".")[0] == "worker":
            return True
        key, now = (record.name, str(record.msg)[:200]), clock.monotonic()
        if now - self._logged.get(key, -self.SECONDS) < self.SECONDS:
            return False
        if len(self._logged) > self.MOST:
            self._logged.clear()
        self._logged[key] = now
        return True


def _redacting(base: type[logging.Formatter]) -> type[logging.Formatter]:
    class Redacting(base):  # type: ignore[valid-type, misc]
        redaction: _Redaction

        def format(self, record: logging.LogRecord) -> str:
            return self.redaction.cut(super().format(record))

    return Redacting


class _JsonLine(JsonFormatter):
    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "at", "levelname": "level", "name": "logger"},
            defaults={"action": "log"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
            json_ensure_ascii=False,
        )


class _TextLine(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")


def configure_logging(*, level: str, form: str, secrets: Iterable[str] = ()) -> None:
    """Send every log of the process to standard error.

    Args:
        level: least level that is written.
        form: ``json`` or ``text``.
        secrets: words that must never come out, such as the API key.
    """
    formatter = _redacting(_JsonLine if form == "json" else _TextLine)()
    formatter.redaction = _Redaction(secrets)  # type: ignore[attr-defined]
    handler = _handler_of(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(_Repeats())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "kombu", "amqp", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _handler_of(stream: TextIO) -> logging.Handler:
    try:
        return LineWriter(stream.fileno())
    except (OSError, ValueError, AttributeError):  # no descriptor behind it
        return logging.StreamHandler(stream)


def password_of(url: str) -> str:
    """The password in a URL, or nothing."""
    return urlsplit(url).password or ""
