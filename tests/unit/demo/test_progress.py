"""Progress moves in place on a terminal, and is a handful of lines elsewhere."""

from __future__ import annotations

import io

import pytest

from worker.demo.display import DemoProgress, bar


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setenv("COLUMNS", "60")
    return io.StringIO()


def test_on_a_terminal_the_line_is_drawn_over_and_never_wider(stream: io.StringIO) -> None:
    progress = DemoProgress(stream, is_live=True)
    for done in (0, 50, 100):
        progress.show("delivering", done, 100, "words that are much too long for this terminal")
    progress.end()

    drawn = stream.getvalue().removesuffix("\n").split("\r")[1:]
    assert [len(line) for line in drawn] == [59, 59, 59]
    assert "\n" not in "".join(drawn)
    assert [line.count("#") for line in drawn] == [0, 12, 24]


def test_elsewhere_a_line_comes_with_every_quarter(stream: io.StringIO) -> None:
    progress = DemoProgress(stream, is_live=False)
    for done in range(101):
        progress.show("labeling", done, 100)

    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["25", "50", "75", "100"]


def test_a_line_that_stays_begins_below_the_moving_one(stream: io.StringIO) -> None:
    progress = DemoProgress(stream, is_live=True)
    progress.show("delivering", 1, 2)
    progress.write_line("worker stopped")
    progress.end()

    assert stream.getvalue().endswith("\nworker stopped\n")


def test_a_stream_that_is_no_terminal_gets_plain_lines(stream: io.StringIO) -> None:
    DemoProgress(stream).show("delivering", 1, 1)

    assert stream.getvalue() == "delivering      1 of 1\n"


@pytest.mark.parametrize(("share", "drawn"), [(0, "...."), (0.5, "##.."), (1, "####"), (7, "####"), (-1, "....")])
def test_a_bar_is_filled_to_its_share(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn
