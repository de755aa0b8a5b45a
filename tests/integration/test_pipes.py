"""Every argument that takes `-`, tried as a shell uses it: through a real pipe, a device, a process substitution."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
import redis

from tests.forking import served
from tests.nursery import spawn
from worker.cli import COMMANDS, main
from worker.cli.running import count_of
from worker.demo.environment import LocalKili
from worker.environment.embedded_redis import EmbeddedRedis
from worker.sandbox.process import SandboxProcess

LINES = [
    json.dumps(
        {
            "project_id": "p",
            "external_id": f"pipe/{number}",
            "model": {"name": "m", "version": "1"},
            "output": {"scores": {"ONE": 0.9, "TWO": 0.1}},
            "predicted_at": "2026-01-01T00:00:00Z",
        }
    )
    for number in range(3)
]
INTERFACE = {
    "jobs": {"J": {"mlTask": "CLASSIFICATION", "required": 1, "content": {"input": "radio", "categories": {}}}}
}
TRIED = {
    ("publish", "file"),
    ("explain", "file"),
    ("explain", "interface"),
    ("policy simulate", "file"),
    ("evaluate", "file"),
    ("report", "export"),
}
"""Every command's parameters that take a file or `-`."""


STARTED = f'"{sys.executable}" -m worker'


@pytest.fixture(scope="module", autouse=True)
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What `pw` is in the lines: forked, for the lines are many and Python takes a second to import the product."""
    with served(tmp_path_factory.mktemp("pw")) as command, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PW", command)
        yield


@pytest.fixture
def place(tmp_path: Path, redis_server: EmbeddedRedis, client: redis.Redis) -> Path:
    (tmp_path / "f.jsonl").write_text("\n".join(LINES) + "\n")
    (tmp_path / "one.json").write_text(LINES[0])
    (tmp_path / "interface.json").write_text(json.dumps(INTERFACE))
    (tmp_path / "empty").touch()
    return tmp_path


def shell(place: Path, redis_server: EmbeddedRedis, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `pw` is the command."""
    script = f'set -o pipefail\npw() {{ eval "$PW \\"\\$@\\""; }}\n{line}'
    known = {**os.environ, "REDIS_URL": redis_server.url, "KILI_API_KEY": "key", **environment}
    return subprocess.run(
        ["bash", "-c", script], cwd=place, env=known, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "line",
    [
        "head -2 f.jsonl | pw publish -",
        "cat one.json | pw explain - --interface <(cat interface.json)",
        "pw publish - nonsense < /dev/null",
        "pw schema | head -1",
    ],
)
def test_a_command_that_the_shell_starts_says_what_the_forked_one_says(
    place: Path, redis_server: EmbeddedRedis, line: str
) -> None:
    started, forked = (shell(place, redis_server, line, **known) for known in ({"PW": STARTED}, {}))
    assert (started.returncode, started.stdout) == (forked.returncode, forked.stdout)
    assert started.stdout + started.stderr
    assert started.stderr.replace("python -m worker", "worker") == forked.stderr.replace("python -m worker", "worker")


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ("head -2 f.jsonl | pw publish -", 2),
        ("head -2 f.jsonl | pw publish --via celery -", 2),
        ("pw publish --quiet f.jsonl", 3),
        ("pw publish - < f.jsonl", 3),
        ("pw publish <(head -1 f.jsonl)", 1),
        ("pw publish f.jsonl --chunk 1", 3),
        ("pw publish empty", 0),
        ("pw publish --quiet empty", 0),
        ("pw publish - < /dev/null", 0),
        ("pw publish /dev/null", 0),
        ("pw publish - < empty", 0),
        ("true | pw publish -", 0),
        ("{ read -r; pw publish -; } < f.jsonl", 2),
    ],
)
def test_publish_takes_what_a_shell_gives(place: Path, redis_server: EmbeddedRedis, line: str, sent: int) -> None:
    found = shell(place, redis_server, line)
    assert (found.returncode, found.stdout) == (0, f"{count_of(sent, 'prediction')} sent\n"), found.stderr
    with redis.Redis.from_url(redis_server.url) as client:
        waiting = client.llen("predictions") if "celery" in line else client.xlen("predictions:inbox")
    assert waiting == (1 if "celery" in line else sent)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("head -1 f.jsonl | pw explain -", "confidence     0.900"),
        ("pw explain <(head -1 f.jsonl)", "confidence     0.900"),
        ("cat interface.json | pw explain one.json --interface -", "unknown_class"),
        ("cat one.json | pw explain - --interface <(cat interface.json)", "unknown_class"),
        ("pw explain - --interface - < one.json", "cannot both be standard input"),
        ("cat f.jsonl | pw policy simulate -", "predictions"),
        ("pw policy simulate - < /dev/null", "holds no message"),
        ("pw policy simulate f.jsonl --plot -", "name a file"),
        ("pw schema | head -1", "{"),
        ("pw check --explain | head -1", "KILI_API_KEY"),
    ],
)
def test_other_commands_take_what_a_shell_gives(
    place: Path, redis_server: EmbeddedRedis, line: str, words: str
) -> None:
    found = shell(place, redis_server, line)
    told = found.stdout + found.stderr
    assert words in told or (words == "unknown_class" and "no category of job J" in told), told
    assert "Traceback" not in told
    assert list(place.glob("-*")) == []


