"""Logs: one JSON object a line, no secret in it, and no library that says the same thing all the time."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from worker.logs import configure_logging, password_of


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_line_is_an_object_with_an_action(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="INFO", form="json")
    logging.getLogger("worker.x").info("words\non two lines", extra={"action": "tested", "count": 3})
    logging.getLogger("other").warning("words")
    first, second = lines(capsys)
    assert (first["action"], first["count"], first["message"]) == ("tested", 3, "words\non two lines")
    assert second["action"] == "log"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_comes_out_of_no_message_argument_field_or_traceback(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    secret = "a+secret/word"
    configure_logging(level="INFO", form=form, secrets=["", secret])
    log = logging.getLogger("worker.x")
    log.info("in the message %s", secret, extra={"action": "tested", "url": f"redis://:{secret}@h"})
    log.error("in a traceback", exc_info=ValueError(secret))
    written = capsys.readouterr().err
    assert secret not in written
    assert "[secret]" in written


def test_a_library_warns_of_the_same_thing_once_a_minute_and_we_always_may(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("worker.logs.time.monotonic", lambda: clock[0])
    configure_logging(level="INFO", form="json")
    for _ in range(3):
        for name in ("kombu.transport", "worker.intake"):
            logging.getLogger(name).warning("cannot connect, attempt %d", 1)
        clock[0] += 25
    assert [line["logger"] for line in lines(capsys)].count("kombu.transport") == 1
    logging.getLogger("kombu.transport").warning("cannot connect, attempt %d", 9)
    logging.getLogger("kombu.transport").warning("something else")
    assert len(lines(capsys)) == 2


def test_the_password_of_a_url() -> None:
    assert password_of("redis://user:word@h/0") == "word"
    assert password_of("redis://h/0") == ""
