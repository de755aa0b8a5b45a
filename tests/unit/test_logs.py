"""Logs: one JSON object a line, no secret in it, and no library that says the same thing all the time."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from worker.environment.logs import LineWriter, configure_logging, password_of


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
    monkeypatch.setattr("worker.environment.logs.clock.monotonic", lambda: clock[0])
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


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """(reading end, writing end), small enough to be filled soon."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def writer_to(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    monkeypatch.setattr(LineWriter, "PATIENCE_SECONDS", 0.01)
    logger = logging.Logger("worker.tested")
    logger.addHandler(LineWriter(descriptor))
    return logger


def test_a_pipe_that_nobody_reads_any_more_costs_lines_and_nothing_else(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = writer_to(pipe[1], monkeypatch)
    os.close(pipe[0])
    for number in range(3):
        logger.info("line %d", number)


def test_a_full_disk_costs_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    logger = writer_to(descriptor, monkeypatch)
    logger.info("line")
    os.close(descriptor)
    logger.info("line after the descriptor was closed")


def test_a_reader_that_has_stopped_reading_is_told_how_much_it_missed(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = pipe
    logger = writer_to(writing, monkeypatch)
    for _ in range(4):
        logger.info("x" * 30_000)
    text = b""
    while len(text) < 60_000:
        text += os.read(reading, 100_000)
    logger.info("heard again")
    text += os.read(reading, 100_000)
    whole, *_, lost, last = text.decode().splitlines()
    assert len(whole) == 30_000
    assert (lost, last) == ("2 lines before this one could not be written", "heard again")


def test_a_line_that_cannot_be_made_says_where_it_came_from(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = writer_to(pipe[1], monkeypatch)
    logger.info("%d", "no number")
    logger.info("a lone surrogate \udc80")
    first, second = os.read(pipe[0], 10_000).decode().splitlines()
    assert "test_logs.py" in first
    assert second == "a lone surrogate \\udc80"
