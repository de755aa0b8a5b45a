"""What `check` lets pass `start` can run, what `start` cannot run `check` names; ready is who can work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from tests.awaiting import PATIENCE, awaited
from tests.nursery import spawn
from worker.cli import main
from worker.demo.environment import LocalKili, WorkerProcess
from worker.environment.connections import connect
from worker.environment.embedded_redis import EmbeddedRedis, find_server
from worker.monitoring.checks import COMMANDS, Check, startup_checks
from worker.monitoring.progress import read_heartbeat
from worker.producer import Publisher
from worker.sandbox.process import SandboxProcess
from worker.settings.tree import Settings

ROOT = Path(__file__).parents[2]
ALL = ["~*", "&*", "+@all"]


@pytest.fixture
def documented() -> list[str]:
    """The rights that the documentation names."""
    (line,) = re.findall(
        r"^ACL SETUSER worker on >PASSWORD (.+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE
    )
    return line.split()


@pytest.fixture
def user(redis_server: EmbeddedRedis, client: redis.Redis) -> Iterator[redis.Redis]:
    """Sets the rights of the user `limited`, which the case gives."""
    yield client
    client.acl_deluser("limited")


def url_of(redis_server: EmbeddedRedis) -> str:
    return redis_server.url.replace("redis://", "redis://limited:word@")


def grant(client: redis.Redis, *rights: str) -> None:
    client.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">word", "resetchannels", *rights)
    client.execute_command("ACL", "LOG", "RESET")


def refused(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[Check]:
    for name, value in {"KILI_API_KEY": "key", **environment}.items():
        monkeypatch.setenv(name, value)
    return [check for check in startup_checks(Settings()) if check.level == "refused"]


@pytest.mark.servers("ends")
@pytest.mark.parametrize(
    ("rights", "words"),
    [
        (["~*", "+@all"], "channel"),
        (["~*", "+@all", "&/0.celeryev/*"], "channel"),
        (["~*", "+@all", "&/0.celery.pidbox"], "channel"),
        (["~pw:*", "+@all", "&*"], "predictions"),
        (["~predictions*", "+@all", "&*"], "pw:check"),
        (["~pw:*", "~predictions*", "+@all", "&*"], "use the key unacked"),
        ([*ALL, "-@stream"], "XADD"),
        ([*ALL, "-@scripting"], "eval"),
        ([*ALL, "-@sortedset"], "ZADD"),
        ([*ALL, "-xautoclaim"], "XAUTOCLAIM"),
        ([*ALL, "-brpop"], "BRPOP"),
        ([*ALL, "-info"], "info"),
    ],
    ids=str,
)
def test_a_right_that_is_missing_is_named_with_those_that_are_needed(
    redis_server: EmbeddedRedis,
    user: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    rights: list[str],
    words: str,
) -> None:
    grant(user, *rights)
    (found,) = refused(monkeypatch, REDIS_URL=url_of(redis_server))
    assert words in found.problem
    assert "ACL SETUSER" in found.fix
    assert "word@" not in found.problem


def test_checking_leaves_nothing_and_takes_nothing(
    redis_server: EmbeddedRedis, user: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Publisher(redis_server.url) as stream, Publisher(redis_server.url, via="celery") as queue:
        stream.send({"external_id": "a"})
        queue.send({"external_id": "b"})
    grant(user, *ALL)
    assert refused(monkeypatch, REDIS_URL=url_of(redis_server)) == []
    assert (user.xlen("predictions:inbox"), user.llen("predictions")) == (1, 1)
    assert user.xinfo_groups("predictions:inbox") == []
    assert [key for key in user.keys("pw:*") if b"check" in key] == []
    assert list(user.keys("*check*pidbox*")) == []


@pytest.mark.servers("all")
def test_the_documented_rights_are_enough_to_work(
    redis_server: EmbeddedRedis,
    user: redis.Redis,
    documented: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    grant(user, *documented)
    monkeypatch.setenv("REDIS_URL", url_of(redis_server))
    with (
        SandboxProcess(spawn=spawn) as sandbox,
        LocalKili(sandbox.endpoint, sandbox.admin_url, sandbox.api_key) as kili,
    ):
        project = kili.create_project("rights")
        access = {"KILI_API_ENDPOINT": sandbox.endpoint, "KILI_API_KEY": sandbox.api_key}
        assert refused(monkeypatch, **access) == []
        with WorkerProcess({"REDIS_URL": url_of(redis_server), **access}, tmp_path, spawn=spawn):
            for via in ("stream", "celery"):
                with Publisher(url_of(redis_server), via=via) as publisher:  # type: ignore[arg-type]
                    publisher.send(message(project, via))
            awaited(lambda: len(kili.assets(project)) == 2)
            awaited(lambda: trouble(tmp_path) == "")
    denied = [_text(entry)["object"] for entry in user.acl_log()]
    assert set(denied) <= {"client"}, "CLIENT SETINFO alone, which the client library can do without"


def _text(entry: Mapping[Any, Any]) -> dict[str, str]:
    """Names and values of an entry of the log, whichever of them the client leaves as bytes."""
    return {
        str(name, "utf-8") if isinstance(name, bytes) else name: str(value, "utf-8")
        if isinstance(value, bytes)
        else str(value)
        for name, value in entry.items()
    }


def message(project: str, name: str) -> Mapping[str, object]:
    return {
        "project_id": project,
        "external_id": name,
        "asset": {"url": f"https://example.com/{name}"},
        "model": {"name": "m", "version": "1"},
        "output": {"scores": {"ONE": 0.9, "TWO": 0.1}},
        "predicted_at": datetime.now(UTC).isoformat(),
    }


def test_a_worker_that_celery_throws_out_lives_and_is_not_ready(
    redis_server: EmbeddedRedis, user: redis.Redis, tmp_path: Path
) -> None:
    grant(user, "~*", "+@all")
    environment = {**os.environ, "REDIS_URL": url_of(redis_server), "KILI_API_KEY": "key"}
    beat = tmp_path / "beat"
    ended = run("start", **environment)
    assert (ended.returncode, "channel" in ended.stderr) == (1, True)
    command = [sys.executable, "-m", "worker", "start", "--unchecked"]
    with subprocess.Popen(
        command, env={**environment, "WORKER_HEARTBEAT_FILE": str(beat)}, stderr=subprocess.DEVNULL
    ) as child:
        try:
            awaited(beat.exists)
            for _ in range(3):  # at each heartbeat, while Celery connects again and again
                seen = beat.read_text()
                awaited(lambda before=seen: beat.read_text() != before)  # type: ignore[misc]
                assert CliRunner().invoke(main, ["health", "--file", str(beat)]).exit_code == 0
                ready = CliRunner().invoke(main, ["health", "--ready", "--file", str(beat)])
                assert (ready.exit_code, "not connected" in ready.output) == (1, True)
        finally:
            child.terminate()


@pytest.fixture
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Redis that listens on a Unix socket alone."""
    folder = tmp_path_factory.mktemp("s")
    binary = find_server()
    assert binary is not None
    command = [str(binary), "--port", "0", "--unixsocket", str(folder / "r.sock"), "--dir", str(folder)]
    with subprocess.Popen([*command, "--appendonly", "yes"], stdout=subprocess.DEVNULL) as server:
        awaited((folder / "r.sock").exists)
        yield folder / "r.sock"
        server.terminate()