@pytest.fixture(scope="module")
def kili() -> Iterator[tuple[str, Mapping[str, str]]]:
    """A project in a local Kili, and the settings that lead there."""
    with SandboxProcess(spawn=spawn) as sandbox:
        with LocalKili(sandbox.endpoint, sandbox.admin_url, sandbox.api_key) as client:
            project = client.create_project("pipes")
        yield project, {"KILI_API_ENDPOINT": sandbox.endpoint, "KILI_API_KEY": sandbox.api_key}


def test_evaluate_and_report_take_what_a_shell_gives(
    place: Path, redis_server: EmbeddedRedis, kili: tuple[str, Mapping[str, str]]
) -> None:
    project, settings = kili
    line = f"cat f.jsonl | pw evaluate - --project {project} --model m:1 --no-upload"
    evaluated = shell(place, redis_server, line, **settings)
    assert evaluated.returncode == 1
    assert "nothing could be evaluated" in evaluated.stderr
    empty = shell(place, redis_server, f"pw report --project {project}", **settings)
    assert "review: the built-in policy" in empty.stdout
    assert "once people have labeled assets of the audit sample" in empty.stdout
    threshold = shell(
        place, redis_server, f"pw report --project {project}", WORKER_REVIEW__RULE="threshold", **settings
    )
    assert "WORKER_REVIEW__RULE=ranked" in threshold.stdout
    exported = shell(place, redis_server, f"pw report --project {project} --export - | cat", **settings)
    assert exported.returncode == 0, exported.stderr
    assert "0 answered predictions written" in exported.stderr


def test_every_parameter_that_takes_a_dash_is_tried() -> None:
    assert set(_takes_a_dash()) == TRIED


def _takes_a_dash() -> Iterator[tuple[str, str]]:
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        inner = command.commands if isinstance(command, click.Group) else {"": command}
        for sub, one in inner.items():
            for parameter in one.params:
                if isinstance(parameter.type, click.File) or getattr(parameter.type, "allow_dash", False):
                    yield f"{name} {sub}".strip(), str(parameter.name)


@pytest.mark.parametrize("line", ["gzip -c f.jsonl | pw publish -", "gzip -k f.jsonl && pw publish f.jsonl.gz"])
def test_what_is_compressed_is_sent_line_by_line(
    place: Path, redis_server: EmbeddedRedis, client: redis.Redis, line: str
) -> None:
    found = shell(place, redis_server, line)
    assert (found.returncode, found.stdout) == (0, "3 predictions sent\n"), found.stderr
    assert client.xlen("predictions:inbox") == 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("printf '[\\n{}\\n]\\n' | pw publish -", "one JSON document over many lines"),
        ("python3 -m json.tool one.json | pw publish -", "one JSON document over many lines"),
        ("gzip -c f.jsonl | head -c 30 | pw publish -", "the gzip file is broken"),
    ],
)
def test_what_is_no_json_lines_is_refused_before_anything_is_sent(
    place: Path, redis_server: EmbeddedRedis, client: redis.Redis, line: str, told: str
) -> None:
    found = shell(place, redis_server, line)
    assert found.returncode == 1
    assert told in found.stderr
    assert "Traceback" not in found.stderr
    assert client.xlen("predictions:inbox") == 0
