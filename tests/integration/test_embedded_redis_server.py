"""The embedded Redis on the real binary: durable, alone on its port, and gone when its owner is gone."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis
from redis import TimeoutError as RedisTimeoutError
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.awaiting import awaited, free_port, kill_once_written
from worker.environment import embedded_redis
from worker.environment.embedded_redis import EmbeddedRedis, EmbeddedRedisError

OWNER = """
import sys, pathlib
from worker.environment.embedded_redis import EmbeddedRedis
server = EmbeddedRedis(pathlib.Path(sys.argv[1]) if sys.argv[1:] else None)
print(server.pid, server.port, server.directory, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as running:
        yield running


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=True) as connected:
        yield connected


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


class Owner:
    """Another Python process that owns an embedded Redis."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        pid, port, folder = self.process.stdout.readline().split()
        self.server_pid, self.port, self.folder = int(pid), int(port), Path(folder)

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.communicate()


def test_it_serves_on_loopback_with_durable_settings(server: EmbeddedRedis, client: Redis) -> None:
    wanted = {"bind": "127.0.0.1", "appendonly": "yes", "appendfsync": "everysec", "save": "", "protected-mode": "yes"}

    assert {name: client.config_get(name)[name] for name in wanted} == wanted
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client.info("server")["process_id"] == server.pid


def test_data_survive_a_kill_and_a_restart_on_the_same_port(server: EmbeddedRedis, client: Redis) -> None:
    url, killed = server.url, server.pid
    for number in range(100):
        client.xadd("predictions:inbox", {"payload": number})

    kill_once_written(server, client)
    assert is_gone(killed)
    server.restart()

    assert server.url == url
    assert server.pid != killed
    assert client.xlen("predictions:inbox") == 100


def test_a_running_server_can_be_restarted(server: EmbeddedRedis, client: Redis) -> None:
    client.set("kept", "yes")
    before = server.pid

    server.restart()

    assert is_gone(before)
    assert client.get("kept") == "yes"


def test_a_paused_server_answers_only_after_it_was_resumed(server: EmbeddedRedis, client: Redis) -> None:
    client.set("kept", "yes")
    server.pause()
    with (
        Redis.from_url(server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)) as impatient,
        pytest.raises(RedisTimeoutError),
    ):
        impatient.get("kept")

    server.resume()

    assert client.get("kept") == "yes"


def test_a_paused_server_can_be_stopped(server: EmbeddedRedis) -> None:
    pid = server.pid
    server.pause()

    server.stop()

    assert is_gone(pid)


def test_two_servers_are_strangers(server: EmbeddedRedis, client: Redis) -> None:
    client.set("here", "only")
    with EmbeddedRedis() as other, Redis.from_url(other.url) as other_client:
        assert other.port != server.port
        assert other.directory != server.directory
        assert other_client.dbsize() == 0


def test_stop_removes_the_temporary_folder_and_may_be_repeated(server: EmbeddedRedis) -> None:
    pid, folder = server.pid, server.directory
    assert (folder / "redis.log").is_file()

    server.stop()
    server.stop()

    assert is_gone(pid)
    assert not folder.exists()


def test_a_stopped_server_has_no_process(server: EmbeddedRedis) -> None:
    server.stop()

    with pytest.raises(EmbeddedRedisError, match="not running"):
        _ = server.pid
    with pytest.raises(EmbeddedRedisError, match="not running"):
        server.pause()


def test_a_named_directory_keeps_its_data(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as first, Redis.from_url(first.url) as client:
        client.set("kept", "yes")

    with EmbeddedRedis(tmp_path / "redis") as second, Redis.from_url(second.url, decode_responses=True) as client:
        assert client.get("kept") == "yes"


def test_a_directory_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_redis, "LOCK_LIMIT", 0.1)
    with EmbeddedRedis(tmp_path), pytest.raises(EmbeddedRedisError, match="in use by another Redis"):
        EmbeddedRedis(tmp_path)


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch, server: EmbeddedRedis) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        free = free_port()
        ports = [server.port, silent.getsockname()[1], free]
        monkeypatch.setattr(random, "sample", lambda population, k: ports)

        with EmbeddedRedis() as other:
            assert other.port == free


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("a file where a server since 7.0 wants a folder")
    (tmp_path / "appendonly.aof").mkdir()  # a folder where an older one wants a file

    with pytest.raises(EmbeddedRedisError, match=r"does not start on port(?s:.)*append"):
        EmbeddedRedis(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_goes_when_its_owner_dies(how: signal.Signals) -> None:
    owner = Owner()
    assert not is_gone(owner.server_pid)

    owner.end(how)

    awaited(lambda: is_gone(owner.server_pid), "the server is gone")
    awaited(lambda: not owner.folder.exists(), "its folder is gone")


def test_a_paused_server_goes_when_its_owner_dies() -> None:
    owner = Owner()
    os.kill(owner.server_pid, signal.SIGSTOP)

    owner.end(signal.SIGKILL)

    awaited(lambda: is_gone(owner.server_pid), "the server is gone")


def test_after_its_owner_was_killed_a_named_directory_serves_again_at_once(tmp_path: Path) -> None:
    owner = Owner(str(tmp_path))
    with Redis("127.0.0.1", owner.port) as client:
        client.set("kept", "yes")

    owner.end(signal.SIGKILL)

    with EmbeddedRedis(tmp_path) as heir, Redis.from_url(heir.url, decode_responses=True) as client:
        assert client.get("kept") == "yes"


def test_the_terminals_interrupt_does_not_reach_the_server(server: EmbeddedRedis) -> None:
    assert os.getpgid(server.pid) != os.getpgid(os.getpid())
    assert os.getsid(server.pid) != os.getsid(os.getpid())


def test_the_fake_serves_where_it_is_allowed_and_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded_redis, "find_server", lambda: None)

    with caplog.at_level(logging.WARNING), EmbeddedRedis(allow_fake=True) as fake, Redis.from_url(fake.url) as client:
        client.set("here", "yes")
        assert client.get("here") == b"yes"

    assert "NOT durable" in caplog.text
