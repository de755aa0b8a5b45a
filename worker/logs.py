"""Structured logs on standard error: one JSON object a line, always with an ``action``.

Code logs with ``logger.info("words", extra={"action": "wave_settled", …})``. Secrets are registered once and never
come out; payloads are never logged.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from pythonjsonlogger.json import JsonFormatter

_HIDDEN = "[secret]"


class _Redaction(logging.Filter):
    """Cut registered secrets out of the finished line's message, arguments and fields."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        words = sorted({word for word in secrets if word}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, words))) if words else None

    def cut(self, text: str) -> str:
        return self._pattern.sub(_HIDDEN, text) if self._pattern else text


class _Repeats(logging.Filter):
    """Let a library warn of the same thing once a minute, however often it tries again."""

    SECONDS = 60.0
    MOST = 1000

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or record.name.partition(".")[0] == "worker":
            return True
        key, now = (record.name, str(record.msg)[:200]), time.monotonic()
        if now - self._said.get(key, -self.SECONDS) < self.SECONDS:
            return False
        if len(self._said) > self.MOST:
            self._said.clear()
        self._said[key] = now
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(_Repeats())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "kombu", "amqp", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def password_of(url: str) -> str:
    """The password in a URL, or nothing."""
    return urlsplit(url).password or ""
