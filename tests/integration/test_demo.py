"""The demo as a person or a script runs it: real processes, a shell with settings of its own, nothing left over."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.awaiting import awaited
from worker.demo.display import DemoProgress
from worker.demo.environment import demo_environment
from worker.demo.plan import load_digits, make_plan
from worker.demo.run import policy_text

PREDICTIONS, DUPLICATES, OUTDATED, BAD = 300, 15, 2, 10
OTHER_SETTINGS = {
    "CELERY_BROKER_URL": "amqp://127.0.0.1:9",
    "KILI_API_KEY_FILE": "/nonexistent/key",
    "WORKER_INTAKE__QUEUE": "other",
    "HTTP_PROXY": "http://127.0.0.1:9",
}


class Shell:
    """Starts demos in a temporary folder of their own, by which everything they start and write can be found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "temporary"
        self.folder.mkdir()
        self.page = folder / "report.html"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, **OTHER_SETTINGS, "TMPDIR": str(self.folder), "PYTHONUNBUFFERED": "1"}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, "-m", "worker", "demo", "--html", str(self.page), *arguments]
        return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)

    def processes(self) -> list[int]:
        """Everything that was started from here and still runs."""
        return [process.pid for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            ours = process.environ().get("TMPDIR") == str(self.folder)
            return ours and process.status() != psutil.STATUS_ZOMBIE
        return False


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    for pid in shell.processes():
        os.kill(pid, signal.SIGKILL)


def read_until(stream: Any, words: str) -> list[str]:
    """Lines up to the one that holds ``words``."""
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"{words!r} was not said:\n{''.join(lines)}")


def test_the_sums_agree_with_each_other_and_nothing_is_left_over(shell: Shell) -> None:
    demo = shell.start("--json", "--predictions", str(PREDICTIONS))
    output, log = demo.communicate(timeout=90)
    assert demo.returncode == 0, log
    found = json.loads(output)
    published, kili, ledger, review = (found[part] for part in ("published", "in_kili", "ledger", "review"))

    assert published["messages"] == published["celery"] + published["stream"]
    assert published["messages"] == PREDICTIONS + DUPLICATES + OUTDATED + BAD
    assert kili["assets"] == kili["inference_labels"] == PREDICTIONS
    assert kili["duplicate_assets"] == kili["duplicate_labels"] == kili["missing"] == kili["wrong_labels"] == 0
    assert kili["calls"] == sum(kili["calls_by_operation"].values())
    assert kili["calls_per_100_predictions"] == round(100 * kili["calls"] / PREDICTIONS, 2)
    assert kili["calls_by_operation"].keys() >= {"appendManyAssets", "appendManyLabels", "updatePropertiesInAssets"}
    assert ledger["received"] == published["messages"] == ledger["delivered"] + ledger["superseded"] + BAD
    assert ledger["balance"] == ledger["waiting"] == ledger["leased"] == 0
    assert sum(group["count"] for group in found["dead_letters"]) == ledger["dead"] == BAD
    assert all(field for group in found["dead_letters"] for field in group["fields"])
    plan = make_plan(load_digits(), PREDICTIONS)
    assert review["errors"] == sum(one.is_wrong for one in plan.predictions)
    assert (review["reviewed"], review["assets"]) == (75, PREDICTIONS)
    assert review["errors_by_chance"] < review["errors_found"] <= review["errors"]
    answered = {row["model"]: (row["predictions"], row["answered"]) for row in found["agreement"]}
    assert sum(count for count, _ in answered.values()) == PREDICTIONS
    assert sum(count for _, count in answered.values()) == 75
    assert (found["drift"]["injected_model"], found["drift"]["injected_class"]) == ("digit-bayes:2", "FIVE")
    assert (found["report"], "digit-bayes:2" in shell.page.read_text("utf-8")) == (str(shell.page), True)
    assert found["broken_promises"] == []
    assert shell.processes() == []
    assert list(shell.folder.iterdir()) == []


@pytest.mark.slow
def test_as_it_is_shown_to_users_it_tells_the_drift_that_it_injects(shell: Shell) -> None:
    """A few hundred predictions, as in the case above, are too few for any detector; the default is not."""
    demo = shell.start("--json")
    output, log = demo.communicate(timeout=115)
    assert demo.returncode == 0, log
    found = json.loads(output)["drift"]
    named = [alarm["lost"] for alarm in found["alarms"] if alarm["model"] == found["injected_model"]]
    assert found["injected_class"] in {lost[0] for lost in named if lost}, found


def test_kept_it_can_be_looked_at_until_an_interrupt_ends_it(shell: Shell) -> None:
    demo = shell.start("--keep", "--predictions", "40")
    said = "".join(read_until(demo.stderr, "Ctrl-C stops everything"))
    environment = {**os.environ, **dict(re.findall(r"export (\w+)=(\S+)", said))}
    status = [sys.executable, "-m", "worker", "status", "--json"]
    ledger = json.loads(subprocess.check_output(status, env=environment, timeout=30))["ledger"]

    assert (ledger["balance"], ledger["dead"]) == (0, BAD)
    assert Path(re.findall(r"log +(\S+)", said)[0]).read_text("utf-8")
    assert len(shell.processes()) > 3

    os.killpg(demo.pid, signal.SIGINT)
    _, rest = demo.communicate(timeout=30)
    assert demo.returncode == 0
    assert "Traceback" not in rest
    assert shell.processes() == []
    assert list(shell.folder.iterdir()) == []


def test_killed_in_mid_delivery_it_takes_every_process_along(shell: Shell) -> None:
    demo = shell.start()
    read_until(demo.stderr, "delivering")
    assert len(shell.processes()) > 3

    demo.kill()
    demo.communicate(timeout=30)

    awaited(lambda: shell.processes() == [], "every process has ended")


def test_when_it_fails_the_workers_log_is_shown_and_all_parts_end() -> None:
    stream = io.StringIO()
    pids: list[int] = []
    folders: list[Path] = []

    def fail_inside() -> None:
        with demo_environment(
            {"digit-0000.png": load_digits().images[0]}, policy_text(0), DemoProgress(stream)
        ) as parts:
            pids.extend([parts.worker.pid, parts.sandbox.pid])
            folders.append(parts.worker.log.parent)
            assert (folders[0] / "pictures" / "digit-0000.png").read_bytes().startswith(b"\x89PNG")
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail_inside()

    assert "the worker's log ends:" in stream.getvalue()
    assert "started" in stream.getvalue()
    assert not any(map(psutil.pid_exists, pids))
    assert not folders[0].exists()
