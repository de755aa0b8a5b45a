"""What the documentation shows works as it stands: commands, settings, configuration files, programs, first steps."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import redis
from click.testing import CliRunner

from tests.awaiting import free_port
from tests.nursery import spawn
from worker.cli import main
from worker.contract import ReadingLimits, read_json, read_message
from worker.environment.embedded_redis import EmbeddedRedis
from worker.projects.configuration import read_projects_file
from worker.sandbox.faults import Script
from worker.sandbox.process import SandboxProcess
from worker.settings.tree import environment_names

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    if path.name != "CHANGELOG.md"
}
COMPOSED = {
    f"{name}": (ROOT / name).read_text("utf-8") for name in ("docker-compose.yml", "docker-compose.sandbox.yml")
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"prediction-worker((?: +(?:'[^']*'|\"[^\"]*\"|[^\s`|&;#<>]+))+)")
PLACEHOLDERS = {"ID": "1-1", "N": "1", "SECONDS": "1", "…": "x"}


def blocks(page: str, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(PAGES[page]) if name == language]


def calls() -> Iterator[tuple[str, str]]:
    """(page, arguments) of every call of the command in code: blocks, indented lines and inline."""
    for page, text in (PAGES | COMPOSED).items():
        inline = "\n".join(re.findall(r"`(prediction-worker [^`]+)`", re.sub(BLOCK, "", text)))
        fenced = "\n".join(body for _, body in BLOCK.findall(text))
        indented = "\n".join(re.findall(r"^ {4}(prediction-worker .+)$", text, re.MULTILINE))
        for arguments in CALL.findall("\n".join((inline, fenced, indented))):
            yield page, arguments.strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files under the names that the pages use."""
    for name in (
        "FILE",
        "CASES",
        "INTERFACE",
        "script.json",
        "cases.yaml",
        "policy.toml",
        "message.json",
        "predictions.jsonl",
    ):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


CALLS = sorted(set(calls()))


@pytest.mark.parametrize(("page", "arguments"), CALLS)
def test_a_command_that_a_page_shows_is_understood(folder: Path, page: str, arguments: str) -> None:
    typed = re.split(r" {2,}", arguments)[0]  # behind two spaces a list of commands has its words
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(re.sub(r"[\[\]]", "", typed).rstrip(".,:;)"))]
    for word in words[1:]:
        if re.search(r"\w[./]\w", word) and not word.startswith(("/", "http")):
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).touch()
    assert wrong_with(words) in ("", "in a container") or len(words) == 1, (
        "a page shows a whole call or the command alone"
    )


def wrong_with(words: list[str]) -> str:
    """What the command line finds wrong with a call, without making it."""
    try:
        with main.make_context("prediction-worker", list(words)) as parent:
            name, command, rest = main.resolve_command(parent, list(words))
            assert command is not None
            command.make_context(name, list(rest), parent=parent).close()
    except click.exceptions.Exit as ended:
        return "" if ended.exit_code == 0 else "exit"
    except click.UsageError as error:
        return "in a container" if any(word.startswith("/reports/") for word in words) else error.format_message()
    return ""


def test_the_pages_show_every_command() -> None:
    shown = {arguments.split()[0] for _, arguments in CALLS}
    assert len(CALLS) > 30
    assert set(main.list_commands(click.Context(main))) - shown == {"demo"}, "README shows `make demo`"


def test_every_setting_that_a_page_names_exists() -> None:
    for page, text in (PAGES | COMPOSED).items():
        named = set(re.findall(r"\bWORKER_[A-Z_]*[A-Z]\b", text))
        assert named <= environment_names(), page


@pytest.mark.parametrize(("page", "text"), [("docs/messages.md", text) for text in blocks("docs/messages.md", "json")])
def test_a_message_that_a_page_shows_is_one(page: str, text: str) -> None:
    read_message(read_json(text.encode(), ReadingLimits()))


def test_the_projects_files_that_a_page_shows_can_be_read(tmp_path: Path) -> None:
    shown = [text for text in blocks("docs/formats.md", "toml") if re.search(r'^\["', text, re.MULTILINE)]
    assert shown
    for text in shown:
        (tmp_path / "projects.toml").write_text(text)
        assert read_projects_file(tmp_path / "projects.toml")


