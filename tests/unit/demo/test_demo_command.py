"""The demo's command: exit codes, and what it prints where."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from outcome_examples import small_outcome

from worker.cli import main
from worker.demo.display import DemoProgress
from worker.demo.outcome import DemoResult
from worker.demo.run import wait_delivered
from worker.spool import Ledger

Run = Callable[..., tuple[int, str, str]]

GOOD = small_outcome()
BROKEN = replace(GOOD, broken_promises=["3 of 4 predictions have no INFERENCE label"])


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let the demo be played without any process; what is put into ``outcome`` comes of it."""
    told = SimpleNamespace(outcome=GOOD)
    worker = SimpleNamespace(pid=1, log=Path("worker.log"), tail=lambda: "last words")

    @contextmanager
    def demo_environment(*_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(worker=worker)

    def play(*_: object) -> tuple[str, DemoResult]:
        if isinstance(told.outcome, Exception):
            raise told.outcome
        if isinstance(told.outcome, signal.Signals):
            os.kill(os.getpid(), told.outcome)
        return "project", told.outcome

    monkeypatch.setattr("worker.demo.environment.demo_environment", demo_environment)
    monkeypatch.setattr("worker.demo.run.play", play)
    return told


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command: exit code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["demo", *arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_promises_that_hold_exit_with_0_and_show_the_table(played: Any, run: Run) -> None:
    code, output, log = run()

    assert code == 0
    assert "INFERENCE labels" in output
    assert "demo --keep" in output
    assert log == ""


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_broken_promise_exits_with_1_and_shows_the_workers_log(played: Any, run: Run, arguments: list[str]) -> None:
    played.outcome = BROKEN
    code, output, log = run(*arguments)

    assert code == 1
    assert BROKEN.broken_promises[0] in output
    assert "last words" in log


def test_json_is_all_that_goes_to_standard_output(played: Any, run: Run) -> None:
    found = json.loads(run("--json")[1])

    assert found["in_kili"]["assets"] == 4
    assert found["review"]["errors_by_chance"] == 0.5
    assert found["broken_promises"] == []
    assert found["drift"]["injected_class"] == "TWO"
    assert found["report"] == "demo-report.html"
    assert found["seconds"] >= 0


def test_every_option_has_an_environment_variable(played: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTION_WORKER_DEMO_JSON", "1")
    monkeypatch.setenv("PREDICTION_WORKER_DEMO_PREDICTIONS", "99")
    read = run()
    monkeypatch.setenv("PREDICTION_WORKER_DEMO_PREDICTIONS", "0")
    refused = run()

    assert json.loads(read[1])["published"]["messages"] == 7
    assert refused[0] == 2
    assert "0 is not in the range 36<=x<=3360" in refused[2]


def test_a_part_that_does_not_start_is_an_error_with_its_words(played: Any, run: Run) -> None:
    played.outcome = RuntimeError("no Redis server found: install one")
    code, _, log = run()

    assert code == 1
    assert "no Redis server found: install one" in log


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)], ids=str
)
def test_a_signal_ends_it_in_order(played: Any, run: Run, number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    played.outcome = number

    assert run()[0] == code
    assert signal.getsignal(number) is before


class Moving:
    """A spool whose ledger shows these states, the last one forever."""

    def __init__(self, *ledgers: Ledger) -> None:
        self._ledgers = list(ledgers)

    def ledger(self) -> Ledger:
        return self._ledgers.pop(0) if len(self._ledgers) > 1 else self._ledgers[0]


START, HALF, END = Ledger(), Ledger(3, delivered=1, waiting=1, dead=1), Ledger(3, delivered=1, superseded=1, dead=1)


def test_delivery_is_over_when_every_message_has_met_its_fate() -> None:
    stream = io.StringIO()
    spool: Any = Moving(START, HALF, END)

    assert wait_delivered(spool, 3, DemoProgress(stream), patience=60)
    assert stream.getvalue().splitlines()[-1] == "delivering      3 of 3  0 waiting, 1 dead"


def test_a_delivery_that_does_not_move_is_given_up() -> None:
    stream = io.StringIO()
    spool: Any = Moving(START, HALF)

    assert not wait_delivered(spool, 3, DemoProgress(stream), patience=0.1)
    assert "nothing has moved for 0.1 s" in stream.getvalue()
