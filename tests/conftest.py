"""Real parts for tests: a Redis server, a local Kili, worker processes."""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.fuzzing import load_profile
from tests.guarantees import Guarantees, properties_of
from tests.servers import is_absent, servers_of
from worker.environment.embedded_redis import NAMED, EmbeddedRedis

UNIT = Path(__file__).parent / "unit"
WAITING_UNTIL = 0.85
"""Of a run's files those that wait for processes have begun by then, since some of them are long."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``servers("all")`` runs a test on every Redis server, ``servers("ends")`` on the oldest and the newest."""
    marker = metafunc.definition.get_closest_marker("servers")
    if marker is not None and "redis_binary" in metafunc.fixturenames:
        metafunc.parametrize("redis_binary", servers_of(*marker.args), indirect=True, scope="session")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of the table in docs/guarantees.md."""
    parser.addoption("--guarantees", choices=("check", "write"), default="check", help="check or write the table")


def pytest_configure(config: pytest.Config) -> None:
    """Take hypothesis' profile; the controlling process alone collects what was proved."""
    load_profile()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it puts into the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Guarantees(is_writing=config.getoption("--guarantees") == "write"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under ``--dist loadfile`` some files stay together."""
    if config.getoption("dist") != "loadfile":
        return None
    from tests.scheduling import GroupScheduling

    return GroupScheduling(config, log)


def pytest_collection_finish() -> None:
    """The ten thousand cases stay to the end: no collection of garbage looks through them and their modules again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A marked test's report carries its guarantees; on a server that is not here it proves nothing."""
    for item in items:
        if not is_absent(item):
            item.user_properties.extend(properties_of(item))
    items[:] = _in_turns(items)


def _in_turns(items: list[pytest.Item]) -> list[pytest.Item]:
    """Files whose cases wait for processes in turns with those that compute, so that no core is idle meanwhile."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    computing = [path for path in files if UNIT in path.parents]
    waiting = [path for path in files if UNIT not in path.parents]
    places = {path: place / len(computing) for place, path in enumerate(computing)}
    places |= {path: WAITING_UNTIL * place / len(waiting) for place, path in enumerate(waiting)}
    return [item for path in sorted(files, key=lambda path: places[path]) for item in files[path]]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands that a test calls in this process set up logging for it; the next test finds it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def redis_binary(request: pytest.FixtureRequest) -> Path | None:
    """The server's binary where a test is marked with ``servers``; else None, for the usual choice."""
    return getattr(request, "param", None)


@pytest.fixture
def named_server(redis_binary: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server that is started meanwhile, here or in a process, is of that binary."""
    if redis_binary is not None:
        monkeypatch.setenv(NAMED, str(redis_binary))


@pytest.fixture(scope="session")
def redis_server(redis_binary: Path | None) -> Iterator[EmbeddedRedis]:
    """One real server for the session; tests that stop it start their own."""
    with EmbeddedRedis(binary=redis_binary) as server:
        yield server


@pytest.fixture
def client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """The session's server, emptied."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client