def test_the_cases_that_a_page_shows_pass_under_the_policy_beside_them(tmp_path: Path) -> None:
    (policy,) = blocks("docs/review.md", "toml")
    (cases,) = blocks("docs/review.md", "yaml")
    (tmp_path / "policy.toml").write_text(policy)
    (tmp_path / "cases.yaml").write_text(cases)
    arguments = ["policy", "test", str(tmp_path / "cases.yaml"), "--policy", str(tmp_path / "policy.toml")]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 0, found.output
    assert found.output.count("passed") == cases.count("- name:")


def test_the_program_on_learning_runs() -> None:
    (program,) = blocks("docs/review.md", "python")
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_fault_script_that_a_page_shows_is_one() -> None:
    (text,) = blocks("docs/sandbox.md", "json")
    Script(json.loads(text))


@pytest.mark.parametrize("page", ["README.md", "docs/messages.md"])
def test_a_producer_that_a_page_shows_sends(redis_server: EmbeddedRedis, client: redis.Redis, page: str) -> None:
    (program,) = (text for text in blocks(page, "python") if "send_task" in text)
    here = re.sub(r'broker="[^"]+"', f'broker="{redis_server.url}"', program)
    subprocess.run([sys.executable, "-c", f"prediction = {{}}\n{here}"], check=True, timeout=60)
    assert client.llen("predictions") == 1


def test_the_project_that_a_page_makes_in_the_sandbox_is_made() -> None:
    (program,) = blocks("docs/sandbox.md", "python")
    with SandboxProcess(spawn=spawn) as sandbox:
        here = re.sub(r'api_endpoint="[^"]+"', f'api_endpoint="{sandbox.endpoint}"', program)
        here = re.sub(r'api_key="[^"]+"', f'api_key="{sandbox.api_key}"', here)
        subprocess.run([sys.executable, "-c", f"{here}\nassert project['id']"], check=True, timeout=60)


def first_steps() -> str:
    """README's lines for who has no account, without the installation, on ports that are free here."""
    (text,) = (text for text in blocks("README.md", "sh") if "--demo-project" in text)
    assert text.startswith("pip install")
    ports = {"8765": free_port(), "6379": free_port()}
    text = text.partition("\n")[2].replace("8765", str(ports["8765"]))
    text = text.replace("worker redis", f"worker redis --port {ports['6379']}")
    text = text.replace("worker sandbox", f"worker sandbox --port {ports['8765']}")
    text = text.replace("prediction-worker", f"{shlex.quote(sys.executable)} -m worker")
    return f"export REDIS_URL=redis://127.0.0.1:{ports['6379']}/0\n{text}"


def test_the_first_steps_lead_to_a_prediction_in_the_local_kili(tmp_path: Path) -> None:
    """As typed, but for a person's pauses: every line waits until what it needs is there."""
    lines = first_steps().splitlines()
    pause = "for _ in $(seq 200); do {} > /dev/null 2>&1 && break; sleep 0.1; done"
    python = f"{shlex.quote(sys.executable)} -m worker"
    script = []
    for line in lines:
        if f"{python} check" in line:
            script.append(pause.format(line.partition("#")[0]))
        if f"{python} status" in line:
            script.append(pause.format(f"{python} status | grep -q ' 1 delivered'"))
        script.append(line)
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ended = "trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT"
    found = subprocess.run(
        ["bash", "-c", "\n".join([ended, *script])],
        cwd=tmp_path,
        env={**known, "PYTHONPATH": str(ROOT), "WORKER_HEARTBEAT_FILE": str(tmp_path / "beat")},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    told = found.stdout
    assert "ok       project: Digits" in told, told + found.stderr
    assert "1 prediction sent" in told
    assert " = 1 delivered" in told
    state: dict[str, Any] = (
        json.loads(told.strip().splitlines()[-1]) if told.strip().splitlines()[-1][:1] == "{" else {}
    )
    text = json.dumps(state) if state else told
    assert '"INFERENCE"' in text
    assert "digit-1.png" in text