@pytest.mark.parametrize("form", ["unix://{}?db=2", "redis+socket://{}?virtual_host=2"])
def test_a_unix_socket_is_one_redis_for_check_start_and_publish(
    socket: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    url = form.format(socket)
    assert refused(monkeypatch, REDIS_URL=url) == []
    environment = {"REDIS_URL": url, "KILI_API_KEY": "key", "KILI_API_ENDPOINT": "http://127.0.0.1:9/graphql"}
    with WorkerProcess(environment, tmp_path, spawn=spawn):
        awaited(lambda: trouble(tmp_path) == "")
        with Publisher(url, via="celery") as publisher:
            publisher.send(b"no json")
        with connect(f"unix://{socket}?db=2") as client:
            awaited(lambda: client.hget("pw:dead:causes", "not_json") == b"1" or bool(client.hgetall("pw:dead:causes")))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("WORKER_REVEW__THRESHOLD", "WORKER_REVIEW__THRESHOLD"),
        ("WORKER_DELIVERY_LINGER_SECONDS", "WORKER_DELIVERY__LINGER_SECONDS"),
        ("WORKER_DELIVERY__LINGER_SECOND", "WORKER_DELIVERY__LINGER_SECONDS"),
        ("WORKER_PROJECT_FILE", "WORKER_PROJECTS_FILE"),
        ("worker_log_level", "WORKER_LOG__LEVEL"),
        ("WORKER_NONSENSE__X", "check --explain"),
    ],
)
@pytest.mark.parametrize("command", ["check", "start"])
def test_a_misspelt_variable_is_named_with_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch, redis_server: EmbeddedRedis, command: str, name: str, near: str
) -> None:
    settings = {"REDIS_URL": redis_server.url, "KILI_API_KEY": "key", name: "1"}
    found = CliRunner(env=settings).invoke(main, [command, *(["--offline"] if command == "check" else [])])
    assert found.exit_code == 1
    named = "\n".join(line for line in found.output.splitlines() if name.upper() in line.upper())
    assert near in named or "no such setting" in named


@pytest.mark.parametrize("name", ["WORKER_SERVICE_HOST", "WORKER_PORT_8080_TCP_ADDR", "WORKER_SERVICE_PORT_HTTP"])
def test_what_an_orchestrator_sets_for_a_service_called_worker_is_no_misspelling(
    monkeypatch: pytest.MonkeyPatch, redis_server: EmbeddedRedis, name: str
) -> None:
    assert refused(monkeypatch, REDIS_URL=redis_server.url, **{name: "1"}) == []


def test_the_rights_that_are_asked_for_hold_every_command_of_the_scripts() -> None:
    called: set[str] = set()
    for kind, call in (("lua", r"(?:redis\.p?call|send)"), ("py", r"redis\.p?call")):
        for path in (ROOT / "worker").rglob(f"*.{kind}"):
            called |= {name.upper() for name in re.findall(rf"{call}\(\s*['\"](\w+)['\"]", path.read_text())}
    asked = {command.split(" ")[0] for command in re.split(r"[|\n]", COMMANDS)}
    assert len(called) > 20
    assert called - asked == {"TIME"}, "TIME takes no key"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def trouble(folder: Path) -> str | None:
    beat = read_heartbeat(folder / "worker.heartbeat")
    return beat.trouble if beat else None
